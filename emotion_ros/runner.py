"""The life of a node's process: signals, errors and exit codes, the same for every node."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from emotion_core.errors import EmotionError
from emotion_ros.log_files import without_log_file

NodeT = TypeVar("NodeT", bound=Node)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REPEATED_S = 1.0
"""Signals that follow the first within this time are repeats of it: launch and a terminal may both send one."""


class StopSignals:
    """SIGINT and SIGTERM ask to stop; one that comes later than REPEATED_S after the first ends the process at once."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._first_s = 0.0
        # Not rclpy's handlers: they end the context at once, in the middle of a publish, which then fails.
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: object) -> None:
        if not self.stop.is_set():
            self._first_s = time.monotonic()
            self.stop.set()
        elif time.monotonic() > self._first_s + REPEATED_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def ignore(self) -> None:
        """From now on, do nothing: a signal while Python winds up would turn a success into a death by signal."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def run(
    name: str,
    create: Callable[[], NodeT],
    args: list[str] | None = None,
    *,
    start: Callable[[NodeT], None] = lambda node: None,
    done: Callable[[NodeT], bool] = lambda node: False,
    finish: Callable[[NodeT], int] = lambda node: 0,
) -> int:
    """Make a node and spin it until it is done, or until SIGINT or SIGTERM; one more signal ends it at once.

    Args:
        name: for error messages.
        create: makes the node.
        args: ROS arguments, by default those of the process.
        start: called once before the node is spun.
        done: asked several times a second.
        finish: called at the end, however it came; its result is the exit code.

    Returns:
        The exit code; 2, after one line on stderr, when EmotionError is raised or a parameter or argument is wrong;
        1, after a traceback, for a defect. An exception of a callback of the node ends nothing, it is logged.
    """
    signals = StopSignals()
    node, executor = None, None
    try:
        try:
            rclpy.init(args=without_log_file(args), signal_handler_options=SignalHandlerOptions.NO)
            node = create()
        except (ParameterException, NameValidationException, RuntimeError) as error:  # RuntimeError: bad ROS arguments
            raise EmotionError(str(error)) from error
        start(node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not (done(node) or signals.stop.is_set()) and rclpy.ok():
            spin_once(executor, node)
        return finish(node)
    except EmotionError as error:
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except Exception:
        print(f"{name}: error: this is a defect\n{traceback.format_exc()}", file=sys.stderr, end="")
        return 1
    finally:
        if executor is not None:
            executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        signals.ignore()


def spin_once(executor: Executor, node: Node, timeout_s: float = 0.2) -> None:
    """Let the executor run what is due; an exception is logged with its traceback and goes no further."""
    try:
        executor.spin_once(timeout_sec=timeout_s)
    except ExternalShutdownException:
        pass
    except Exception:
        node.get_logger().error(f"a callback failed:\n{traceback.format_exc()}", throttle_duration_sec=5.0)
        time.sleep(0.01)  # what fails again and again must not take a whole core
