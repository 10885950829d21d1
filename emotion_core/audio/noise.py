"""A steady noise taken off a mel spectrogram: fans, motors, hums.

    Boll: Suppression of Acoustic Noise in Speech Using Spectral Subtraction. IEEE Transactions on Acoustics, Speech,
    and Signal Processing 27 (2), 1979.

Pauses of a voice are silent in the recordings that voice networks learn from. With a noise in them they count as speech
that nobody spoke: at 20 dB, which one hardly hears, the bundled voice network falls from 71 to 46 % on the validation
actors of RAVDESS; with the noise taken off it is at 68 % (benchmarks/voice_noise.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OVER = 2.0
"""The noise is taken off so many times over, for it varies around its mean; chosen on those actors."""

QUIET, SPEECH = 0.15, 0.3
"""Frames up to the first probability of speech may be noise; those from the second on, and their neighbours, never."""

_NEAR = 9  # frames beside speech that belong to neither
_FEW = 20  # frames of noise that are too few to know it


class NoiseFloor:
    """Mean power of the noise in each band, followed over time.

    Args:
        memory: frames after which an older frame counts 1/e.
    """

    def __init__(self, memory: float = 500.0) -> None:
        self.memory = memory
        self.reset()

    def reset(self) -> None:
        """Forget the noise."""
        self._total: NDArray[np.float64] | None = None
        self._weight, self._frames = 0.0, 0
        self._before: NDArray[np.floating] = np.zeros(0)  # probabilities of the frames that were learned last
        self._held: tuple[NDArray[np.float32], NDArray[np.floating]] | None = None

    def learn(self, mel: NDArray[np.float32], speech: NDArray[np.floating]) -> None:
        """Take the frames between which nobody speaks for noise. The last few wait for what follows them.

        Args:
            mel: (bands, n) power.
            speech: (n,) probability of speech.
        """
        if self._held is not None:
            mel, speech = np.concatenate([self._held[0], mel], 1), np.concatenate([self._held[1], speech])
        around = np.concatenate([self._before, speech])
        near = np.convolve(around >= SPEECH, np.ones(2 * _NEAR + 1))[_NEAR : _NEAR + len(around)] > 0
        settled = max(0, len(speech) - _NEAR)
        is_noise = ~near[len(self._before) :][:settled] & (speech[:settled] <= QUIET)
        noise = mel[:, :settled][:, is_noise]
        self._held = mel[:, settled:], speech[settled:]
        self._before = around[: len(self._before) + settled][-_NEAR:]
        count = noise.shape[1]
        if not count:
            return
        kept = np.exp(-count / self.memory)
        self._total = noise.sum(1, np.float64) + (0.0 if self._total is None else kept * self._total)
        self._weight, self._frames = count + kept * self._weight, self._frames + count

    def subtract(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """(bands, n) -> the same without the noise, never below zero; as it is while the noise is not known."""
        if self._total is None or self._frames < _FEW:
            return mel
        noise = (OVER * self._total / self._weight).astype(np.float32)
        return np.maximum(mel - noise[:, None], np.float32(0))


def at_frames(speech: NDArray[np.floating], frame_s: float, count: int, hop_s: float) -> NDArray[np.float64]:
    """Probabilities of speech in long frames, read at the centres of ``count`` short ones.

    Args:
        speech: (k,) of frames of ``frame_s`` seconds.
        frame_s: length of these.
        count: number of centres, the first at 0.
        hop_s: time from one to the next.
    """
    if not len(speech):
        return np.zeros(count)
    return np.interp(np.arange(count) * hop_s, (np.arange(len(speech)) + 0.5) * frame_s, speech)
