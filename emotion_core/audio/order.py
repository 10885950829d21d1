"""Stamped chunks in, one sound without holes out: gaps, overlaps, wrong order, doubles and clocks that jump."""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass

import numpy as np

from emotion_core.audio.spectrum import Samples
from emotion_core.parameters import check_finite

MAX_STEP_S = 1.0
"""The longest gap or step back in the time of one sound."""

# Stamps that are off by up to four times what is usual in this stream jitter: never more than half a chunk, so that a
# lost one is seen.
_USUAL, _LEAST_S, _TOLERANCE_S = 4, 0.002, 0.02
_LEARNING = 0.1  # of each chunk for what is usual
_SLEW_S = 2.0  # how fast the time follows stamps that drift: clocks of sound cards are off by up to 1e-4
_PATIENCE_CHUNKS, _PATIENCE_S = 3, 0.5  # that may wait, and for how much sound, before what is missing is given up


@dataclass
class SoundCounts:
    """What a stream has met since it was made.

    Attributes:
        chunks: that came.
        rejected: of these, how many were no sound (an unknown type, no channel, no rate or time).
        gaps, gap_s: places where sound was missing and zeros stand, and their seconds.
        overlaps, overlap_s: chunks that began before the end of the last one, and the seconds dropped.
        late: chunks that came twice, or after their place was filled, and were dropped.
        reordered: chunks that came in the wrong order and were put right.
        restarts: how often the time jumped or the rate changed, and everything began anew.
        clipped, nonfinite: samples at full scale, and samples that were no numbers.
        silent_s: seconds in chunks of one and the same value: a microphone that is muted or dead.
    """

    chunks: int = 0
    rejected: int = 0
    gaps: int = 0
    gap_s: float = 0.0
    overlaps: int = 0
    overlap_s: float = 0.0
    late: int = 0
    reordered: int = 0
    restarts: int = 0
    clipped: int = 0
    nonfinite: int = 0
    silent_s: float = 0.0


class ChunkOrder:
    """Puts chunks of one rate where their stamps say.

    A chunk that comes too early waits for what is missing: until two others wait with it, or half a second of sound.
    Then zeros take the place of what is missing.

    Args:
        rate_hz: of the chunks.
        counts: counted here.
        max_step_s: a gap or a step back that is longer means that something began anew: a microphone, a clock, a bag.

    Attributes:
        origin_s: time of the first sample since the last restart; it follows stamps that drift. NaN before any sound.
        count: samples that came out since the last restart.
    """

    def __init__(self, rate_hz: int, counts: SoundCounts, max_step_s: float = MAX_STEP_S) -> None:
        self.rate_hz, self.counts = rate_hz, counts
        self._max_step_s = max_step_s
        self.origin_s, self.count = math.nan, 0
        self._waiting: list[tuple[float, Samples]] = []
        self._jitter_s = _TOLERANCE_S / _USUAL

    @property
    def end_s(self) -> float:
        """Time of the next sample; NaN before any sound."""
        return self.origin_s + self.count / self.rate_hz

    def push(self, samples: Samples, stamp_s: float) -> tuple[bool, Samples]:
        """Take a chunk.

        Args:
            samples: (n,) float32.
            stamp_s: time of its first sample, in seconds.

        Returns:
            Whether everything began anew with this chunk, and the (m,) samples that follow those given out before.

        Raises:
            EmotionError: the time is no number.
        """
        check_finite(stamp_s, "the time of a chunk of sound in seconds")
        if not len(samples):
            return False, samples
        newest_s = max([self.end_s, *(s + len(x) / self.rate_hz for s, x in self._waiting)])
        behind_s = self.end_s - (stamp_s + len(samples) / self.rate_hz)
        goes_on = stamp_s - newest_s <= self._max_step_s and behind_s <= self._max_step_s  # never from NaN, the start
        if not goes_on:
            self.counts.restarts += not math.isnan(self.origin_s)
            self.origin_s, self.count = stamp_s, 0
            self._waiting.clear()
        elif self._waiting and self.end_s - _TOLERANCE_S < stamp_s < self._waiting[-1][0]:
            self.counts.reordered += 1
        insort(self._waiting, (stamp_s, samples), key=lambda item: item[0])
        return not goes_on, self._take(_PATIENCE_CHUNKS)

    def finish(self) -> Samples:
        """(m,) float32: what still waits, with zeros where something is missing."""
        return self._take(0)

    def _take(self, patience: int) -> Samples:
        taken: list[Samples] = []
        while self._waiting:
            stamp_s, samples = self._waiting[0]
            duration_s, ahead_s = len(samples) / self.rate_hz, stamp_s - self.end_s
            tolerance_s = min(_TOLERANCE_S, duration_s / 2, max(_LEAST_S, _USUAL * self._jitter_s))
            if ahead_s > tolerance_s:
                last_s, last = self._waiting[-1]
                held_s = last_s + len(last) / self.rate_hz - self.end_s
                if len(self._waiting) < patience and held_s <= _PATIENCE_S:
                    break
                self.counts.gaps += 1
                self.counts.gap_s += ahead_s
                taken.append(self._counted(np.zeros(round(ahead_s * self.rate_hz), np.float32)))
            elif ahead_s < tolerance_s - duration_s:
                self.counts.late += 1
                samples = samples[:0]
            elif ahead_s < -tolerance_s:
                self.counts.overlaps += 1
                self.counts.overlap_s -= ahead_s
                samples = samples[round(-ahead_s * self.rate_hz) :]
            else:
                self.origin_s += ahead_s * min(1.0, duration_s / _SLEW_S)
            if len(samples):
                self._jitter_s += _LEARNING * (min(abs(ahead_s), _TOLERANCE_S) - self._jitter_s)
            taken.append(self._counted(samples))
            del self._waiting[0]
        return np.concatenate(taken) if taken else np.zeros(0, np.float32)

    def _counted(self, samples: Samples) -> Samples:
        self.count += len(samples)
        return samples
