"""Smoothing of a stream of vectors over time, by stamps and not by frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emotion_core.vision.stamps import Stamps, Step


@dataclass
class _State:
    value: NDArray[np.float64]
    stamps: Stamps = field(default_factory=Stamps)


class Smoother:
    """First-order low-pass filter, one state for each key.

    A new value v at a time dt after the last one moves the state by (1 - exp(-dt / tau)) of the difference, so the
    result does not depend on the frame rate. Convex: smoothed probabilities still sum to 1.

    Args:
        time_constant_s: tau in seconds; 0 passes values through.
        max_gap_s: after a longer silence, a longer step back, or late values for longer, the state starts anew.

    Attributes:
        time_constant_s, max_gap_s: may be set between two values.
    """

    def __init__(self, time_constant_s: float, max_gap_s: float) -> None:
        self.time_constant_s, self.max_gap_s = time_constant_s, max_gap_s
        self._states: dict[str, _State] = {}

    def update(self, key: str, value: NDArray[np.float64], stamp_s: float) -> NDArray[np.float64]:
        """The smoothed value of one key at a time in seconds.

        Where no time has passed there is nothing to smooth over, and the value is the new state: else stamps that
        stand still would keep the first value for ever. A value that comes late, at most ``max_gap_s`` behind the
        newest, is answered with the state and does not move it.
        """
        state = self._states.setdefault(key, _State(value))
        before_s = state.stamps.newest_s
        step, elapsed = state.stamps.update(stamp_s, self.max_gap_s), stamp_s - before_s
        if self.time_constant_s > 0 and step is Step.LATE:
            return state.value
        if self.time_constant_s > 0 and step is Step.NEWER and elapsed <= self.max_gap_s:
            value = state.value + (1 - math.exp(-elapsed / self.time_constant_s)) * (value - state.value)
        state.value = value
        return value

    def forget_except(self, keys: set[str]) -> None:
        """Drop the states of all other keys."""
        self._states = {key: state for key, state in self._states.items() if key in keys}
