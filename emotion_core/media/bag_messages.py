"""Messages for bags, made of what the core knows; the same as the nodes publish."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.formats import FORMATS
from emotion_core.audio.messages import CHUNK
from emotion_core.errors import EmotionError
from emotion_core.media.bag_types import PACKAGE
from emotion_core.types import Box, EmotionEstimate, Face, Picture

ESTIMATES = f"{PACKAGE}/EmotionEstimates"
_QUALITY = 90
_ENCODINGS = {"u1": "U8", "i2": "S16LE", "i4": "S32LE", "f4": "F32LE"}


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
        kind = f"{samples.dtype.kind}{samples.dtype.itemsize}"
        if kind not in _ENCODINGS:
            samples, kind = samples.astype(np.float32), "f4"
        encoding = _ENCODINGS[kind]
        data = np.frombuffer(samples.astype(FORMATS[encoding]).tobytes(), np.uint8)
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


def estimate_of(item: Any) -> EmotionEstimate:
    """What an EmotionEstimate says, of ROS or of a bag; raises ValueError where that makes no sense."""
    roi, stamp = item.roi, item.header.stamp
    face = None
    if roi.width and roi.height:
        box = Box(roi.x_offset, roi.y_offset, roi.width, roi.height)
        face = Face(box, min(1.0, max(0.0, float(item.detection_score))))
    return EmotionEstimate(
        stamp_s=stamp.sec + stamp.nanosec / 1_000_000_000,
        labels=tuple(item.labels),
        probabilities=tuple(float(p) for p in item.probabilities),
        valence=float(item.valence),
        arousal=float(item.arousal),
        face=face,
        track_id=item.track_id,
        model=item.model,
        modalities=int(item.modalities),
        label=item.label,
    )
