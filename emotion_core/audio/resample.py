"""Other sample rates, whole or as a stream, by libsoxr's high-quality setting (librosa's default)."""

from __future__ import annotations

import atexit
import weakref

import numpy as np
import soxr

from emotion_core.audio.spectrum import Samples
from emotion_core.errors import EmotionError

MIN_RATE_HZ, MAX_RATE_HZ = 1000, 768_000
"""Rates outside of these are taken for mistakes."""

_QUALITY = "HQ"


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """(n,) float32 at one rate → about n · to_hz / from_hz samples at another, beginning at the same time.

    Raises:
        EmotionError: a rate is none.
    """
    check_rate(from_hz)
    check_rate(to_hz)
    if from_hz == to_hz or not len(samples):
        return np.asarray(samples, np.float32)
    stream = ResampleStream(from_hz, to_hz)
    return np.concatenate([stream.push(samples), stream.finish()])


class ResampleStream:
    """``resample`` of a sound that comes in pieces: the same samples, some milliseconds later.

    Args:
        from_hz, to_hz: samples a second.

    Raises:
        EmotionError: a rate is none.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        check_rate(from_hz)
        check_rate(to_hz)
        self.from_hz, self.to_hz = from_hz, to_hz
        self.reset()
        _alive.add(self)

    def reset(self) -> None:
        """Begin a new sound."""
        same = self.from_hz == self.to_hz
        self._stream = None if same else soxr.ResampleStream(self.from_hz, self.to_hz, 1, "float32", _QUALITY)

    def push(self, samples: Samples) -> Samples:
        """(n,) float32, any n → (m,) float32: what is ready."""
        return self._pass(samples, last=False)

    def finish(self) -> Samples:
        """(m,) float32: the rest. Begins a new sound."""
        rest = self._pass(np.zeros(0, np.float32), last=True)
        self.reset()
        return rest

    def _pass(self, samples: Samples, last: bool) -> Samples:
        samples = np.ascontiguousarray(samples, np.float32)
        if self._stream is None:
            return samples
        return np.asarray(self._stream.resample_chunk(samples, last=last), np.float32)


_alive: weakref.WeakSet[ResampleStream] = weakref.WeakSet()


@atexit.register
def _let_go() -> None:
    """Free what a thread or a global still holds: the binding prints a page about every object that outlives Python."""
    for stream in list(_alive):
        stream._stream = None


def check_rate(rate_hz: int) -> None:
    """Raise EmotionError where this can be no sample rate."""
    if not isinstance(rate_hz, int | float | np.number) or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise EmotionError(f"expected a sample rate of {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, got {rate_hz!r:.60}")
