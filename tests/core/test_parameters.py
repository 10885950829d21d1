from __future__ import annotations

from dataclasses import dataclass, fields

import pytest

from emotion_core.errors import EmotionError
from emotion_core.parameters import CheckedConfig, parameter, parameter_of
from emotion_core.pipeline.facial import FacialConfig


@dataclass(frozen=True)
class Example(CheckedConfig):
    share: float = parameter(0.5, "A share.", low=0.0, high=1.0)
    count: int = parameter(3, "A number.", low=1, high=9)
    kind: str = parameter("a", "A kind.", choices=("a", "b"))
    on: bool = parameter(True, "A switch.")
    text: str = parameter("x", "A text.")


def test_good_values_and_whole_numbers_for_floats():
    example = Example(share=1, count=9, kind="b", on=False, text=0)
    assert example.text == "0"
    assert isinstance(example.share, float)
    assert example.count == 9


@pytest.mark.parametrize(
    "change",
    [{"share": 1.1}, {"share": float("nan")}, {"share": "x"}, {"count": 0}, {"count": 2.0}, {"count": True},
     {"kind": "c"}, {"on": 1}],
)  # fmt: skip
def test_bad_values_name_the_parameter(change):
    with pytest.raises(EmotionError, match=f"parameter {next(iter(change))}"):
        Example(**change)


@pytest.mark.parametrize("config", [FacialConfig])
def test_every_field_has_a_description_and_every_number_a_range(config):
    for item in fields(config):
        declared = parameter_of(item)
        assert declared is not None, item.name
        assert declared.description.endswith("."), item.name
        if isinstance(item.default, int | float) and not isinstance(item.default, bool):
            assert declared.low is not None, item.name
            assert declared.high is not None, item.name
