"""``emotion run``: several ROS 2 nodes in one process."""

from __future__ import annotations

import argparse

from emotion_core.cli.node import become, need_ros


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Run the nodes that a ROS parameter file names (/front/facial: …) in one process, in which they "
        "hand images over without DDS. --ros-args and what follows go to all of them."
    )
    parser.add_argument("--config", required=True, metavar="FILE.yaml", help="parameters of the nodes, by whole names")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become the process of the nodes."""
    need_ros()
    become("run", "--config", args.config, *args.rest)
