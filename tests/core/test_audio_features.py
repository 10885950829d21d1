"""Features against librosa, an independent implementation, on real voices and on made sounds."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from emotion_core.audio.features import sound_features
from emotion_core.audio.mel import GE2E, mel_frames
from emotion_core.audio.mfcc import fitted, mfcc
from emotion_core.audio.resample import ResampleStream, resample
from emotion_core.audio.spectrum import MelConfig, PowerMelStream, mel_filters, power_mel
from emotion_core.errors import EmotionError
from emotion_core.store.card import SOUND, Input


def noise(length: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


@pytest.fixture(scope="module")
def librosa():
    """The reference. What it compiles when it is imported, for half a minute, is not called here and stays Python."""
    numba = pytest.importorskip("numba", reason="the reference implementation is not installed")

    def left_alone(*arguments: Any, **_: object) -> Any:
        return arguments[0] if arguments and callable(arguments[0]) else lambda function: function

    with pytest.MonkeyPatch.context() as patch:
        for name in ("guvectorize", "stencil", "vectorize"):
            patch.setattr(numba, name, left_alone)
        librosa = pytest.importorskip("librosa", reason="the reference implementation is not installed")
        assert librosa.feature.melspectrogram and librosa.filters.mel  # imported when they are first asked for
    return librosa


@pytest.fixture(scope="module")
def voice(shared) -> tuple[np.ndarray, int]:
    """A real voice, about 3.5 s at 22,050 Hz."""
    from emotion_core.media.sound import read_sound

    sound = read_sound(shared / "data/ravdess_audio/Actor_01/03-01-05-01-01-01-01.flac")
    assert sound.rate_hz == 22050
    return sound.samples, sound.rate_hz


@pytest.mark.parametrize(("rate", "n_fft", "n_mels"), [(22050, 2048, 128), (16000, 400, 40), (8000, 256, 20)])
def test_filters_are_librosas(librosa, rate, n_fft, n_mels):
    wanted = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels)
    np.testing.assert_allclose(mel_filters(MelConfig(rate, n_fft, 160, n_mels)), wanted, rtol=1e-4, atol=1e-8)


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large")
@pytest.mark.parametrize("length", [1, 200, 399, 16000, 16159, 57600])
def test_power_mel_is_librosas(librosa, length):
    sound = noise(length)
    wanted = librosa.feature.melspectrogram(y=sound, sr=16000, n_fft=400, hop_length=160, n_mels=40)
    mel = power_mel(sound, GE2E)
    assert mel.dtype == np.float32 and mel.shape == (40, 1 + length // 160)
    np.testing.assert_allclose(mel, wanted, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("n_mfcc", [1, 10, 40])
def test_mfcc_of_a_voice_is_librosas(librosa, voice, n_mfcc):
    samples = fitted(voice[0], 79380)
    wanted = librosa.feature.mfcc(y=samples, sr=22050, n_mfcc=n_mfcc)
    found = mfcc(samples, n_mfcc=n_mfcc)
    assert found.shape == (n_mfcc, 156) and found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=0.01)
    assert np.abs(found).max() > 100  # decibels, not normalised


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large")
@pytest.mark.parametrize("sound", [np.zeros(79380, np.float32), noise(79380), noise(2000) * 1e-4])
def test_mfcc_of_silence_and_noise_is_librosas(librosa, sound):
    wanted = librosa.feature.mfcc(y=sound, sr=22050, n_mfcc=10)
    np.testing.assert_allclose(mfcc(sound), wanted, rtol=1e-3, atol=0.01)


def test_mel_frames_of_a_voice_are_librosas(librosa, voice):
    import soxr

    at_16 = soxr.resample(voice[0], 22050, 16000)
    level = at_16 * 10 ** (-30 / 20) / np.sqrt(np.mean(at_16.astype(float) ** 2))
    wanted = librosa.feature.melspectrogram(y=level.astype(np.float32), sr=16000, n_fft=400, hop_length=160, n_mels=40)
    found = mel_frames(*voice)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=1e-6)


def as_carded(kind: str, shape: tuple[int, ...], rate_hz: int, **features: object) -> Input:
    return Input("sound", SOUND, shape, sample_rate_hz=rate_hz, features={"type": kind, **features})


def test_features_are_those_of_the_card(voice):
    clip = as_carded("mfcc", (10, 156), 22050, n_mfcc=10, n_fft=2048, hop_length=512, n_mels=128, window_s=3.6)
    samples, rate = voice
    np.testing.assert_array_equal(sound_features(samples, rate, clip), mfcc(fitted(samples, 79380)))
    at_48 = resample(samples, rate, 48000)
    np.testing.assert_allclose(sound_features(at_48, 48000, clip), mfcc(fitted(samples, 79380)), atol=3)
    assert sound_features(samples[:5], rate, clip).shape == (10, 156)
    whole = as_carded("mel", (40, 50), 16000, n_mels=40, n_fft=400, hop_length=160, power=2.0, level_dbfs=-30.0)
    np.testing.assert_array_equal(sound_features(samples, rate, whole), mel_frames(samples, rate))
    louder = as_carded("mel", (40, 50), 16000, n_mels=40, n_fft=400, hop_length=160, power=2.0, level_dbfs=-20.0)
    np.testing.assert_allclose(sound_features(samples, rate, louder), 10 * mel_frames(samples, rate), rtol=1e-4)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (as_carded("lpc", (10, 156), 22050), "mfcc or mel, got 'lpc'"),
        (as_carded("mfcc", (10, 156), 22050, n_mfcc=10), "'n_fft' is missing"),
        (
            as_carded("mfcc", (10, 150), 22050, n_mfcc=10, n_fft=2048, hop_length=512, n_mels=128, window_s=3.6),
            r"\(10, 156\).*\(10, 150\)",
        ),
        (
            as_carded("mel", (40, 50), 16000, n_mels=40, n_fft=400, hop_length=160, power=1.0, level_dbfs=-30.0),
            "power 2, got 1",
        ),
    ],
)
def test_cards_that_cannot_be_followed_are_told(item, message):
    with pytest.raises(EmotionError, match=message):
        sound_features(noise(16000), 16000, item)


def test_level_does_not_change_mel_frames_and_silence_stays_silent(voice):
    samples, rate = voice
    np.testing.assert_allclose(mel_frames(samples * 0.03, rate), mel_frames(samples, rate), rtol=1e-3, atol=1e-7)
    assert not mel_frames(np.zeros(16000, np.float32), 16000).any()
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    middle = mel_frames(tone, 16000)[:, 50]
    # A sine of power 10^-3 under a Hann window: (sum of the window)² · amplitude² / 4 at its bin, half of the
    # amplitude in each neighbour; what the bands make of it is their weight at those bins.
    amplitude2, bins = 2e-3, [24, 25, 26]
    spectrum = np.array([0.25, 1.0, 0.25]) * amplitude2 * 200**2 / 4
    np.testing.assert_allclose(middle, mel_filters(GE2E)[:, bins] @ spectrum, rtol=1e-3, atol=1e-4)


def test_stream_of_frames_begins_anew_after_its_end():
    stream, sound = PowerMelStream(GE2E), noise(5000)
    for _ in range(2):
        mel = np.concatenate([stream.push(sound[:100]), stream.push(sound[100:]), stream.finish()], 1)
        np.testing.assert_allclose(mel, power_mel(sound, GE2E), rtol=1e-5, atol=1e-9)


def test_frame_is_given_out_half_a_window_after_its_centre():
    stream = PowerMelStream(GE2E)
    assert [stream.push(np.ones(100, np.float32)).shape[1] for _ in range(6)] == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("length", "wanted"),
    [(3, [1, 2, 3, 0, 0, 0]), (6, [1, 2, 3, 4, 5, 6]), (7, [1, 2, 3, 4, 5, 6]), (10, [3, 4, 5, 6, 7, 8])],
)
def test_shorter_sound_is_padded_and_longer_cut_in_the_middle(length, wanted):
    assert fitted(np.arange(1, length + 1, dtype=np.float32), 6).tolist() == wanted


@pytest.mark.parametrize(
    "call",
    [
        lambda: mfcc(np.zeros(0, np.float32)),
        lambda: mfcc(np.zeros((100, 2), np.float32)),
        lambda: mel_frames(np.zeros(0, np.float32), 16000),
        lambda: mel_frames(np.zeros(100, np.float32), 0),
        lambda: mfcc(np.zeros(100, np.float32), n_mfcc=129),
        lambda: resample(np.zeros(100, np.float32), 16000, 10**9),
    ],
)
def test_bad_calls_are_told(call):
    with pytest.raises(EmotionError, match="expected"):
        call()


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48000, 16000), (44100, 22050), (8000, 16000), (22050, 16000)])
def test_resampling_keeps_a_tone_and_its_time(from_hz, to_hz):
    def tone(rate):
        return np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)

    out = resample(tone(from_hz), from_hz, to_hz)
    assert len(out) == to_hz
    np.testing.assert_allclose(out[to_hz // 10 : -to_hz // 10], tone(to_hz)[to_hz // 10 : -to_hz // 10], atol=1e-3)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48000, 22050), (44100, 16000), (8000, 16000), (16000, 16000)])
def test_resampling_in_pieces_is_resampling_as_a_whole(from_hz, to_hz):
    import soxr

    sound = noise(2 * from_hz)
    stream, rng, out, at = ResampleStream(from_hz, to_hz), np.random.default_rng(1), [], 0
    while at < len(sound):
        size = int(rng.integers(1, from_hz // 2))
        out.append(stream.push(sound[at : at + size]))
        at += size
    pieces = np.concatenate([*out, stream.finish()])
    np.testing.assert_allclose(pieces, soxr.resample(sound, from_hz, to_hz), atol=1e-5)
    np.testing.assert_allclose(pieces, resample(sound, from_hz, to_hz), atol=1e-5)


def test_clip_is_described_in_time():
    """3.6 s of sound at 48 kHz to features within 15 ms once warm; of this thread's time, for cores may be busy."""
    sound = noise(172800)
    times = []
    for _ in range(10):
        start = time.thread_time()
        assert mfcc(resample(sound, 48000, 22050)).shape == (10, 156)
        times.append(time.thread_time() - start)
    assert min(times[1:]) < 0.015
