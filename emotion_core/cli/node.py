"""``emotion node``: start a ROS 2 node where there is no ``ros2 run``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from emotion_core.errors import EmotionError

SUFFIX = "_node.py"


def names() -> list[str]:
    """The nodes that are installed, one for each file of emotion_ros that is named after one."""
    spec = importlib.util.find_spec("emotion_ros")
    folders = spec.submodule_search_locations if spec is not None else None
    return sorted(
        path.name.removesuffix(SUFFIX) for folder in folders or () for path in Path(folder).glob(f"*{SUFFIX}")
    )


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Run a node; everything after its name goes to it, as in "
        "`emotion node facial --ros-args -r image:=/camera/image_raw -p smoothing_s:=0.5`."
    )
    parser.add_argument("name", nargs="?", help=f"one of {', '.join(names()) or 'none: emotion_ros is not installed'}")
    parser.add_argument("-h", "--help", action="store_true", help="show this, or after a name what the node is about")
    parser.set_defaults(run=run, print_help=parser.print_help)


def run(args: argparse.Namespace) -> int:
    """Become the node's process."""
    if args.name is None and args.help:
        args.print_help()
        return 0
    need_ros()
    if args.name not in names():
        got = "none" if args.name is None else repr(args.name)
        raise EmotionError(f"expected the name of a node, one of {', '.join(names())}, got {got}")
    become(args.name, *(["--help"] if args.help else args.rest))


def need_ros() -> None:
    """Raise EmotionError where there is no ROS 2 with this package."""
    advice = "start with scripts/run, or source the workspace's install/setup.bash first"
    for module in ("emotion_ros", "rclpy", "emotion_perception"):
        if importlib.util.find_spec(module) is None:
            raise EmotionError(f"{module} cannot be imported: {advice}")


def ros_parameters(**values: object) -> list[str]:
    """ROS arguments that set parameters; text is quoted, since YAML would take 0 or on for something else."""
    words = [("-p", f"{name}:={json.dumps(value, ensure_ascii=False)}") for name, value in values.items()]
    return ["--ros-args", *(word for pair in words for word in pair)]


def become(*arguments: str) -> NoReturn:
    """Go on as the process ``python -m emotion_ros`` with these arguments."""
    sys.stdout.flush()
    # From here until that process has settled what Ctrl-C means, it waits: Python would give a traceback.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.execv(sys.executable, [sys.executable, "-m", "emotion_ros", *arguments])
