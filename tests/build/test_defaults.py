"""A default lives once, in its dataclass: whatever repeats it is compared with it."""

from __future__ import annotations

import ast
import importlib
import re
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest

from emotion_core.parameters import Parameter, parameter_of

ROOT = Path(__file__).resolve().parents[2]
NODES = ("facial", "audiovisual", "source", "recorder", "bag_player", "bag_recorder")


def configs(node: str) -> list[tuple[Field[Any], Parameter]]:
    """All parameters of a node."""
    pytest.importorskip("rclpy")
    pytest.importorskip("emotion_perception.msg")
    module = importlib.import_module(f"emotion_ros.{node}_node")
    items = [item for config in module.CONFIGS for item in fields(config)]
    return [(item, declared) for item in items if (declared := parameter_of(item)) is not None]


@pytest.mark.parametrize("node", ["facial", "audiovisual"])
def test_the_yaml_file_says_the_same(node):
    text = (ROOT / "config" / f"{node}.yaml").read_text()
    found = dict(re.findall(r"^    (\w+): (.+)$", text, re.MULTILINE))
    expected = {item.name: item.default for item, _ in configs(node)}
    assert set(found) == set(expected)
    for name, value in expected.items():
        written = {"true": True, "false": False, '""': ""}.get(found[name], found[name])
        assert written == value if isinstance(value, bool | str) else type(value)(written) == value, name


@pytest.mark.parametrize("node", NODES)
def test_the_document_of_the_nodes_lists_every_parameter(node):
    """With its default, its range or choices, its description, and a star where it can change at any time."""
    text = (ROOT / "docs" / "nodes.md").read_text()
    part = text.partition(f"\n## {node}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \|(.*?)\| (.*?) \|$", part, re.MULTILINE)
    expected = []
    for item, declared in configs(node):
        default = item.default
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
