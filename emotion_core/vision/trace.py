"""The paths of people through the valence-arousal plane."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Sequence
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


@dataclass(frozen=True)
class _Place:
    stamp_s: float
    valence: float
    arousal: float
    label: str


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
        self._places: deque[_Place] = deque()

    def add(self, estimate: EmotionEstimate) -> None:
        """Go on to an estimate at its stamp; one without valence and arousal, or that comes late, is left out."""
        stamp_s = estimate.stamp_s
        back_s = self._places[-1].stamp_s - stamp_s if self._places else 0.0
        if estimate.track_id != self._track_id or back_s > self.max_gap_s:
            self._places.clear()
            back_s = 0.0
        self._track_id = estimate.track_id
        if back_s <= 0 and math.isfinite(estimate.valence) and math.isfinite(estimate.arousal):
            self._places.append(_Place(stamp_s, estimate.valence, estimate.arousal, estimate.label))
        while self._places and stamp_s - self._places[0].stamp_s >= self._seconds:
            self._places.popleft()

    def places(self) -> list[_Place]:
        """All that is kept, the oldest first; for ``to_points``."""
        return list(self._places)

    def points(self, stamp_s: float) -> list[TracePoint]:
        """What is not too old at a time in seconds, the oldest first."""
        return _to_points(self.places(), stamp_s, self._seconds, self.max_gap_s)


class AffectTraces:
    """The paths of everybody, by track; one thread may add while another reads.

    Somebody who keeps an id was followed all the time: the points are joined, however far apart they are.

    Args:
        seconds: how long a point stays; 0 keeps none.
    """

    def __init__(self, seconds: float = TRACE_S) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._traces: dict[str, AffectTrace] = {}

    def add(self, estimates: Iterable[EmotionEstimate], stamp_s: float) -> None:
        """Go on to the estimates of one moment in seconds; who was last seen too long ago is forgotten."""
        with self._lock:
            for estimate in estimates:
                if estimate.track_id and self._seconds > 0:
                    self._traces.setdefault(estimate.track_id, AffectTrace(self._seconds, math.inf)).add(estimate)
            # Also whom a clock has left in the future: ids are not used twice.
            self._traces = {
                track_id: trace
                for track_id, trace in self._traces.items()
                if (places := trace.places()) and abs(stamp_s - places[-1].stamp_s) < self._seconds
            }

    def points(self, estimates: Iterable[EmotionEstimate], stamp_s: float) -> dict[str, list[TracePoint]]:
        """The paths of those whose estimates these are, by track, at a time in seconds."""
        with self._lock:
            kept = {e.track_id: self._traces[e.track_id].places() for e in estimates if e.track_id in self._traces}
        return {track_id: _to_points(places, stamp_s, self._seconds, math.inf) for track_id, places in kept.items()}


def _to_points(places: Sequence[_Place], stamp_s: float, seconds: float, max_gap_s: float) -> list[TracePoint]:
    young = [place for place in places if stamp_s - place.stamp_s < seconds]
    return [
        TracePoint(
            place.valence,
            place.arousal,
            place.label,
            max(0.0, (stamp_s - place.stamp_s) / seconds),
            i > 0 and place.stamp_s - young[i - 1].stamp_s <= max_gap_s,
        )
        for i, place in enumerate(young)
    ]
