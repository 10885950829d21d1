"""Node `source`: publishes what a camera, a video or pictures show on `image`, and what sounds with it on `audio`.

Recordings play at their own speed, pictures and sound on one clock. A camera's pictures and a microphone's sound are
published as they come. The node ends by itself: with 0 at the end of a recording, with 2 when the source cannot be
read.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from emotion_perception.msg import AudioChunk
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

from emotion_core.media.frames import STILLS_RATE_HZ, FrameSource, resized
from emotion_core.media.microphone import Microphone
from emotion_core.media.playing import open_playing
from emotion_core.media.sound import Chunk
from emotion_core.media.source_config import SourceConfig, SourceSoundConfig
from emotion_core.types import Picture
from emotion_ros import sound_messages
from emotion_ros.base.handover import Outlet
from emotion_ros.base.parameters import declare, read
from emotion_ros.base.qos import IMAGE_OUT, SOUND_OUT
from emotion_ros.messages.images import to_message
from emotion_ros.playback import MAX_LATE_NS, Item, Player
from emotion_ros.process.runner import Program

NAME = "source"
CONFIGS = (SourceConfig, SourceSoundConfig)
SETTLE_S = 0.3
"""From seeing the first subscriber to the first message: its side may see this one a moment later."""


class SourceNode(Node):
    """Publishes until ``outcome`` is set: True at the end of the media, else the exception that ended it.

    Args:
        name: of the node, unless it is remapped.
        options: of ``rclpy.node.Node``.

    Raises:
        EmotionError: the source cannot be opened, or a parameter is wrong.
    """

    def __init__(self, name: str = NAME, **options: Any) -> None:
        super().__init__(name, **options)
        declare(self, *CONFIGS)
        self.config, self.sound = read(self, SourceConfig), read(self, SourceSoundConfig)
        self.outcome: Exception | bool | None = None
        self.images, self.heard_s = 0, 0.0
        self._microphone = self._open_microphone() if self.sound.microphone else None
        self.media = open_playing(self.config, self.sound)
        with_sound = self._microphone is not None or self.media.sound is not None
        self._image = self._outlet(ImageMessage, "image", IMAGE_OUT) if self.media.frames is not None else None
        self._audio = self._outlet(AudioChunk, "audio", SOUND_OUT) if with_sound else None
        self._started = not self.config.wait_for_subscriber
        self._seen_s: float | None = None
        self._last_ns = -1
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._player: Player | None = None
        frames = self.media.frames
        if frames is not None and frames.is_live:
            self._begin(self._watch, frames)
        elif frames is not None or self.media.sound is not None:
            self._player = Player(self, self._items(), self._period_s(), self._may_start, self._end)
        if self._microphone is not None:
            self._begin(self._listen, self._microphone)

    def destroy_node(self) -> None:
        """End the threads, let the last messages arrive, and close the source."""
        self._stop.set()
        if self._microphone is not None:
            self._microphone.close()
        for thread in self._threads:
            thread.join(timeout=2)
        ended = self._player is None or self._player.close()
        if ended and not any(thread.is_alive() for thread in self._threads):  # else a driver holds it, and its source
            self.media.close()
        if self.outcome is True:
            for publisher in (self._image, self._audio):
                if publisher is not None:
                    publisher.wait_for_all_acked(Duration(seconds=1))
            time.sleep(0.1)  # best-effort subscribers acknowledge nothing
        super().destroy_node()

    def _outlet(self, kind: type, topic: str, profile: QoSProfile) -> Outlet:
        return Outlet(self, self.create_publisher(kind, topic, profile))

    # ---- recordings ----------------------------------------------------------------------------------------------

    def _items(self) -> Iterator[Item]:
        """What is to be published, ready to be sent; made ahead in the player's thread."""
        last: Picture | None = None
        message: ImageMessage | None = None
        for part in self.media:
            time_ns = round(part.stamp_s * 1e9)
            if isinstance(part, Chunk):
                publish = partial(self._say, self._sound_message(part), part.length_s)
                yield Item(publish, time_ns, time_ns + round(part.length_s * 1e9), exact=True)
                continue
            if message is None or part.picture is not last:  # a repeated one is converted once
                last, message = part.picture, self._image_message(part.picture)
            yield Item(partial(self._show, message), time_ns, time_ns)

    def _period_s(self) -> float:
        """How often something is due."""
        chunk_s = self.sound.audio_chunk_s
        if self.media.frames is None:
            return chunk_s
        period_s = 1 / (self.config.rate_hz or self.media.frames.rate_hz or STILLS_RATE_HZ)
        return period_s if self.media.sound is None else min(period_s, chunk_s)

    def _end(self, outcome: Exception | bool) -> None:
        self.outcome = self.outcome or outcome

    # ---- what is live --------------------------------------------------------------------------------------------

    def _begin(self, work: Callable[[Any], None], source: Any) -> None:
        """Work in a thread of its own; what ends it ends the node."""

        def run_it() -> None:
            try:
                work(source)
                self._end(True)
            except Exception as error:  # the main thread decides what it means
                self._end(error)

        thread = threading.Thread(target=run_it, name=work.__name__, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _watch(self, frames: FrameSource) -> None:
        for picture, _ in frames:
            read_ns = self._now_ns()
            if self._stop.is_set():
                return
            if self._may_start():
                set_back = read_ns < self._last_ns - MAX_LATE_NS  # the clock; else stamps only increase
                self._last_ns = read_ns if set_back else max(read_ns, self._last_ns + 1)
                self._show(self._image_message(picture), self._last_ns)

    def _open_microphone(self) -> Microphone:
        sound = self.sound
        form = (sound.microphone_rate_hz, sound.microphone_channels, sound.audio_chunk_s)
        return Microphone(sound.microphone, *form, clock=lambda: self._now_ns() / 1e9)

    def _listen(self, microphone: Microphone) -> None:
        for chunk in microphone:
            if self._may_start():
                self._say(self._sound_message(chunk), chunk.length_s, round(chunk.stamp_s * 1e9))

    # ---- messages ------------------------------------------------------------------------------------------------

    def _may_start(self) -> bool:
        if self._started:
            return True
        awaited = self._image or self._audio
        if self._seen_s is None and awaited is not None and awaited.get_subscription_count():
            self._seen_s = time.monotonic()
        self._started = self._seen_s is not None and time.monotonic() >= self._seen_s + SETTLE_S
        return self._started

    def _image_message(self, picture: Picture) -> ImageMessage:
        header = Header(frame_id=self.config.frame_id)
        return to_message(resized(picture, self.config.width), header, self.config.encoding)

    def _sound_message(self, chunk: Chunk) -> AudioChunk:
        return sound_messages.to_message(chunk.sound, chunk.rate_hz, Header(frame_id=self.sound.audio_frame_id))

    def _show(self, message: ImageMessage, stamp_ns: int) -> None:
        assert self._image is not None
        message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        self._image.publish(message)
        self.images += 1

    def _say(self, message: AudioChunk, length_s: float, stamp_ns: int) -> None:
        assert self._audio is not None
        message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        self._audio.publish(message)
        self.heard_s += length_s

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)


def finish(node: SourceNode) -> int:
    """Say how it went; raises what ended the playing early."""
    if isinstance(node.outcome, Exception):
        raise node.outcome
    images = f"{node.images} images" if node.media.frames is not None else ""
    sound = f"{node.heard_s:.1f} s of sound" if node.heard_s or not images else ""
    skipped = f" ({node.media.skipped} unreadable ones skipped)" if node.media.skipped else ""
    what = " and ".join(filter(None, (images, sound)))
    node.get_logger().info(f"published {what} of {node.config.source or node.sound.microphone}{skipped}")
    return 0


PROGRAM = Program(NAME, SourceNode, done=lambda node: node.outcome is not None, finish=finish)


def main(args: list[str] | None = None) -> int:
    """Run until the source ends or fails, or until SIGINT or SIGTERM; returns the exit code."""
    return PROGRAM.run(args)


if __name__ == "__main__":
    sys.exit(main())
