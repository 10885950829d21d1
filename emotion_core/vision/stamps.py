"""What the stamps of a stream say about time: they go on, stand still, come late or begin anew."""

from __future__ import annotations

from enum import Enum, auto

_STILL_S = 1e-4
"""Stamps that advance by less stand still."""

_STILL_FRAME_S = 1 / 30
"""So much time a frame counts whose stamp stands still: time passes then too."""


class Step(Enum):
    """From what came before to the next stamp."""

    START = auto()  # the first one, or a new beginning
    NEWER = auto()
    STILL = auto()  # as new as the newest
    LATE = auto()


class Stamps:
    """Follows the stamps of one stream.

    Attributes:
        newest_s: the newest stamp in seconds.
        idle_s: time that the last frame added although its stamp is not the newest. Of a frame right after a newer
            one it is 0: that is a twin or came out of order. Of each further one it is the step from the frame
            before, or 1/30 s where there is none.
    """

    def __init__(self) -> None:
        self.newest_s = self._previous_s = float("-inf")
        self.idle_s = self._late_s = 0.0
        self._went_on = False

    def update(self, stamp_s: float, max_gap_s: float) -> Step:
        """Take the next stamp; ``max_gap_s`` is how far behind the newest, and for how long, frames may be late."""
        step, ahead_s = self._step(stamp_s, max_gap_s), stamp_s - self._previous_s
        self.idle_s = 0.0
        if step in (Step.STILL, Step.LATE) and not self._went_on:
            self.idle_s = ahead_s if ahead_s >= _STILL_S else _STILL_FRAME_S
        self._late_s = self._late_s + self.idle_s if step is Step.LATE else 0.0
        if self._late_s > max_gap_s:  # not frames out of order: the clock has gone back, and maybe stands
            step, self.idle_s, self._late_s = Step.START, 0.0, 0.0
        self._went_on = step in (Step.START, Step.NEWER)
        self.newest_s = stamp_s if step is Step.START else max(self.newest_s, stamp_s)
        self._previous_s = stamp_s
        return step

    def _step(self, stamp_s: float, max_gap_s: float) -> Step:
        ahead_s = stamp_s - self.newest_s
        if ahead_s == float("inf") or -ahead_s > max_gap_s:
            return Step.START
        if ahead_s < 0:
            return Step.LATE
        return Step.STILL if ahead_s < _STILL_S else Step.NEWER
