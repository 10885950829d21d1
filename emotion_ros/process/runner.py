"""The life of a process with nodes in it: signals, errors and exit codes, the same for every node."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from emotion_core.cli.mistakes import describe
from emotion_core.errors import EmotionError
from emotion_ros.process.core_log import forwarded
from emotion_ros.process.log_files import without_log_file
from emotion_ros.process.signals import StopSignals

_BAD_ARGUMENTS = (
    ParameterException,
    NameValidationException,
    rclpy_implementation.RCLInvalidROSArgsError,
    rclpy_implementation.UnknownROSArgsError,
)
"""What a node's constructor raises for names, parameters and ROS arguments that the user got wrong."""


@dataclass(frozen=True)
class Program:
    """A node, and what its process does with it; the functions take the node.

    A file ``<name>_node.py`` with one named ``PROGRAM`` is of a node that can share a process, see ``composed.py``.

    Attributes:
        name: of the node, also for error messages.
        create: makes the node, from its name and the options of ``rclpy.node.Node``.
        start: called once before the node is spun.
        done: asked several times a second.
        finish: called at the end, however it came; its result is the exit code.
    """

    name: str
    create: Callable[..., Any]
    start: Callable[[Any], None] = lambda node: None
    done: Callable[[Any], bool] = lambda node: False
    finish: Callable[[Any], int] = lambda node: 0

    def run(self, args: list[str] | None = None) -> int:
        """Run the node in a process of its own; see ``run_all``."""
        return run_all(self.name, [self], args)


def run(name: str, create: Callable[[], Any], args: list[str] | None = None, **functions: Callable[[Any], Any]) -> int:
    """Run one node; see ``Program`` for name and functions, and ``run_all`` for the rest."""
    return Program(name, lambda _: create(), **functions).run(args)


def run_all(name: str, programs: Sequence[Program], args: list[str] | None = None) -> int:
    """Make nodes and spin them until one is done, or until SIGINT or SIGTERM; one more signal ends them at once.

    They are made and started in the given order, and end in it, each while those behind it are still spun.

    Args:
        name: for error messages.
        programs: the nodes.
        args: ROS arguments, by default those of the process.

    Returns:
        The first exit code of a node that is not 0; 2, after one line on stderr, when EmotionError or OSError is raised
        or a parameter is wrong; 1, after a traceback, for a defect. An exception of a callback of a node ends nothing,
        it is logged.
    """
    # Not rclpy's handlers: they end the context at once, in the middle of a publish, which then fails.
    signals = StopSignals()
    lives: list[_Life] = []
    try:
        with _told(name):
            _init(args)
        for program in programs:
            with _told(program.name):
                lives.append(_Life(program))
        with forwarded(lives[0].node):
            for life in lives:
                with _told(life.program.name):
                    life.program.start(life.node)
            # What is here stays: without this, looking through all of it takes 40 ms now and then, out of an estimate.
            # What a lifecycle manager has loaded later is looked through.
            gc.freeze()
            gc.enable()
            with _told(name):
                _spin(lives, signals.stop)
            codes = [life.finish() for life in lives]
        return next((code for code in codes if code), 0)
    except _Failed as failure:
        return failure.code
    finally:
        for life in lives:
            life.end()
        rclpy.try_shutdown()
        signals.ignore()


class _Failed(Exception):
    """Somebody has been told of an error."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """Within the block, an exception is written to stderr and becomes _Failed with the exit code."""
    try:
        yield
    except (EmotionError, OSError) as error:
        print(f"{name}: error: {' '.join((describe(error) or '').split())}", file=sys.stderr)
        raise _Failed(2) from error
    except Exception as error:
        print(f"{name}: error: this is a defect\n{traceback.format_exc()}", file=sys.stderr, end="")
        raise _Failed(1) from error


class _Life:
    """A node with an executor of its own, which the main thread or a thread of its own spins."""

    def __init__(self, program: Program) -> None:
        self.program = program
        try:
            self.node = program.create(program.name)
        except _BAD_ARGUMENTS as error:
            raise EmotionError(str(error)) from error
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def done(self) -> bool:
        return self.program.done(self.node)

    def spin(self) -> None:
        """Spin in a thread until the end."""

        def loop() -> None:
            while not self._stop.is_set() and rclpy.ok():
                spin_once(self.executor, self.node, timeout_s=1.0)  # each return costs; at the end it is woken up

        self._thread = threading.Thread(target=loop, name=self.program.name, daemon=True)
        self._thread.start()

    def finish(self) -> int:
        """End the node as it wants to; returns its exit code."""
        self._rest()
        try:
            with _told(self.program.name):
                code = self.program.finish(self.node)
        except _Failed as failure:
            code = failure.code
        self.end()
        return code

    def end(self) -> None:
        """Stop spinning and destroy the node, if that has not been done."""
        self._rest()
        if self.node is not None:
            self.executor.shutdown()
            self.node.destroy_node()
            self.node = None

    def _rest(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self.executor.wake()
            self._thread.join()


def _spin(lives: Sequence[_Life], stop: threading.Event) -> None:
    """Until a node is done or somebody says so."""

    def over() -> bool:
        return stop.is_set() or not rclpy.ok() or any(life.done() for life in lives)

    if len(lives) == 1:
        while not over():
            spin_once(lives[0].executor, lives[0].node)
        return
    # An executor and a thread a node, not one MultiThreadedExecutor for all: that one looks through the entities of all
    # nodes for each message and passes each callback on to a pool, which costs a third more (benchmarks/handover.py).
    for life in lives:
        life.spin()
    while not over():
        stop.wait(0.05)


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
