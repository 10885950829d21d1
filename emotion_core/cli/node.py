"""``emotion node``: start a ROS 2 node where there is no ``ros2 run``."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys

from emotion_core.errors import EmotionError

NODES = ("facial", "source", "recorder")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "node",
        help="run a ROS 2 node",
        description="Run a node; everything after its name goes to ROS, as in "
        "`emotion node facial --ros-args -r image:=/camera/image_raw -p smoothing_s:=0.5`.",
    )
    parser.add_argument(
        "name",
        choices=NODES,
        help="facial: the estimator; source: plays a video; recorder: writes a run down",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become the node's process."""
    advice = "start with scripts/run, or source the workspace's install/setup.bash first"
    for module in ("emotion_ros", "rclpy", "emotion_perception"):
        if importlib.util.find_spec(module) is None:
            raise EmotionError(f"{module} cannot be imported: {advice}")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", f"emotion_ros.{args.name}_node", *args.rest])
