"""The base of estimating nodes, with one that echoes: what every node on it has, without a camera or a network."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def echo_node() -> ModuleType:
    """The module beside this one; loaded only when a test runs, since it needs ROS."""
    name = "echo_node"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bench(echo_node: ModuleType, ros_node: Any, spin_until: Any, spin_with: Any, health_of: Any) -> Callable[..., Any]:
    """Make a node of the name echo, not yet configured, and what talks with it."""

    def make(name: str = "echo", **parameters: Any) -> Any:
        health = health_of(name)
        node = spin_with(echo_node.EchoNode, name, **echo_node.FAST | parameters)
        return echo_node.Bench(ros_node, spin_until, node, health)

    return make
