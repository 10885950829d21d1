"""Smoothing of a stream of vectors over time, by stamps and not by frames."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


class Smoother:
    """First-order low-pass filter, one state for each key.

    A new value v at a time dt after the last one moves the state by (1 - exp(-dt / tau)) of the difference, so the
    result does not depend on the frame rate. Convex: smoothed probabilities still sum to 1.

    Args:
        time_constant_s: tau in seconds; 0 passes values through.
        max_gap_s: after a longer silence the state starts anew.
    """

    def __init__(self, time_constant_s: float, max_gap_s: float) -> None:
        self._tau_s, self._max_gap_s = time_constant_s, max_gap_s
        self._states: dict[str, tuple[float, NDArray[np.float64]]] = {}

    def update(self, key: str, value: NDArray[np.float64], stamp_s: float) -> NDArray[np.float64]:
        """The smoothed value of one key at a time in seconds; time that runs backwards starts anew."""
        last = self._states.get(key)
        if last is not None and self._tau_s > 0 and 0 <= stamp_s - last[0] <= self._max_gap_s:
            weight = 1 - math.exp(-(stamp_s - last[0]) / self._tau_s)
            value = last[1] + weight * (value - last[1])
        self._states[key] = stamp_s, value
        return value

    def forget_except(self, keys: set[str]) -> None:
        """Drop the states of all other keys."""
        self._states = {key: state for key, state in self._states.items() if key in keys}
