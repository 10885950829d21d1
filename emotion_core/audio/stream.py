"""The last seconds of what a microphone hears, at every rate that somebody needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.formats import to_mono
from emotion_core.audio.order import ChunkOrder, SoundCounts
from emotion_core.audio.resample import ResampleStream, check_rate
from emotion_core.audio.ring import Ring
from emotion_core.audio.spectrum import Samples
from emotion_core.errors import EmotionError


@dataclass(frozen=True)
class Heard:
    """What one chunk added.

    Attributes:
        restarted: what came before has nothing to do with it any more: whoever keeps a state begins anew.
        samples: (n,) float32 for each rate, following without a hole on what was given before. Most resamplers hold
            some milliseconds back, so n may be 0.
    """

    restarted: bool
    samples: dict[int, Samples]


class SoundStream:
    """Chunks of any rate, type and number of channels in; windows of one channel at chosen rates out.

    Time is an argument: the stamp of a chunk is that of its first sample. See ``ChunkOrder`` for gaps, overlaps, order
    and jumps. Windows hold the same samples as if the sound had been resampled as a whole.

    Args:
        rates_hz: the rates that are needed.
        seconds: how much is remembered.

    Attributes:
        counts: what went wrong so far.

    Raises:
        EmotionError: a rate is none.
    """

    def __init__(self, rates_hz: Sequence[int], seconds: float) -> None:
        for rate_hz in rates_hz:
            check_rate(rate_hz)
        self.counts = SoundCounts()
        self._rings = {rate_hz: Ring(math.ceil(seconds * rate_hz)) for rate_hz in rates_hz}
        self._resamplers: dict[int, ResampleStream] = {}
        self._order: ChunkOrder | None = None

    def push(self, sound: NDArray[Any], rate_hz: int, stamp_s: float) -> Heard:
        """Hear a chunk.

        Args:
            sound: (n,) or (n, channels), of any type that ``formats.to_mono`` takes.
            rate_hz: samples a second; another rate than the last chunk's begins anew.
            stamp_s: time of the first sample in seconds.

        Raises:
            EmotionError: the type, shape, rate or time is none; the chunk is counted as rejected, and nothing changes.
        """
        self.counts.chunks += 1
        try:
            check_rate(rate_hz)
            mono = to_mono(sound)
            order = self._order
            if order is None or order.rate_hz != rate_hz:
                order = ChunkOrder(rate_hz, self.counts)
            restarted, samples = order.push(mono.samples, stamp_s)
        except EmotionError:
            self.counts.rejected += 1
            raise
        if order is not self._order and not restarted:
            return Heard(False, self._pass(samples))  # an empty chunk of another rate tells nothing
        self.counts.clipped += mono.clipped
        self.counts.nonfinite += mono.nonfinite
        if len(mono.samples) and np.ptp(mono.samples) == 0:
            self.counts.silent_s += len(mono.samples) / rate_hz
        if restarted:
            self._restart(order)
        return Heard(restarted, self._pass(samples))

    def finish(self) -> Heard:
        """The end of a recording: what still waits and what the resamplers hold back. Nothing may follow."""
        if self._order is None:
            return Heard(False, self._pass(np.zeros(0, np.float32)))
        added = self._pass(self._order.finish())
        for rate_hz, resampler in self._resamplers.items():
            rest = resampler.finish()
            self._rings[rate_hz].append(rest)
            added[rate_hz] = np.concatenate([added[rate_hz], rest])
        return Heard(False, added)

    def end_s(self, rate_hz: int) -> float:
        """Time until which sound is known at that rate, in seconds; NaN before any sound."""
        if self._order is None:
            return math.nan
        return self._order.origin_s + self._rings[rate_hz].count / rate_hz

    def window(self, rate_hz: int, seconds: float, end_s: float | None = None) -> Samples:
        """(round(seconds · rate),) float32: a copy of the sound before a time.

        Args:
            rate_hz: one of the stream's rates.
            seconds: length.
            end_s: time at which the window ends; None for the newest sample. Where nothing was heard, or what was
                heard is forgotten, there are zeros.
        """
        ring, length = self._rings[rate_hz], round(seconds * rate_hz)
        stop = ring.count
        if end_s is not None and self._order is not None:
            stop = round((end_s - self._order.origin_s) * rate_hz)
        return ring.read(stop - length, stop)

    def _restart(self, order: ChunkOrder) -> None:
        if self._order is not None and order is not self._order:
            self.counts.restarts += 1
        self._order = order
        self._resamplers = {rate_hz: ResampleStream(order.rate_hz, rate_hz) for rate_hz in self._rings}
        for ring in self._rings.values():
            ring.clear()

    def _pass(self, samples: Samples) -> dict[int, Samples]:
        added = {}
        for rate_hz, ring in self._rings.items():
            resampler = self._resamplers.get(rate_hz)
            added[rate_hz] = resampler.push(samples) if resampler and len(samples) else np.zeros(0, np.float32)
            ring.append(added[rate_hz])
        return added
