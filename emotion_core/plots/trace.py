"""The path of one person through the valence-arousal plane."""

from __future__ import annotations

import math
from dataclasses import dataclass

from emotion_core.types import EmotionEstimate

TRACE_S = 5.0
"""How long the path through the valence-arousal plane stays."""


@dataclass(frozen=True)
class TracePoint:
    """A place in the valence-arousal plane, and its age from 0 (now) to 1 (about to vanish)."""

    valence: float
    arousal: float
    label: str
    age: float
    joined: bool
    """Whether a line leads here from the point before."""


class AffectTrace:
    """Where one person was in the valence-arousal plane during the last seconds; another person starts anew.

    Args:
        seconds: how long a point stays.
        max_gap_s: points further apart are not joined, and a larger step back in time starts anew.

    Attributes:
        max_gap_s: may be set at any time.
    """

    def __init__(self, seconds: float = TRACE_S, max_gap_s: float = 0.5) -> None:
        self._seconds, self.max_gap_s = seconds, max_gap_s
        self._track_id = ""
        self._points: list[tuple[float, EmotionEstimate]] = []

    def add(self, estimate: EmotionEstimate) -> None:
        """Go on to an estimate at its stamp; one without valence and arousal, or that comes late, is left out."""
        back_s = self._points[-1][0] - estimate.stamp_s if self._points else 0.0
        if estimate.track_id != self._track_id or back_s > self.max_gap_s:
            self._points.clear()
            back_s = 0.0
        self._track_id = estimate.track_id
        if back_s <= 0 and math.isfinite(estimate.valence) and math.isfinite(estimate.arousal):
            self._points.append((estimate.stamp_s, estimate))

    def points(self, stamp_s: float) -> list[TracePoint]:
        """What is not too old at a time in seconds, the oldest first."""
        self._points = [item for item in self._points if stamp_s - item[0] < self._seconds]
        stamps = [stamp for stamp, _ in self._points]
        return [
            TracePoint(
                point.valence,
                point.arousal,
                point.label,
                max(0.0, (stamp_s - stamp) / self._seconds),
                i > 0 and stamp - stamps[i - 1] <= self.max_gap_s,
            )
            for i, (stamp, point) in enumerate(self._points)
        ]
