"""The launch file, where launch_ros is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed: there is none among the wheels")

PATH = Path(__file__).resolve().parents[2] / "launch" / "facial.launch.py"


def test_it_describes_one_node_with_documented_arguments():
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    from launch import LaunchContext

    spec = importlib.util.spec_from_file_location("facial_launch", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    entities = module.generate_launch_description().entities
    arguments = [entity for entity in entities if isinstance(entity, DeclareLaunchArgument)]
    assert {argument.name for argument in arguments} == set(module.ARGUMENTS)
    assert all(argument.description for argument in arguments)
    context = LaunchContext()
    for argument in arguments:
        argument.visit(context)
    (function,) = (entity for entity in entities if isinstance(entity, OpaqueFunction))
    (node,) = function.visit(context)
    assert node.node_executable == "facial_node"
