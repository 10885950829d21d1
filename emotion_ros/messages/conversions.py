"""Between the core's dataclasses and the messages of this package."""

from __future__ import annotations

import math
from collections.abc import Sequence

from builtin_interfaces.msg import Time
from emotion_perception.msg import EmotionEstimate, EmotionEstimates
from std_msgs.msg import Header

from emotion_core import types
from emotion_core.media.estimates import estimate_of

_NANOSECONDS = 1_000_000_000


def to_seconds(stamp: Time) -> float:
    """A stamp in seconds; good to a microsecond for today's dates."""
    return stamp.sec + stamp.nanosec / _NANOSECONDS


def to_stamp(seconds: float) -> Time:
    """A time in seconds as a stamp."""
    return Time(**dict(zip(("sec", "nanosec"), divmod(round(seconds * _NANOSECONDS), _NANOSECONDS), strict=True)))


def to_message(estimate: types.EmotionEstimate, header: Header, width: int, height: int) -> EmotionEstimate:
    """One estimate as a message.

    Args:
        estimate: from the core.
        header: the source's, copied as it is.
        width, height: size of the source image in pixels, to which the region of interest is clipped.
    """
    message = EmotionEstimate(header=header, modalities=estimate.modalities, track_id=estimate.track_id)
    if estimate.face is not None:
        roi = message.roi
        roi.x_offset, roi.y_offset, roi.width, roi.height = estimate.face.box.clamped(width, height)
        message.detection_score = estimate.face.score
        message.face_quality = estimate.face.quality
    else:
        message.detection_score = message.face_quality = math.nan
    message.label = estimate.label
    message.confidence = estimate.confidence
    message.labels = list(estimate.labels)
    message.probabilities = list(estimate.probabilities)
    message.valence, message.arousal = estimate.valence, estimate.arousal
    message.model = estimate.model
    return message


def to_messages(
    estimates: Sequence[types.EmotionEstimate], header: Header, width: int, height: int
) -> EmotionEstimates:
    """All estimates of one image; an empty list says that nobody is there."""
    return EmotionEstimates(header=header, estimates=[to_message(e, header, width, height) for e in estimates])


def from_message(message: EmotionEstimate) -> types.EmotionEstimate:
    """Inverse of ``to_message``, as far as the message says; raises ValueError when it makes no sense."""
    return estimate_of(message)
