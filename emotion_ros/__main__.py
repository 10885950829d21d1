"""``python -m emotion_ros NAME``: the process of a node, from its first moment; ``run --config FILE``: that of several.

It loads nodes only after it has settled what Ctrl-C means, and answers --help without starting anything.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from emotion_core.cli.mistakes import escape_unprintable, silence_stdout
from emotion_ros.process.signals import await_handlers

SUFFIX = "_node"
SEVERAL = "run"


def names() -> list[str]:
    """The nodes: every ``<name>_node.py`` beside this file, with a function ``main``.

    A tuple ``CONFIGS`` of the configurations that hold its parameters lets --help list them.
    """
    return sorted(path.stem.removesuffix(SUFFIX) for path in Path(__file__).parent.glob(f"*{SUFFIX}.py"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a node; returns its exit code, 2 for arguments that neither it nor ROS knows."""
    await_handlers()
    gc.disable()  # until the nodes are made, see runner.py: a sixth of the start would be looking for garbage
    escape_unprintable()
    argv = list(sys.argv[1:] if argv is None else argv)
    known, several = names(), argv[:1] == [SEVERAL]
    if not argv or argv[0] not in (*known, SEVERAL):
        parser = argparse.ArgumentParser(prog="python -m emotion_ros", description="Run a ROS 2 node.")
        parser.add_argument("name", choices=known, help="which node; NAME --help tells more")
        parser.parse_args(argv[:1])
        return 2  # not reached: argparse ends the process
    name, ours = argv[0], without_ros(argv[1:])
    if ours and ours[0] not in ("-h", "--help") and not several:
        text = f"expected --help or --ros-args …, got {' '.join(ours)}"
        print(f"{name}: error: {text}: parameters are set with --ros-args -p name:=value", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module("emotion_ros.composed" if several else f"emotion_ros.{name}{SUFFIX}")
    except ModuleNotFoundError as error:
        advice = "start with scripts/run, or source the workspace's install/setup.bash first"
        print(f"{name}: error: {error}: {advice}", file=sys.stderr)
        return 2
    if ours and not several:
        try:
            print(description(name, module), flush=True)
        except BrokenPipeError:  # the reader of a pipe has gone
            silence_stdout()
        return 0
    return int(module.main([name, *argv[1:]]))


def without_ros(arguments: Sequence[str]) -> list[str]:
    """The arguments that are not for ROS: those outside of ``--ros-args … [--]``."""
    ours, for_ros = [], False
    for argument in arguments:
        if argument == "--ros-args":
            for_ros = True
        elif for_ros:
            for_ros = argument != "--"
        else:
            ours.append(argument)
    return ours


def description(name: str, module: ModuleType) -> str:
    """What --help prints: what the node does, and its parameters."""
    from dataclasses import fields

    from emotion_core.parameters import parameter_of

    lines = [f"usage: {name} [--help] [--ros-args -p PARAMETER:=VALUE … -r TOPIC:=TOPIC …]", ""]
    lines += [(module.__doc__ or "").strip(), "", "parameters:"]
    for item in (item for config in getattr(module, "CONFIGS", ()) for item in fields(config)):
        if (entry := parameter_of(item)) is None:
            continue
        allowed = ", ".join(entry.choices)
        if entry.low is not None and entry.high is not None:
            allowed = f"{entry.low:g} to {entry.high:g}"
        value = str(item.default).lower() if isinstance(item.default, bool) else item.default
        lines.append(f"  {item.name} ({value}{f'; {allowed}' if allowed else ''})")
        lines.append(f"      {entry.description}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
