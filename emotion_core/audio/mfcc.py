"""Mel-frequency cepstral coefficients with NumPy alone, equal to ``librosa.feature.mfcc`` with its defaults."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.spectrum import MelConfig, Samples, power_mel
from emotion_core.errors import EmotionError

RATE_HZ = 22050
"""Rate of the sound that the published audiovisual network was trained on."""

N_MFCC = 10
"""Its coefficients a frame."""

WINDOW_S = 3.6
"""Its length of sound in seconds: 79,380 samples, 156 frames."""

LIBROSA = MelConfig(RATE_HZ, n_fft=2048, hop=512, n_mels=128)
"""librosa's defaults, which it keeps at every rate."""

_FLOOR, _RANGE_DB = 1e-10, 80.0


def mfcc(samples: Samples, config: MelConfig = LIBROSA, n_mfcc: int = N_MFCC) -> NDArray[np.float32]:
    """The first coefficients of the cosine transform of a mel spectrogram in decibels.

    Davis, Mermelstein: Comparison of Parametric Representations for Monosyllabic Word Recognition in Continuously
    Spoken Sentences. IEEE Transactions on Acoustics, Speech, and Signal Processing 28 (4), 1980.

    Args:
        samples: (n,) float32 in [-1, 1] at the configuration's rate, n ≥ 1.
        config: of the spectrogram.
        n_mfcc: how many coefficients, 1 to the number of bands.

    Returns:
        (n_mfcc, 1 + n // hop) float32, not normalised. Decibels end 80 below the loudest of the sound.

    Raises:
        EmotionError: the samples are not one channel, or none; there are not so many coefficients.
    """
    if not 1 <= n_mfcc <= config.n_mels:
        raise EmotionError(f"expected 1 to {config.n_mels} coefficients, got {n_mfcc}")
    decibels = 10 * np.log10(np.maximum(power_mel(samples, config), _FLOOR))
    # einsum and not @: see spectrum._BLOCK
    return np.einsum("cb,bt->ct", _cosines(n_mfcc, config.n_mels), np.maximum(decibels, decibels.max() - _RANGE_DB))


def fitted(samples: Samples, length: int) -> Samples:
    """Exactly ``length`` samples: zeros at the end of a shorter sound, the middle of a longer one."""
    surplus = len(samples) - length
    if surplus < 0:
        return np.pad(samples, (0, -surplus))
    return samples[surplus // 2 : surplus // 2 + length]


@lru_cache(maxsize=8)
def _cosines(count: int, bands: int) -> NDArray[np.float32]:
    """(count, bands) float32: the orthonormal cosine transform of type 2."""
    matrix = np.cos(np.pi * np.outer(np.arange(count), np.arange(bands) + 0.5) / bands) * np.sqrt(2 / bands)
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, np.float32)
