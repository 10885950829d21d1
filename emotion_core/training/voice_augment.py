"""Utterances changed at random, so that few speakers in one studio stand for many in many rooms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emotion_core.training.settings import check_ranges

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class VoiceAugmentConfig:
    """How much an utterance is changed; zeros change nothing.

    Raises:
        EmotionError: a value is out of range.
    """

    speed: float = 0.15
    """Largest share by which it becomes faster and higher, or slower and lower: another speaker."""
    noise: float = 0.6
    """Probability of noise, from white to pink, 10 to 35 dB below the voice."""
    reverb: float = 0.5
    """Probability of a room with a reverberation time (RT60) of 0.1 to 0.6 s."""
    gain_db: float = 3.0
    """Largest error of the level that the sound was brought to; its own level counts for nothing."""
    bands: int = 6
    """SpecAugment (Park et al., Interspeech 2019), in the tuning: most bands and most frames of each of two masks."""
    frames: int = 20

    def __post_init__(self) -> None:
        check_ranges(
            self, speed="[0, 0.5]", noise="[0, 1]", reverb="[0, 1]", gain_db="[0, 20]", bands="[0, 39]",
            frames="[0, inf)",
        )  # fmt: skip


def change_sound(samples: Sound, rate_hz: int, config: VoiceAugmentConfig, rng: np.random.Generator) -> Sound:
    """(n,) float32 -> (m,) float32: another speed, room and noise."""
    if config.speed > 0:
        samples = faster(samples, float((1 + config.speed) ** rng.uniform(-1, 1)))
    if rng.random() < config.reverb:
        samples = reverberate(samples, rate_hz, rng.uniform(0.1, 0.6), rng.uniform(2, 14), rng)
    if rng.random() < config.noise:
        samples = add_noise(samples, rng.uniform(10, 35), rng.uniform(0, 0.5), rng)
    return samples


def change_mel(mel: NDArray[np.float32], config: VoiceAugmentConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    """(bands, frames) -> the same shape: another level, and two bands and two moments of silence."""
    mel = mel * np.float32(10 ** (rng.uniform(-1, 1) * config.gain_db / 10))
    for _ in range(2):
        _mask(mel, config.bands, rng)
        _mask(mel.T, min(config.frames, mel.shape[1] // 5), rng)
    return mel


def faster(samples: Sound, factor: float) -> Sound:
    """Played ``factor`` times as fast, to the nearest percent: shorter and higher."""
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(samples, 100, round(100 * factor)), np.float32)


def reverberate(samples: Sound, rate_hz: int, rt60_s: float, below_db: float, rng: np.random.Generator) -> Sound:
    """As in a room whose echoes fall by 60 dB in ``rt60_s`` and are altogether ``below_db`` below the voice."""
    from scipy.signal import fftconvolve

    time = np.arange(max(2, int(rt60_s * rate_hz)))
    response = rng.standard_normal(len(time)) * 10 ** (-3 * time / len(time))
    response *= 10 ** (-below_db / 20) / np.sqrt((response**2).sum())
    response[0] = 1
    return np.asarray(fftconvolve(samples, response)[: len(samples)], np.float32)


def add_noise(samples: Sound, below_db: float, slope: float, rng: np.random.Generator) -> Sound:
    """With noise ``below_db`` below the voice, whose power falls with frequency to the power of twice the slope."""
    spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
    noise = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1.0) ** slope, len(samples))
    scale = 10 ** (-below_db / 20) * np.sqrt(np.square(samples).mean() / max(np.square(noise).mean(), 1e-20))
    return (samples + scale * noise).astype(np.float32)


def _mask(values: NDArray[np.float32], most: int, rng: np.random.Generator) -> None:
    width = int(rng.integers(0, most + 1)) if most > 0 else 0
    start = int(rng.integers(0, len(values) - width + 1))
    values[start : start + width] = 0
