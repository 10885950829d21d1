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
    "faces": "detector",
    "hri": False,
    "hri_cropped": False,
    "detections": False,
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
    from emotion_ros.seeing import SeeingNodeConfig

    assert {item.name: item.default for item in fields(SeeingNodeConfig)} == NODE_FIELDS


def test_the_document_of_the_nodes_lists_every_parameter():
    """With its default, its range or choices, its description, and a star where it can change at any time."""
    pytest.importorskip("rclpy")
    pytest.importorskip("emotion_perception.msg")
    from emotion_ros import facial_node, recorder_node, source_node

    text = (ROOT / "docs" / "nodes.md").read_text()
    for module in (facial_node, source_node, recorder_node):
        part = text.partition(f"\n## {module.NAME}\n")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \|(.*)\| (.*?) \|$", part, re.MULTILINE)
        expected = []
        for item in (item for config in module.CONFIGS for item in fields(config)):
            declared, default = parameter_of(item), item.default
            written = str(default).lower() if isinstance(default, bool) else str(default)
            limits = ", ".join(declared.choices)
            if declared.low is not None:
                limits = f"{declared.low:g} to {declared.high:g}"
            star = "" if declared.read_only else " *"
            expected.append((item.name, written, limits, declared.description + star))
        assert sorted((name, default, limits.strip(), said) for name, default, limits, said in rows) == sorted(expected)


def test_launch_files_are_python():
    for path in (ROOT / "launch").glob("*.py"):
        names = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
        assert "generate_launch_description" in names
