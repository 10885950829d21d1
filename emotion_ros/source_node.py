"""Node `source`: publishes the frames of a camera, a video or pictures on `image`.

Recordings play at their own speed: a thread decodes ahead and a timer publishes what is due. A camera's
frames are published as they come. The node ends by itself: with 0 after the last frame, with 2 when the
source cannot be read.
"""

from __future__ import annotations

import queue
import sys
import threading
import time

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

from emotion_core.media.frames import STILLS_RATE_HZ, SourceConfig, open_frames, resized
from emotion_ros.images import to_message
from emotion_ros.parameters import declare, read
from emotion_ros.qos import IMAGE_OUT
from emotion_ros.runner import run

NAME = "source"
CONFIGS = (SourceConfig,)
QUEUE_FRAMES = 8
MAX_LATE_NS = 250_000_000
"""Further behind than this (the machine slept, decoding is slow), playing goes on from where it stands."""
SETTLE_S = 0.3
"""From seeing the first subscriber to the first frame: its side may see this one a moment later."""

_Timed = tuple[ImageMessage, int]  # message without its stamp, media time in ns


class SourceNode(Node):
    """Publishes until ``outcome`` is set: True at the end of the media, else the exception that ended it.

    Raises EmotionError where the source cannot be opened or a parameter is wrong.
    """

    def __init__(self) -> None:
        super().__init__(NAME)
        declare(self, SourceConfig)
        self.config = read(self, SourceConfig)
        self.frames = open_frames(self.config.source, self.config.loop, self.config.rate_hz)
        self.outcome: Exception | bool | None = None
        self.published = 0
        self._publisher = self.create_publisher(ImageMessage, "image", IMAGE_OUT)
        self._queue: queue.Queue[_Timed | Exception | bool] = queue.Queue(QUEUE_FRAMES)
        self._next: _Timed | None = None
        self._anchor_ns: int | None = None  # the node's clock at media time 0
        self._last_ns = -1
        self._seen_s: float | None = None
        self._period_ns = round(1e9 / (self.config.rate_hz or self.frames.rate_hz or STILLS_RATE_HZ))
        if not self.frames.is_live:
            self.create_timer(self._period_ns / 1e9, self._tick)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._decode, name="decode", daemon=True)
        self._thread.start()

    def destroy_node(self) -> None:
        """End the thread, let the last images arrive, and close the source."""
        self._stop.set()
        self._thread.join(timeout=2)
        if not self._thread.is_alive():  # else a camera's driver holds it, and its source with it
            self.frames.close()
        if self.outcome is True:
            self._publisher.wait_for_all_acked(Duration(seconds=1))
            time.sleep(0.1)  # best-effort subscribers acknowledge nothing
        super().destroy_node()

    def _decode(self) -> None:
        """In the thread: read, convert, and queue or publish."""
        image, message = None, None
        outcome: Exception | bool = True
        try:
            for frame, media_s in self.frames:
                read_ns = self._now_ns()
                if message is None or frame is not image:  # a repeated frame is converted once
                    header = Header(frame_id=self.config.frame_id)
                    image, message = (
                        frame,
                        to_message(resized(frame, self.config.width), header, self.config.encoding),
                    )
                if self._stop.is_set():
                    return
                if not self.frames.is_live:
                    self._put((message, round(media_s * 1e9)))
                elif self._may_start():
                    self._publish(message, read_ns)
        except Exception as error:  # the main thread decides what it means
            outcome = error
        if self.frames.is_live:
            self.outcome = outcome
        else:
            self._put(outcome)

    def _put(self, item: _Timed | Exception | bool) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def _tick(self) -> None:
        """Publish what is due."""
        if self._next is None:
            self._advance()
        if self._next is None or not self._may_start():
            return
        now = self._now_ns()
        if self._anchor_ns is None or now < self._last_ns - MAX_LATE_NS:  # the clock may have been set back
            self._anchor_ns, self._last_ns = now - self._next[1], -1
        late_ns = now - self._anchor_ns - self._next[1]
        if late_ns > MAX_LATE_NS:
            self._anchor_ns += late_ns
            self.get_logger().warning(f"{late_ns / 1e9:.1f} s late, playing on from here", throttle_duration_sec=5)
        # Due within half a period is due now: ticks jitter, and the next one would be further off.
        while self._next is not None and self._anchor_ns + self._next[1] <= now + self._period_ns // 2:
            self._publish(self._next[0], min(now, self._anchor_ns + self._next[1]))
            self._advance()

    def _advance(self) -> None:
        self._next = None
        try:
            item = self._queue.get_nowait()
        except queue.Empty:
            return
        if isinstance(item, tuple):
            self._next = item
        else:
            self.outcome = item

    def _may_start(self) -> bool:
        if self.published or not self.config.wait_for_subscriber:
            return True
        if self._seen_s is None and self._publisher.get_subscription_count():
            self._seen_s = time.monotonic()
        return self._seen_s is not None and time.monotonic() >= self._seen_s + SETTLE_S

    def _publish(self, message: ImageMessage, stamp_ns: int) -> None:
        self._last_ns = max(stamp_ns, self._last_ns + 1)
        message.header.stamp = Time(nanoseconds=self._last_ns).to_msg()
        self._publisher.publish(message)
        self.published += 1

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)


def finish(node: SourceNode) -> int:
    """Say how it went; raises what ended the playing early."""
    if isinstance(node.outcome, Exception):
        raise node.outcome
    skipped = f" ({node.frames.skipped} unreadable ones skipped)" if node.frames.skipped else ""
    node.get_logger().info(f"published {node.published} images of {node.config.source}{skipped}")
    return 0


def main(args: list[str] | None = None) -> int:
    """Run until the source ends or fails, or until SIGINT or SIGTERM; returns the exit code."""
    return run(NAME, SourceNode, args, done=lambda node: node.outcome is not None, finish=finish)


if __name__ == "__main__":
    sys.exit(main())
