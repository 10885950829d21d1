"""Every setting of every training is told apart, in both directions."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")

import emotion_core.training
from emotion_core.errors import EmotionError
from emotion_core.training.classifier_config import ClassifierConfig
from emotion_core.training.fingerprint import differences
from emotion_core.training.loop_config import LoopConfig

WORDS = ("bfloat16", "adamw", "constant", "balanced", "noisedrop", "facenoisy", "onlyaudio")
"""Of each setting that is a word, one that is not its default."""


def configs() -> list[type]:
    for module in pkgutil.iter_modules(emotion_core.training.__path__, "emotion_core.training."):
        if module.name.endswith("_config"):
            importlib.import_module(module.name)
    return sorted(LoopConfig.__subclasses__(), key=lambda kind: kind.__name__)


def others(value: Any) -> Iterator[Any]:
    """Values of the same kind, some of which a setting takes."""
    if dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            for other in others(getattr(value, item.name)):
                try:
                    yield dataclasses.replace(value, **{item.name: other})
                except (EmotionError, ValueError):
                    continue
                break
        if "Augment" in type(value).__name__:
            yield None
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, float):
        yield from (other for other in (value / 2, value + 0.1, value + 1) if other != value)
    elif isinstance(value, str):
        yield from WORDS
    elif isinstance(value, tuple):
        yield value[:-1]
    elif isinstance(value, Mapping):
        yield {**value, "dropout": 0.25}


def settings(config: Any) -> Any:
    return json.loads(json.dumps(config.to_dict() if hasattr(config, "to_dict") else dataclasses.asdict(config)))


@pytest.mark.parametrize("kind", configs(), ids=lambda kind: kind.__name__)
def test_every_setting_is_compared(kind: Any) -> None:
    config = kind()
    assert differences(settings(config), settings(config)) == []
    for item in dataclasses.fields(kind):
        flipped = 0
        for value in others(getattr(config, item.name)):
            try:
                other = dataclasses.replace(config, **{item.name: value})
            except (EmotionError, ValueError, AttributeError, TypeError):
                continue
            flipped += 1
            for one, two in ((config, other), (other, config)):
                found = differences(settings(one), settings(two))
                if item.name == "workers":
                    assert found == []
                else:
                    assert len(found) == 1 and found[0].startswith(item.name), (item.name, value, found)
        assert flipped, f"no other value of {item.name} was found"


def test_no_augmentation_is_a_setting_and_not_an_unknown_one() -> None:
    with_it, without = settings(ClassifierConfig()), settings(ClassifierConfig(augment=None))
    assert differences(with_it, without) == ["augment {...} -> None"]
    assert differences(without, with_it) == ["augment None -> {...}"]


def test_what_a_recipe_leaves_to_the_network_is_a_setting_too() -> None:
    short = ClassifierConfig(model={"type": "esr"})
    assert differences(settings(short), settings(ClassifierConfig(model={"type": "esr", "branches": 9}))) == []
    for model in ({"type": "esr", "dropout": 0.5}, {"type": "esr", "width": 0.5}):
        other = ClassifierConfig(model=model)
        (name,) = set(model) - {"type"}
        assert differences(settings(short), settings(other))[0].startswith(f"model.{name}")
        assert differences(settings(other), settings(short))[0].startswith(f"model.{name}")


def test_whatever_a_dataset_says_of_its_samples_is_compared() -> None:
    data = {"n": 2, "labels": ["calm"], "contents": "a" * 32, "pairs": "b" * 32, "order": "c" * 32}
    before, now = {**data, "speakers": ["1", "2"]}, {**data, "speakers": ["1", "1"]}
    assert differences({"voices": before}, {"voices": now}) == ["the voices have other speakers"]
    assert differences({"voices": data}, {"voices": now}) == []  # an older version did not say


def test_only_what_is_missing_or_a_teacher_that_is_gone_is_unknown() -> None:
    before, now = {"teachers": ["a" * 32, None]}, {"teachers": [None, "b" * 32]}
    assert differences(before, now) == []
    assert differences({"teachers": ["a" * 32]}, {"teachers": ["b" * 32]}) == ["other teachers"]
    assert differences({"lr": 0.1}, {"lr": 0.1, "clip_norm": 1.0}) == []  # an older version did not know it
    assert differences({"starting weights": None}, {"starting weights": "random"}) == [
        "starting weights None -> random"
    ]
