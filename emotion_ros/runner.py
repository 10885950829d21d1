"""The life of a node's process: signals, errors and exit codes, the same for every node."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from emotion_core.errors import EmotionError

NodeT = TypeVar("NodeT", bound=Node)


def run(
    name: str,
    create: Callable[[], NodeT],
    args: list[str] | None = None,
    *,
    done: Callable[[NodeT], bool] = lambda node: False,
    finish: Callable[[NodeT], int] = lambda node: 0,
) -> int:
    """Make a node and spin it until it is done, or until SIGINT or SIGTERM; a second signal ends it at once.

    Args:
        name: for error messages.
        create: makes the node.
        args: ROS arguments, by default those of the process.
        done: asked several times a second.
        finish: called at the end, however it came; its result is the exit code.

    Returns:
        The exit code; 2, after one line on stderr, when ``create`` or ``finish`` raises EmotionError or a parameter or
        argument is wrong.
    """
    stop = threading.Event()

    def on_signal(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    # Not rclpy's handlers: they end the context at once, in the middle of a publish, which then fails.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    node, executor = None, None
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = create()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not (done(node) or stop.is_set()):
            executor.spin_once(timeout_sec=0.2)
        return finish(node)
    except (EmotionError, ParameterException, RuntimeError) as error:  # RuntimeError: bad ROS arguments
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    finally:
        if executor is not None:
            executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        # A signal that comes while Python winds up would turn a success into a death by signal.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
