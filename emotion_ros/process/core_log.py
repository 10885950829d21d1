"""What the core logs, in the log of a node: on the terminal as before, and on /rosout."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from rclpy.node import Node


class _Forwarder(logging.Handler):
    def __init__(self, node: Node) -> None:
        super().__init__(logging.WARNING)
        self._logger = node.get_logger().get_child("core")

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        # rclpy wants each place in the code to log at one level only.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        else:
            self._logger.warning(text)


@contextlib.contextmanager
def forwarded(node: Node) -> Iterator[None]:
    """Within the block, warnings and errors of ``emotion_core`` go to the node's log and not to Python's."""
    core, handler = logging.getLogger("emotion_core"), _Forwarder(node)
    propagated = core.propagate
    core.addHandler(handler)
    core.propagate = False
    try:
        yield
    finally:
        core.removeHandler(handler)
        core.propagate = propagated
