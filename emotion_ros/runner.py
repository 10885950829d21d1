"""The life of a node's process: signals, errors and exit codes, the same for every node."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from emotion_core.cli.mistakes import describe
from emotion_core.errors import EmotionError
from emotion_ros.core_log import forwarded
from emotion_ros.log_files import without_log_file
from emotion_ros.signals import StopSignals

NodeT = TypeVar("NodeT", bound=Node)

_BAD_ARGUMENTS = (
    ParameterException,
    NameValidationException,
    rclpy_implementation.RCLInvalidROSArgsError,
    rclpy_implementation.UnknownROSArgsError,
)
"""What a node's constructor raises for names, parameters and ROS arguments that the user got wrong."""


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
        The exit code; 2, after one line on stderr, when EmotionError or OSError is raised or a parameter is wrong;
        1, after a traceback, for a defect. An exception of a callback of the node ends nothing, it is logged.
    """
    # Not rclpy's handlers: they end the context at once, in the middle of a publish, which then fails.
    signals = StopSignals()
    node, executor = None, None
    try:
        _init(args)
        try:
            node = create()
        except _BAD_ARGUMENTS as error:
            raise EmotionError(str(error)) from error
        with forwarded(node):
            start(node)
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            while not (done(node) or signals.stop.is_set()) and rclpy.ok():
                spin_once(executor, node)
            return finish(node)
    except (EmotionError, OSError) as error:
        print(f"{name}: error: {' '.join((describe(error) or '').split())}", file=sys.stderr)
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


def _init(args: list[str] | None) -> None:
    try:
        rclpy.init(args=without_log_file(args), signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # what it raises for arguments that cannot be parsed, a missing file of parameters, …
        raise EmotionError(str(error)) from error
    except UnicodeEncodeError as error:
        raise EmotionError(f"ROS arguments are UTF-8, got {error.object!r}") from error


def spin_once(executor: Executor, node: Node, timeout_s: float = 0.2) -> None:
    """Let the executor run what is due; an exception is logged with its traceback and goes no further."""
    try:
        executor.spin_once(timeout_sec=timeout_s)
    except ExternalShutdownException:
        pass
    except Exception:
        node.get_logger().error(f"a callback failed:\n{traceback.format_exc()}", throttle_duration_sec=5.0)
        time.sleep(0.01)  # what fails again and again must not take a whole core
