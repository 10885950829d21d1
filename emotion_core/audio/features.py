"""From sound to what a network takes, as its card says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.mel import mel_frames
from emotion_core.audio.mfcc import fitted, mfcc
from emotion_core.audio.resample import resample
from emotion_core.audio.spectrum import MelConfig, Samples, checked
from emotion_core.errors import EmotionError
from emotion_core.store.card import Input


def sound_features(samples: Samples, rate_hz: int, item: Input) -> NDArray[np.float32]:
    """Features of a whole sound.

    Args:
        samples: (n,) float32 in [-1, 1], n ≥ 1.
        rate_hz: of the samples; other rates than the network's are resampled.
        item: an input of kind SOUND. With features of type "mfcc" the sound is first padded at its end, or cut to its
            middle, to the length that the card says; with "mel" all of it is taken.

    Returns:
        (coefficients, steps) or (bands, frames) float32.

    Raises:
        EmotionError: the card names other features, or too little of how to compute them; or as ``mfcc`` and
            ``mel_frames``.
    """
    wanted, samples = item.features, checked(samples)
    kind = wanted.get("type")
    try:
        if kind not in ("mfcc", "mel"):
            raise EmotionError(f"expected features of sound of type mfcc or mel, got {kind!r}: a newer card?")
        config = MelConfig(item.sample_rate_hz, int(wanted["n_fft"]), int(wanted["hop_length"]), int(wanted["n_mels"]))
        if kind == "mel":
            if wanted["power"] != 2:
                raise EmotionError(f"expected a mel spectrogram of power 2, got {wanted['power']:g}")
            return mel_frames(samples, rate_hz, config, float(wanted["level_dbfs"]))
        length = round(float(wanted["window_s"]) * config.rate_hz)
        found = mfcc(fitted(resample(samples, rate_hz, config.rate_hz), length), config, int(wanted["n_mfcc"]))
    except KeyError as error:
        raise EmotionError(f"the card says too little of its features of sound: {error} is missing") from None
    if found.shape != item.shape:
        raise EmotionError(f"the card's features of sound have shape {found.shape}, but its network takes {item.shape}")
    return found
