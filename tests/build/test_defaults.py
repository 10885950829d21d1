"""A default lives once, in its dataclass: whatever repeats it is compared with it."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from emotion_core.parameters import parameter_of
from emotion_core.pipeline.facial import FacialConfig

ROOT = Path(__file__).resolve().parents[2]
NODE_FIELDS = {
    "image_transport": "raw",
    "autostart": True,
    "diagnostics_period_s": 1.0,
    "stale_warn_s": 2.0,
    "stale_error_s": 10.0,
}


def defaults() -> dict[str, object]:
    return {item.name: item.default for item in fields(FacialConfig)}


def test_the_yaml_file_says_the_same():
    text = (ROOT / "config" / "facial.yaml").read_text()
    found = dict(re.findall(r"^    (\w+): (.+)$", text, re.MULTILINE))
    expected = defaults() | NODE_FIELDS
    assert set(found) == set(expected)
    for name, value in expected.items():
        written = {"true": True, "false": False}.get(found[name], found[name])
        assert written == value if isinstance(value, bool | str) else type(value)(written) == value, name


def test_the_node_s_own_defaults_are_those_of_the_yaml_file():
    pytest.importorskip("rclpy")
    pytest.importorskip("emotion_perception.msg")
    from emotion_ros.facial_node import FacialNodeConfig

    assert {item.name: item.default for item in fields(FacialNodeConfig)} == NODE_FIELDS


def test_the_readme_lists_every_parameter_with_its_default_and_range():
    text = (ROOT / "README.md").read_text()
    rows = {m[1]: m[0] for m in re.finditer(r"^\| `(\w+)` \|.*$", text, re.MULTILINE)}
    for item in fields(FacialConfig):
        declared = parameter_of(item)
        assert item.name in rows, f"README.md has no row for the parameter {item.name}"
        assert f"| `{item.default}` |" in rows[item.name], rows[item.name]
        if declared.low is not None:
            assert f"{declared.low:g} to {declared.high:g}" in rows[item.name], rows[item.name]


def test_launch_files_are_python():
    for path in (ROOT / "launch").glob("*.py"):
        names = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
        assert "generate_launch_description" in names
