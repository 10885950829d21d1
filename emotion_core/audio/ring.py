"""The last seconds of a sound, without moving samples at each append."""

from __future__ import annotations

import numpy as np

from emotion_core.audio.spectrum import Samples


class Ring:
    """Holds at least the last ``capacity`` samples of everything appended.

    Attributes:
        count: how many samples were appended since the last ``clear``: the position of the next one.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._data: Samples = np.zeros(2 * capacity, np.float32)
        self.clear()

    def clear(self) -> None:
        """Forget everything; positions begin at 0 again."""
        self.count = self._used = 0

    def append(self, samples: Samples) -> None:
        """(n,) float32, any n."""
        self.count += len(samples)
        if len(samples) >= self._capacity:
            samples, self._used = samples[-self._capacity :], 0
        if self._used + len(samples) > len(self._data):
            # Half of it at most, so once in a capacity's length.
            keep = self._capacity - len(samples)
            self._data[:keep] = self._data[self._used - keep : self._used].copy()
            self._used = keep
        self._data[self._used : self._used + len(samples)] = samples
        self._used += len(samples)

    def read(self, start: int, stop: int) -> Samples:
        """(stop - start,) float32, a copy; zeros at positions that were never filled or are forgotten."""
        out: Samples = np.zeros(stop - start, np.float32)
        oldest = self.count - self._used
        first, last = max(start, oldest), min(stop, self.count)
        if first < last:
            out[first - start : last - start] = self._data[first - oldest : last - oldest]
        return out
