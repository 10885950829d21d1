"""``emotion record``: write what comes on topics into a bag."""

from __future__ import annotations

import argparse

from emotion_core.cli.arguments import seconds
from emotion_core.cli.node import become, need_ros, ros_parameters
from emotion_core.media.bag_types import require_rosbags
from emotion_core.store.files import user_path


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Write what comes on topics into a bag (rosbag2, MCAP) until Ctrl-C; the bag is whole then. Topics "
        "may appear later. --ros-args and what follows go to the node bag_recorder."
    )
    parser.add_argument("--topics", nargs="+", default=[], metavar="NAME", help="which (default: all there are)")
    parser.add_argument("--out", required=True, metavar="BAG", help="folder of the bag, a new one")
    parser.add_argument("--duration", type=seconds, default=0.0, metavar="S", help="stop after S seconds")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become the node that records."""
    require_rosbags()
    need_ros()
    values = {"out": str(user_path(args.out).absolute()), "topics": " ".join(args.topics)}
    rest = [word for word in args.rest if word != "--ros-args"]
    become("bag_recorder", *ros_parameters(**values, duration_s=args.duration), *rest)
