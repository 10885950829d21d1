"""Estimates out of messages, of ROS or of a bag; small, for every node loads it."""

from __future__ import annotations

import math
from typing import Any

from emotion_core.types import Box, EmotionEstimate, Face


def estimate_of(item: Any) -> EmotionEstimate:
    """What an EmotionEstimate says, of ROS or of a bag; raises ValueError where that makes no sense."""
    roi, stamp = item.roi, item.header.stamp
    face = None
    if roi.width and roi.height:
        box = Box(roi.x_offset, roi.y_offset, roi.width, roi.height)
        quality = float(getattr(item, "face_quality", math.nan))  # bags of the first release have none
        if math.isfinite(quality):
            quality = min(1.0, max(0.0, quality))
        face = Face(box, min(1.0, max(0.0, float(item.detection_score))), quality=quality)
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
