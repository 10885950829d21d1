"""Node `bag_recorder`: writes what comes on topics into a bag, as it comes.

Topics may appear at any time. It ends after duration_s, on SIGINT or SIGTERM, or when the disk is nearly full: the bag
is whole in every case. Only where the machine itself stops, or others fill the disk, its index is missing.
"""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from emotion_core.errors import EmotionError
from emotion_core.media.bag_files import RawBag
from emotion_core.media.bag_types import make_typestore
from emotion_core.media.bag_writer import BagWriter
from emotion_core.parameters import CheckedConfig, parameter
from emotion_ros.base import parameters
from emotion_ros.messages.definitions import definitions_of
from emotion_ros.messages.others import message_type
from emotion_ros.process.runner import Program
from emotion_ros.write_queue import WriteQueue

NAME = "bag_recorder"
LOOK_S = 0.2
"""Between two looks at which topics there are, how long it has gone on, and how full the disk is."""


@dataclass(frozen=True)
class BagRecorderConfig(CheckedConfig):
    """What the node ``bag_recorder`` writes; raises EmotionError for a bad value."""

    out: str = parameter("bag", "Folder of the bag, which must not exist or be empty.")
    topics: str = parameter("", "Topics to record, with blanks between them; empty for all there are.")
    duration_s: float = parameter(
        0.0, "Ends after this many seconds; 0 goes on until stopped.", low=0.0, high=604_800.0
    )
    keep_free_mb: int = parameter(256, "Ends when the disk has fewer megabytes left.", low=0, high=999_999)
    queue_mb: int = parameter(
        256, "So many megabytes of messages may wait for the disk; what finds no room is dropped and counted.",
        low=1, high=65536,
    )  # fmt: skip


CONFIGS = (BagRecorderConfig,)


class BagRecorderNode(Node):
    """Records until ``outcome`` is set: True after duration_s, else the exception that ended it.

    Args:
        name: of the node, unless it is remapped.
        options: of ``rclpy.node.Node``.

    Raises:
        EmotionError: the folder cannot be written, or a parameter is wrong.
    """

    def __init__(self, name: str = NAME, **options: Any) -> None:
        super().__init__(name, **options)
        parameters.declare(self, BagRecorderConfig)
        self.config = parameters.read(self, BagRecorderConfig)
        self.wanted = [self.resolve_topic_name(name) for name in self.config.topics.split()]
        self.outcome: Exception | bool | None = None
        self._writer = BagWriter(self.config.out, in_place=True)
        self.queue = WriteQueue(self._writer.write_raw, self.config.queue_mb * 1_000_000)
        self.topics: dict[str, str] = {}
        self._refused: set[tuple[str, str]] = set()
        self._definitions: dict[str, str] = {}
        self._began_s = time.monotonic()
        self.create_timer(LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        what = ", ".join(self.wanted) or "all topics"
        self.get_logger().info(f"ready, recording {what} into {self.path}")

    @property
    def path(self) -> Path:
        """The bag."""
        return self._writer.path

    def finish(self) -> None:
        """Write what waits, and close the bag; raises EmotionError where that cannot be."""
        self.queue.finish()
        if self.queue.error is not None:
            self._writer.abort()
            with RawBag(self.path) as bag:
                left = sum(topic.count for topic in bag.topics)
            raise EmotionError(f"{self.queue.error}; {left} messages are in the bag, without their index")
        self._writer.close()

    def _look(self) -> None:
        for name, kinds in self.get_topic_names_and_types():
            if name in self.wanted or (not self.wanted and "/_" not in name):
                self._subscribe(name, kinds[0])
        if self.outcome is not None:
            return
        if self.queue.error is not None:
            self.outcome = self.queue.error
        elif 0 < self.config.duration_s <= time.monotonic() - self._began_s:
            self.outcome = True
        elif (free := shutil.disk_usage(self.path).free) < self.config.keep_free_mb * 1_000_000:
            self.outcome = EmotionError(f"{self.path}: the disk has only {free / 1e6:.0f} MB left, recording has ended")

    def _subscribe(self, name: str, kind: str) -> None:
        if name in self.topics or (name, kind) in self._refused:
            return
        offers = [info.qos_profile for info in self.get_publishers_info_by_topic(name)]
        if not offers:
            return  # somebody listens, and nobody speaks yet
        try:
            package, _, message = kind.split("/")
            definitions = dict(definitions_of(kind))
            message_class = message_type(package, message, name)
        except EmotionError as error:
            self._refused.add((name, kind))
            self.get_logger().warning(f"{name} is not recorded: {error}")
            return
        if definitions.keys() - self._definitions.keys():
            self._definitions |= definitions
            self._writer.store = make_typestore(self._definitions.items())
        self.topics[name] = kind
        self.create_subscription(message_class, name, partial(self._take, name, kind), _fitting(offers), raw=True)
        self.get_logger().info(f"recording {name}")

    def _take(self, name: str, kind: str, data: bytes) -> None:
        self.queue.put(name, kind, data, int(self.get_clock().now().nanoseconds))


def _fitting(offers: list[Any]) -> QoSProfile:
    """What matches all publishers and loses as little as that allows."""
    reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
    latched = all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=100,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def finish(node: BagRecorderNode) -> int:
    """Close the bag and say what is in it; 1 when a topic did not come or the recording ended before its time."""
    node.finish()
    queue = node.queue
    dropped = f", {queue.dropped} dropped because the disk did not keep up" if queue.dropped else ""
    node.get_logger().info(f"wrote {queue.written} messages of {len(node.topics)} topics into {node.path}{dropped}")
    failures = [str(node.outcome)] if isinstance(node.outcome, Exception) else []
    if missing := [name for name in node.wanted if name not in node.topics]:
        failures.append(f"nobody has published {', '.join(missing)}: check the names with `ros2 topic list`")
    for failure in failures:
        print(f"{NAME}: error: {failure}", file=sys.stderr)
    return 1 if failures else 0


PROGRAM = Program(NAME, BagRecorderNode, done=lambda node: node.outcome is not None, finish=finish)


def main(args: list[str] | None = None) -> int:
    """Record until the end or until SIGINT or SIGTERM.

    Returns:
        0; 1 when a named topic did not come or the disk was nearly full; 2 for bad parameters.
    """
    return PROGRAM.run(args)


if __name__ == "__main__":
    sys.exit(main())
