"""The last images of a depth camera that looks where the colour camera does."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from numpy.typing import NDArray
from sensor_msgs.msg import Image

from emotion_core.errors import EmotionError
from emotion_core.media.pixels import decode_depth
from emotion_ros.base import qos
from emotion_ros.base.managed import THROTTLE_S, ManagedNode
from emotion_ros.messages.conversions import to_seconds

_KEPT = 4
"""The depth of an image comes before or after its estimates: so many of the last are kept."""


class DepthImages:
    """Images on ``depth``, registered to the colour image; the one of a time is asked for.

    Args:
        node: has them as an input while it is active.
        slop_s: so far may its stamp be from that time in seconds.
    """

    def __init__(self, node: ManagedNode, slop_s: float) -> None:
        self._node, self._slop_s = node, slop_s
        self._lock = threading.Lock()
        self._images: deque[tuple[float, Image]] = deque(maxlen=_KEPT)

    def listen(self) -> None:
        """Subscribe."""
        self._node.input(Image, "depth", self._add, qos.LATEST_IMAGE)

    def forget(self) -> None:
        """Give up what came."""
        with self._lock:
            self._images.clear()

    def at(self, stamp_s: float) -> NDArray[Any] | None:
        """(H, W) uint16 millimetres or float32 metres at a time in seconds; None where there is no such image."""
        with self._lock:
            images = list(self._images)
        if not images:
            return None
        found_s, message = min(images, key=lambda item: abs(item[0] - stamp_s))
        if abs(found_s - stamp_s) > self._slop_s:
            return None
        try:
            return decode_depth(
                message.encoding,
                message.height,
                message.width,
                message.step,
                message.data,
                bool(message.is_bigendian),
            )
        except EmotionError as error:
            self._node.get_logger().warning(f"no use of a depth image: {error}", throttle_duration_sec=THROTTLE_S)
            return None

    def _add(self, message: Image) -> None:
        with self._lock:
            self._images.append((to_seconds(message.header.stamp), message))
