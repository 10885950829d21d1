"""Where a node's process writes its log file: nowhere, unless somebody has named a place."""

from __future__ import annotations

import os
import sys


def without_log_file(args: list[str] | None = None) -> list[str]:
    """The arguments for ``rclpy.init`` by which no log file is written; what is logged goes to stderr and /rosout.

    rcl otherwise makes a file a process below ``~/.ros/log``, and does not start where it cannot. With
    ``$ROS_LOG_DIR``, ``$ROS_HOME`` or the argument ``--enable-external-lib-logs`` files are written as in any node.

    Args:
        args: ROS arguments, by default those of the process.
    """
    args = list(sys.argv if args is None else args)
    if os.environ.get("ROS_LOG_DIR") or os.environ.get("ROS_HOME") or "--enable-external-lib-logs" in args:
        return args
    return [*args, "--ros-args", "--disable-external-lib-logs"]
