"""``python -m emotion_ros run --config FILE``: the nodes that a parameter file names, in one process.

The file is one of ROS, and as such also the ``params_file`` of the nodes when they run in processes of their own:

    /**:
      ros__parameters: {detector: yunet}
    /front/source:
      ros__parameters: {source: "/dev/video0"}
    /front/facial:
      ros__parameters: {smoothing_s: 0.5}
    /mood:
      ros__parameters:
        executable: facial
        remap: [image:=/front/image, "~/overlay:=/seen"]

Each whole name is a node; keys with * only set parameters. ``executable`` says which node it is, where its name does
not; ``remap`` is a list of names to change. Each node is spun by a thread of its own; what they publish for each other
is handed over, see handover.py. The process ends, in the order of the file, with the first node that ends by itself.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml  # rclpy brings it
from rclpy.node import Node

from emotion_core.cli.mistakes import describe, one_line
from emotion_core.errors import EmotionError
from emotion_ros.__main__ import SUFFIX, names, without_ros
from emotion_ros.process.runner import Program, run_all

_ROS = "ros__parameters"


@dataclass(frozen=True)
class Placement:
    """A node that is to be made.

    Attributes:
        name, namespace: of the node; the latter begins with a slash.
        executable: which of the nodes it is.
        remap: rules, as after ``-r``.
    """

    name: str
    namespace: str
    executable: str
    remap: tuple[str, ...] = ()

    @property
    def whole_name(self) -> str:
        """With its namespace."""
        return f"{self.namespace.rstrip('/')}/{self.name}"


def read_placements(path: Path) -> list[Placement]:
    """The nodes that a parameter file names, in its order; raises EmotionError for a file that cannot be read so."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EmotionError(f"{path}: expected YAML: {error}") from error
    found: dict[str, dict[str, Any]] = {}
    for name, parameters in _entries(data, "", path):
        if "*" not in name:
            found.setdefault(name, {}).update(parameters)
    if not found:
        raise EmotionError(f"{path}: expected the whole name of at least one node, such as /front/facial:, got none")
    return [_placement(name, parameters, path) for name, parameters in found.items()]


def _entries(data: Any, prefix: str, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(whole name, parameters) of each entry; names may be nested, and begin with a slash or not."""
    if not isinstance(data, Mapping):
        raise EmotionError(f"{path}: expected names of nodes with {_ROS} below {prefix or 'its top'}, got {data!r:.40}")
    for key, value in data.items():
        if key != _ROS:
            yield from _entries(value, f"{prefix}/{str(key).strip('/')}", path)
        elif isinstance(value, Mapping):
            yield prefix, value
        else:
            raise EmotionError(f"{path}: expected parameters in {_ROS} of {prefix}, got {value!r:.40}")


def _placement(whole_name: str, parameters: Mapping[str, Any], path: Path) -> Placement:
    namespace, _, name = whole_name.rpartition("/")
    executable, remap = parameters.get("executable", name), parameters.get("remap", [])
    if executable not in names():
        raise EmotionError(
            f"{path}: {whole_name}: expected its name or the parameter executable to be one of {', '.join(names())}, "
            f"got {executable!r:.40}"
        )
    if not isinstance(remap, list) or not all(isinstance(rule, str) and ":=" in rule for rule in remap):
        raise EmotionError(f"{path}: {whole_name}: expected remap to be a list of FROM:=TO, got {remap!r:.80}")
    return Placement(name, namespace or "/", executable, tuple(remap))


def program_of(placement: Placement) -> Program:
    """The node's program, to be made in its place; raises EmotionError where it cannot share a process."""
    module = importlib.import_module(f"emotion_ros.{placement.executable}{SUFFIX}")
    program = getattr(module, "PROGRAM", None)
    if not isinstance(program, Program):
        raise EmotionError(f"{placement.whole_name}: the node {placement.executable} needs a process of its own")
    rules = [word for rule in placement.remap for word in ("-r", rule)]
    arguments = ["--ros-args", *rules] if rules else []

    def create(_: str) -> Node:
        return program.create(placement.name, namespace=placement.namespace, cli_args=arguments)

    return replace(program, name=placement.whole_name, create=create)


def main(argv: Sequence[str]) -> int:
    """Run until a node ends by itself, or until SIGINT or SIGTERM; returns the exit code as ``run_all``.

    Args:
        argv: the command's name, its options, and arguments for ROS that concern all nodes.
    """
    parser = argparse.ArgumentParser(prog="python -m emotion_ros run", description="Run nodes in one process.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="parameters of the nodes")
    path = parser.parse_args(without_ros(argv[1:])).config
    try:
        programs = [program_of(placement) for placement in read_placements(path)]
    except (EmotionError, OSError) as error:
        print(f"{argv[0]}: error: {one_line(describe(error) or '')}", file=sys.stderr)
        return 2
    return run_all(argv[0], programs, [argv[0], "--ros-args", "--params-file", str(path), "--", *argv[1:]])
