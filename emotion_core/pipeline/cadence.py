"""How fast frames come, and how long a gap between two of them may therefore be."""

from __future__ import annotations

import statistics
from collections import deque

from emotion_core.parameters import check_finite

_PERIODS = 3
"""A person may be missing in two frames, however slowly they come."""

_STEPS = 9
"""The mean of so many steps between frames is the period. A step of more than half of the others' sum is then longer
than three periods, and so a pause; less is what frames do that are dropped under load."""


class Cadence:
    """Follows the stamps of a stream.

    A person is forgotten after ``max_gap_s``, but never before three frames could have shown them: with a frame a
    second, or a frame in five minutes, a memory of half a second would lose everybody between two frames.

    Args:
        max_gap_s: the gap in seconds where frames come often.

    Attributes:
        max_gap_s: may be set between two frames.
    """

    def __init__(self, max_gap_s: float) -> None:
        self.max_gap_s = max_gap_s
        self._steps: deque[float] = deque(maxlen=_STEPS)
        self._last_s: float | None = None

    @property
    def gap_s(self) -> float:
        """The longest time in seconds that a person may be unseen."""
        period = statistics.fmean(self._steps) if self._steps else 0.0
        return max(self.max_gap_s, _PERIODS * period)

    def update(self, stamp_s: float) -> float:
        """Take the stamp of the next frame in seconds; returns ``gap_s``.

        A repeated stamp and a late one say nothing of the rate; a step back beyond ``gap_s`` is a new start.

        Raises:
            EmotionError: the stamp is no finite number.
        """
        check_finite(stamp_s, "the time of a frame in seconds")
        if self._last_s is None or self._last_s - stamp_s > self.gap_s:
            self._steps.clear()
            self._last_s = stamp_s
        elif stamp_s > self._last_s:
            self._steps.append(stamp_s - self._last_s)
            self._last_s = stamp_s
        return self.gap_s
