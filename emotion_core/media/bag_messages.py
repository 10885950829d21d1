"""Messages for bags, made of what the core knows; the same as the nodes publish."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.formats import encode
from emotion_core.audio.messages import CHUNK
from emotion_core.errors import EmotionError
from emotion_core.media.bag_types import PACKAGE
from emotion_core.media.estimates import estimate_of
from emotion_core.types import EmotionEstimate, Picture

ESTIMATES = f"{PACKAGE}/EmotionEstimates"
_QUALITY = 90


class Messages:
    """Makes messages of a type store's classes.

    Args:
        store: see ``make_typestore``.
    """

    def __init__(self, store: Any) -> None:
        self._types = store.types

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        """A std_msgs/Header."""
        stamp = self._types["builtin_interfaces/msg/Time"](stamp_ns // 1_000_000_000, stamp_ns % 1_000_000_000)
        return self._types["std_msgs/msg/Header"](stamp, frame_id)

    def image(self, picture: Picture, header: Any) -> Any:
        """A sensor_msgs/Image, bgr8."""
        height, width = picture.shape[:2]
        data = np.ascontiguousarray(picture).reshape(-1)
        return self._types["sensor_msgs/msg/Image"](header, height, width, "bgr8", 0, 3 * width, data)

    def compressed(self, picture: Picture, header: Any) -> Any:
        """A sensor_msgs/CompressedImage, JPEG."""
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if not done:
            raise EmotionError(f"expected a picture that JPEG can hold, got {picture.shape}")
        return self._types["sensor_msgs/msg/CompressedImage"](header, "bgr8; jpeg compressed bgr8", data.reshape(-1))

    def sound(self, samples: NDArray[Any], rate_hz: int, header: Any) -> Any:
        """An AudioChunk of (n, channels) samples; those of a type that it does not know become float32."""
        encoding, content = encode(samples)
        data = np.frombuffer(content, np.uint8)
        return self._types[CHUNK](header, rate_hz, samples.shape[1], encoding, data)

    def estimates(self, estimates: Sequence[EmotionEstimate], header: Any, width: int, height: int) -> Any:
        """An EmotionEstimates.

        Args:
            estimates: of one picture or one window of sound.
            header: the source's.
            width, height: of the picture in pixels, to which the regions of interest are clipped.
        """
        made = [self._estimate(estimate, header, width, height) for estimate in estimates]
        return self._types[ESTIMATES](header, made)

    def _estimate(self, estimate: EmotionEstimate, header: Any, width: int, height: int) -> Any:
        face = estimate.face
        x, y, w, h = (0, 0, 0, 0) if face is None else face.box.clamped(width, height)
        return self._types[f"{PACKAGE}/EmotionEstimate"](
            header=header,
            modalities=estimate.modalities,
            track_id=estimate.track_id,
            roi=self._types["sensor_msgs/msg/RegionOfInterest"](x, y, h, w, False),
            detection_score=math.nan if face is None else face.score,
            face_quality=math.nan if face is None else face.quality,
            label=estimate.label,
            confidence=estimate.confidence,
            labels=list(estimate.labels),
            probabilities=np.array(estimate.probabilities, np.float32),
            valence=estimate.valence,
            arousal=estimate.arousal,
            model=estimate.model,
        )


def estimates_of(message: Any) -> list[EmotionEstimate]:
    """What an EmotionEstimates says; raises EmotionError where that makes no sense."""
    try:
        return [estimate_of(item) for item in message.estimates]
    except (ValueError, AttributeError) as error:
        raise EmotionError(f"expected estimates, got a message with {error}") from None
