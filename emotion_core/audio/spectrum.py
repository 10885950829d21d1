"""Power mel spectrograms with NumPy alone, equal to librosa's: importing librosa costs a node's start seconds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError

Samples = NDArray[np.float32]
"""(n,) float32 in [-1, 1], one channel: the one kind of sound inside the library."""

# Frames at a time. Few, so that an hour of sound is not copied 2.5 times over, and no product is large enough for BLAS
# to start threads: on busy cores they wait for each other ten times as long as one computes.
_BLOCK = 64
_LINEAR_HZ = 200 / 3  # of a mel below the knee
_KNEE_HZ, _LOG_STEP = 1000.0, np.log(6.4) / 27  # 27 mels for a factor of 6.4


@dataclass(frozen=True)
class MelConfig:
    """A mel spectrogram; the rest is librosa's default: Hann window, 0 Hz to half the rate, Slaney's scale and norm.

    Attributes:
        rate_hz: samples a second of the sound.
        n_fft: length of the window, in samples.
        hop: hop length, in samples.
        n_mels: how many bands.
    """

    rate_hz: int
    n_fft: int
    hop: int
    n_mels: int


def power_mel(samples: Samples, config: MelConfig) -> NDArray[np.float32]:
    """Power in mel bands, of frames centred on multiples of the hop; what lies outside of the sound is zero.

    Args:
        samples: (n,) float32, at the configuration's rate, n ≥ 1.

    Returns:
        (n_mels, 1 + n // hop) float32, not logarithmic.

    Raises:
        EmotionError: the samples are not one channel, or none.
    """
    return power_mel_inside(np.pad(checked(samples), config.n_fft // 2), config)


def power_mel_inside(samples: Samples, config: MelConfig) -> NDArray[np.float32]:
    """As ``power_mel``, of the frames that lie wholly inside: (n_mels, 1 + (n - n_fft) // hop), or no frame."""
    bands, window = _bands(config), _hann(config.n_fft)
    count = max(0, 1 + (len(samples) - config.n_fft) // config.hop)
    mel = np.empty((config.n_mels, count), np.float32)
    if not count:
        return mel
    frames = np.lib.stride_tricks.sliding_window_view(samples, config.n_fft)[:: config.hop]
    for start in range(0, count, _BLOCK):
        spectrum = np.fft.rfft(frames[start : start + _BLOCK] * window).T
        power = np.ascontiguousarray(spectrum.real**2 + spectrum.imag**2, np.float32)
        for row, (low, weights) in zip(mel, bands, strict=True):
            row[start : start + _BLOCK] = weights @ power[low : low + len(weights)]
    return mel


class PowerMelStream:
    """``power_mel`` of a sound that comes in pieces: the same frames, each as soon as its last sample is there.

    A frame is complete half a window after its centre.
    """

    def __init__(self, config: MelConfig) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin a new sound."""
        self._held: Samples = np.zeros(self.config.n_fft // 2, np.float32)

    def push(self, samples: Samples) -> NDArray[np.float32]:
        """(n,) float32, any n → (n_mels, frames) float32: those that are new."""
        self._held = np.concatenate([self._held, samples])
        mel = power_mel_inside(self._held, self.config)
        self._held = self._held[mel.shape[1] * self.config.hop :]
        return mel

    def finish(self) -> NDArray[np.float32]:
        """(n_mels, frames) float32: those at the end, which reach beyond it. Begins a new sound."""
        mel = self.push(np.zeros(self.config.n_fft // 2, np.float32))
        self.reset()
        return mel


@lru_cache(maxsize=8)
def mel_filters(config: MelConfig) -> NDArray[np.float32]:
    """(n_mels, 1 + n_fft // 2) float32: triangles of equal area in Hz, which overlap by half in mels.

    Slaney: Auditory Toolbox, version 2. Interval Research Corporation, 1998.
    """
    edges = _to_hz(np.linspace(0.0, _to_mel(config.rate_hz / 2), config.n_mels + 2))
    bins = np.fft.rfftfreq(config.n_fft, 1 / config.rate_hz)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    return np.asarray(np.maximum(triangles, 0.0) * 2 / (right - left), np.float32)


@lru_cache(maxsize=8)
def _bands(config: MelConfig) -> tuple[tuple[int, NDArray[np.float32]], ...]:
    """What of each filter is not zero: its first bin and its weights."""
    ends = [(row.nonzero()[0][0], row.nonzero()[0][-1] + 1) if row.any() else (0, 1) for row in mel_filters(config)]
    return tuple((low, row[low:high]) for row, (low, high) in zip(mel_filters(config), ends, strict=True))


def checked(samples: Samples) -> Samples:
    """The samples as float32; raises EmotionError where they are not one channel of at least one finite sample."""
    try:
        samples = np.asarray(samples, np.float32)
    except (TypeError, ValueError):
        raise EmotionError(f"expected samples (n,) of one channel, got {type(samples).__name__}") from None
    if samples.ndim != 1 or not len(samples):
        raise EmotionError(f"expected one channel of at least one sample, shape (n,), got shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise EmotionError(f"expected finite samples, got NaN or infinity among {len(samples)}: zero them first")
    return samples


@lru_cache(maxsize=8)
def _hann(length: int) -> NDArray[np.float32]:
    """(length,) float32: periodic, as spectra want it."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length), np.float32)


def _to_mel(hz: float) -> float:
    return hz / _LINEAR_HZ if hz < _KNEE_HZ else float(_KNEE_HZ / _LINEAR_HZ + np.log(hz / _KNEE_HZ) / _LOG_STEP)


def _to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    knee = _KNEE_HZ / _LINEAR_HZ
    return np.where(mel < knee, mel * _LINEAR_HZ, _KNEE_HZ * np.exp(_LOG_STEP * (np.maximum(mel, knee) - knee)))
