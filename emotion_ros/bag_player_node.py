"""Node `bag_player`: plays a recorded bag into ROS, with the stamps of its messages and the bag's time on /clock.

Messages are passed on as the bytes that were recorded. With `wait_for`, the next picture is sent only when the
estimates of the last one have come: nothing is dropped however slow the estimating node is, and the bag gives the same
estimates every time. The node ends by itself: with 0 after the last message, with 2 when the bag cannot be read.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from emotion_perception.msg import EmotionEstimates
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.time import Time
from rosgraph_msgs.msg import Clock

from emotion_core.errors import EmotionError
from emotion_core.media.bag_files import RawBag
from emotion_core.media.bag_types import RawMessage
from emotion_core.media.bags import IMAGE_TYPES
from emotion_core.parameters import CheckedConfig, parameter
from emotion_ros.base import parameters, qos
from emotion_ros.messages.others import message_type
from emotion_ros.process.runner import Program

NAME = "bag_player"
CLOCK_S = 0.025
"""Between two messages on /clock while nothing else is sent."""
SETTLE_S = 0.3
"""From seeing a subscriber to the first message: its side may see this one a moment later."""
_RELIABLE = QoSProfile(depth=100)


@dataclass(frozen=True)
class BagPlayerConfig(CheckedConfig):
    """What the node ``bag_player`` plays; raises EmotionError for a bad value."""

    bag: str = parameter("", "Folder of a bag, or one of its files.")
    topics: str = parameter(
        "", "Topics to play, with blanks between them; empty for all whose messages are installed here."
    )
    rate: float = parameter(1.0, "How many times as fast as it was recorded.", low=0.01, high=1000.0)
    clock: bool = parameter(True, "Publish the time in the bag on /clock.")
    wait_for_subscriber: bool = parameter(
        False, "Wait for the first subscriber to the pictures, so that it misses nothing."
    )
    wait_for: str = parameter(
        "", "Topic of estimates that the next picture waits for, such as /facial/estimates; empty to play by the time."
    )
    answer_timeout_s: float = parameter(
        5.0, "So long a picture waits for the estimates of the last.", low=0.1, high=600.0
    )


CONFIGS = (BagPlayerConfig,)


class BagPlayerNode(Node):
    """Plays until ``outcome`` is set: True at the end of the bag, else the exception that ended it.

    Args:
        name: of the node, unless it is remapped.
        options: of ``rclpy.node.Node``.

    Raises:
        EmotionError: the bag cannot be read, holds nothing that can be played, or a parameter is wrong.
    """

    def __init__(self, name: str = NAME, **options: Any) -> None:
        super().__init__(name, **options)
        parameters.declare(self, BagPlayerConfig)
        self.config = parameters.read(self, BagPlayerConfig)
        if not self.config.bag:
            raise EmotionError("parameter bag: expected the folder of a bag or one of its files, got nothing")
        self.bag = RawBag(self.config.bag)
        self.outcome: Exception | bool | None = None
        self.published = self.unanswered = 0
        self._pictures: list[Publisher] = []
        self._outputs = self._advertise()
        self._time = self.create_publisher(Clock, "/clock", 10) if self.config.clock else None
        self._stop, self._answered = threading.Event(), threading.Condition()
        self._answers, self._answer_ns = 0, -1
        if self.config.wait_for:
            self.create_subscription(EmotionEstimates, self.config.wait_for, self._answer, qos.ESTIMATES)
        self._thread = threading.Thread(target=self._play, name="play", daemon=True)
        self._thread.start()

    def _advertise(self) -> dict[tuple[str, str], Publisher]:
        """A publisher for each topic that is played."""
        names = self.config.topics.split()
        there = {topic.name for topic in self.bag.topics}
        for name in names:
            if name not in there:
                raise EmotionError(
                    f"{self.bag.path}: there is no topic {name}, expected one of {', '.join(sorted(there))}"
                )
        publishers = {}
        for topic in self.bag.topics:
            if names and topic.name not in names:
                continue
            package, _, name = topic.type.split("/")
            try:
                kind = message_type(package, name, topic.name)
            except EmotionError as error:
                if names:
                    raise
                self.get_logger().warning(f"left out: {error}")
                continue
            picture = topic.type in IMAGE_TYPES
            profile = qos.IMAGE_OUT if picture else qos.LATCHED if topic.name.endswith("tf_static") else _RELIABLE
            publishers[topic.name, topic.type] = self.create_publisher(kind, topic.name, profile)
            if picture:
                self._pictures.append(publishers[topic.name, topic.type])
        if not publishers:
            raise EmotionError(f"{self.bag.path}: none of its messages is installed here")
        return publishers

    def destroy_node(self) -> None:
        """End the thread, let the last messages arrive, and let go of the bag."""
        self._stop.set()
        with self._answered:
            self._answered.notify_all()
        self._thread.join(timeout=5)
        if self.outcome is True:
            for publisher in self._outputs.values():
                publisher.wait_for_all_acked(Duration(seconds=1))
            time.sleep(0.1)  # best-effort subscribers acknowledge nothing
        self.bag.close()
        super().destroy_node()

    # ---- in the thread ---------------------------------------------------------------------------------------------

    def _play(self) -> None:
        try:
            self._wait_for_others()
            span_ns, began_s = self.bag.span_ns or (0, 0), time.monotonic()
            for message in self.bag.messages([name for name, _ in self._outputs]):
                publisher = self._outputs.get((message.topic, message.type))
                if publisher is None:
                    continue
                self._tick_until(message.time_ns, span_ns[0], began_s)
                if self._stop.is_set():
                    return
                answers = self._answers
                publisher.publish(message.data)
                self.published += 1
                if self.config.wait_for and message.type in IMAGE_TYPES:
                    self._wait_for_answer(_stamp_ns(message), answers)
            self.outcome = True
        except Exception as error:  # the main thread decides what it means
            self.outcome = error

    def _wait_for_others(self) -> None:
        """Until somebody listens to the pictures, and somebody sends the estimates that are waited for."""
        wanted = self.config.wait_for_subscriber or bool(self.config.wait_for)
        while wanted and not self._stop.is_set():
            heard = not self._pictures or any(publisher.get_subscription_count() for publisher in self._pictures)
            if heard and (not self.config.wait_for or self.count_publishers(self.config.wait_for)):
                self._stop.wait(SETTLE_S)
                return
            self._stop.wait(0.05)

    def _tick_until(self, time_ns: int, start_ns: int, began_s: float) -> None:
        """Go on with the clock to a time in the bag."""
        while not self._stop.is_set():
            media_ns = round((time.monotonic() - began_s) * self.config.rate * 1e9)
            left_s = (time_ns - start_ns - media_ns) / self.config.rate / 1e9
            if left_s <= 0:
                self._tell_time(time_ns)
                return
            self._tell_time(start_ns + media_ns)
            self._stop.wait(min(left_s, CLOCK_S))

    def _tell_time(self, time_ns: int) -> None:
        if self._time is not None:
            self._time.publish(Clock(clock=Time(nanoseconds=time_ns).to_msg()))

    def _wait_for_answer(self, stamp_ns: int, answers: int) -> None:
        """Until the estimates of a picture have come; ``answers`` had come before it was sent."""

        def come() -> bool:
            # Whom nobody stamped, the node stamps itself.
            return self._stop.is_set() or (self._answers > answers and stamp_ns in (0, self._answer_ns))

        with self._answered:
            if not self._answered.wait_for(come, self.config.answer_timeout_s):
                self.unanswered += 1
                self.get_logger().warning(
                    f"no estimates have come for a picture within {self.config.answer_timeout_s:g} s, going on",
                    throttle_duration_sec=5.0,
                )

    # ---- in the executor -------------------------------------------------------------------------------------------

    def _answer(self, message: EmotionEstimates) -> None:
        stamp = message.header.stamp
        with self._answered:
            self._answers, self._answer_ns = self._answers + 1, stamp.sec * 1_000_000_000 + stamp.nanosec
            self._answered.notify_all()


def _stamp_ns(message: RawMessage) -> int:
    """Of the header, with which every picture's message begins; CDR has four bytes before it, of its byte order."""
    order: Any = "little" if message.data[1] & 1 else "big"
    sec, nanosec = (int.from_bytes(message.data[i : i + 4], order) for i in (4, 8))
    return sec * 1_000_000_000 + nanosec


def finish(node: BagPlayerNode) -> int:
    """Say how it went; raises what ended the playing early."""
    if isinstance(node.outcome, Exception):
        raise node.outcome
    for line in node.bag.damage:
        node.get_logger().warning(f"{node.bag.path}: {line}")
    unanswered = f", {node.unanswered} pictures without an answer" if node.config.wait_for else ""
    node.get_logger().info(f"published {node.published} messages of {node.config.bag}{unanswered}")
    return 0


PROGRAM = Program(NAME, BagPlayerNode, done=lambda node: node.outcome is not None, finish=finish)


def main(args: list[str] | None = None) -> int:
    """Run until the bag ends or fails, or until SIGINT or SIGTERM; returns the exit code."""
    return PROGRAM.run(args)


if __name__ == "__main__":
    sys.exit(main())
