"""What the GE2E speaker encoder hears: 40 mel bands of sound at 16 kHz, brought to one level.

Wan, Wang, Papir, Lopez Moreno: Generalized End-to-End Loss for Speaker Verification. ICASSP 2018; with the settings of
Resemblyzer's pretrained network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.resample import resample
from emotion_core.audio.spectrum import MelConfig, Samples, checked, power_mel

GE2E = MelConfig(rate_hz=16000, n_fft=400, hop=160, n_mels=40)
"""Windows of 25 ms every 10 ms."""

LEVEL_DBFS = -30.0
"""Level of the sound, as root mean square in decibels below full scale."""


def mel_frames(
    samples: Samples, rate_hz: int, config: MelConfig = GE2E, level_dbfs: float = LEVEL_DBFS
) -> NDArray[np.float32]:
    """The whole of a sound, louder or softer by one factor that gives it the level.

    Args:
        samples: (n,) float32 in [-1, 1], n ≥ 1.
        rate_hz: of the samples; other rates than the configuration's are resampled.
        config, level_dbfs: what the network was trained on.

    Returns:
        (bands, frames) float32, power and not its logarithm; 40 bands and 100 frames a second. Silence gives zeros.

    Raises:
        EmotionError: the samples are not one channel, or none; the rate is none.
    """
    samples = checked(resample(checked(samples), rate_hz, config.rate_hz))
    return at_level(power_mel(samples, config), float(np.mean(np.square(samples, dtype=np.float64))), level_dbfs)


def at_level(mel: NDArray[np.float32], mean_square: float, level_dbfs: float = LEVEL_DBFS) -> NDArray[np.float32]:
    """Power of a sound brought to a level, given the mean of its squared samples; silence stays as it is."""
    if mean_square <= 0:
        return mel
    return np.asarray(mel * np.float32(10 ** (level_dbfs / 10) / mean_square), np.float32)
