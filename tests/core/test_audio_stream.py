"""Ragged chunks give the windows and features that the whole sound gives."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_core.audio.activity import VoiceActivity
from emotion_core.audio.mel import GE2E, at_level, mel_frames
from emotion_core.audio.mfcc import mfcc
from emotion_core.audio.order import SoundCounts
from emotion_core.audio.resample import resample
from emotion_core.audio.ring import Ring
from emotion_core.audio.spectrum import PowerMelStream, power_mel
from emotion_core.audio.stream import SoundStream
from emotion_core.errors import EmotionError
from emotion_core.media.sound import read_sound

RATES = [8000, 16000, 22050, 44100, 48000]


def voice(rate_hz: int, seconds: float, seed: int = 0) -> np.ndarray:
    """(n, 2) int16: two channels of tones that come and go, and a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    tones = sum(np.sin(2 * np.pi * f * t * (1 + 0.1 * np.sin(3 * t))) for f in (140, 280, 900, 2400))
    sound = tones * (1 + np.sin(2 * np.pi * 2 * t)) / 12 + 0.01 * rng.standard_normal(len(t))
    return (np.stack([sound, 0.5 * sound], 1).clip(-1, 1) * 32767).astype(np.int16)


def cut(sound: np.ndarray, rate_hz: int, lengths_ms: list[int], start_s: float):
    """(chunk, stamp) until the sound is used up; the lengths begin again at their end."""
    at = turn = 0
    while at < len(sound):
        size = max(1, lengths_ms[turn % len(lengths_ms)] * rate_hz // 1000)
        yield sound[at : at + size], start_s + at / rate_hz
        at, turn = at + size, turn + 1


@settings(max_examples=25, deadline=None)
@given(
    lengths_ms=st.lists(st.integers(10, 500), min_size=1, max_size=12),
    rate_hz=st.sampled_from(RATES),
    start_s=st.sampled_from([0.0, 12.5, 1.8e9]),
)
def test_features_of_the_last_window_are_those_of_the_whole_sound(lengths_ms, rate_hz, start_s):
    sound = voice(rate_hz, 4.3)
    stream, frames = SoundStream((16000, 22050), seconds=4.0), PowerMelStream(GE2E)
    mels = []
    for chunk, stamp_s in cut(sound, rate_hz, lengths_ms, start_s):
        heard = stream.push(chunk, rate_hz, stamp_s)
        mels.append(frames.push(heard.samples[16000]))
    whole = sound.mean(1, dtype=np.float64).astype(np.float32) / 32768
    at_22, at_16 = resample(whole, rate_hz, 22050), resample(whole, rate_hz, 16000)
    # Before the end: what the resampler still holds back is missing at the end of the window and not inside it.
    stop = round((stream.end_s(22050) - start_s) * 22050)
    assert stop == pytest.approx(4.3 * 22050, abs=0.1 * 22050)
    window = stream.window(22050, 3.6)
    np.testing.assert_allclose(window, at_22[stop - 79380 : stop], atol=1e-5)
    np.testing.assert_allclose(mfcc(window), mfcc(at_22[stop - 79380 : stop]), atol=0.02)
    # At the end of a recording nothing is missing.
    mels += [frames.push(stream.finish().samples[16000]), frames.finish()]
    np.testing.assert_allclose(stream.window(16000, 3.6), at_16[-57600:], atol=1e-5)
    np.testing.assert_allclose(np.concatenate(mels, 1), power_mel(at_16, GE2E), rtol=1e-3, atol=1e-5)
    assert (stream.counts.gaps, stream.counts.late, stream.counts.restarts) == (0, 0, 0)


@pytest.mark.parametrize("rate_hz", [16000, 48000])
def test_real_voice_in_ragged_chunks(shared, rate_hz):
    """What a microphone sends of a real voice leads to the same features and the same speech as its file."""
    file = read_sound(shared / "data/ravdess_audio/Actor_01/03-01-03-02-01-01-01.flac", rate_hz)
    sound = np.round(np.stack([file.samples] * 2, 1) * 32767).astype(np.int16)
    rng = np.random.default_rng(0)
    stream, frames, activity = SoundStream((16000, 22050), seconds=6), PowerMelStream(GE2E), VoiceActivity()
    mels, speech = [], []
    lengths_ms = [int(n) for n in rng.integers(10, 501, 20)]
    for chunk, stamp_s in cut(sound, rate_hz, lengths_ms, 1.7e9):
        heard = stream.push(chunk, rate_hz, stamp_s + rng.uniform(-0.001, 0.001))
        mels.append(frames.push(heard.samples[16000]))
        speech.append(activity.push(heard.samples[16000]))
    rest = stream.finish().samples[16000]
    mels += [frames.push(rest), frames.finish()]
    speech.append(activity.push(rest))
    assert stream.counts == SoundCounts(chunks=stream.counts.chunks)
    whole = sound[:, 0].astype(np.float32) / 32768
    at_16, at_22 = resample(whole, rate_hz, 16000), resample(whole, rate_hz, 22050)
    mel = at_level(np.concatenate(mels, 1), float(np.mean(at_16.astype(float) ** 2)))
    np.testing.assert_allclose(mel, mel_frames(at_16, 16000), rtol=1e-3, atol=1e-5)
    stop = round((stream.end_s(22050) - 1.7e9) * 22050)
    assert stop == pytest.approx(len(at_22), abs=100)  # jitter of the stamps
    last = np.pad(at_22, (79380, 0))[-79380:]  # a shorter voice has silence before it
    np.testing.assert_allclose(mfcc(stream.window(22050, 3.6)), mfcc(last), atol=0.02)
    np.testing.assert_allclose(np.concatenate(speech), VoiceActivity().push(at_16), atol=0.01)
    assert 0.2 < activity.share(6.0) < 0.8 and activity.snr_db() > 20


def test_microphone_that_dies_and_comes_back():
    stream, sound = SoundStream((16000,), seconds=6), voice(16000, 6.0)
    restarts = []
    for chunk, stamp_s in cut(sound, 16000, [30], 10.0):
        if not (11 <= stamp_s < 11.5 or 13 <= stamp_s < 15):  # a short silence, and a long one
            restarts.append(stream.push(chunk, 16000, stamp_s).restarted)
    assert (stream.counts.gaps, stream.counts.restarts, sum(restarts)) == (1, 1, 2)
    assert stream.counts.gap_s == pytest.approx(0.5, abs=0.031)
    assert stream.end_s(16000) == pytest.approx(16.0, abs=1e-6)
    window = stream.window(16000, 3.6)
    assert not window[: round(2.5 * 16000)].any()  # before the restart
    np.testing.assert_array_equal(window[-15000:], sound[-15000:].mean(1, dtype=np.float32) / 32768)


def test_process_ends_quietly():
    program = (
        "import builtins, numpy as np; from emotion_core.audio.stream import SoundStream;"
        "stream = builtins.kept = SoundStream((16000,), 2); stream.push(np.zeros(480, np.int16), 48000, 0.0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_window_ends_where_it_is_asked_to():
    stream = SoundStream((16000,), seconds=2)
    sound = (np.arange(16000) / 16000).astype(np.float32)
    stream.push(sound, 16000, 50.0)
    np.testing.assert_array_equal(stream.window(16000, 0.25, 50.75), sound[8000:12000])
    np.testing.assert_array_equal(stream.window(16000, 0.5, 51.25)[:4000], sound[12000:])
    assert not stream.window(16000, 0.5, 51.25)[4000:].any()
    early = stream.window(16000, 1.0, 50.5)
    assert not early[:8000].any()
    np.testing.assert_array_equal(early[8000:], sound[:8000])


def test_nothing_heard_is_silence():
    stream = SoundStream((16000,), seconds=1)
    assert math.isnan(stream.end_s(16000))
    assert stream.window(16000, 0.5).tolist() == [0.0] * 8000
    assert stream.window(16000, 0.5, 3.0).tolist() == [0.0] * 8000
    assert stream.finish().samples[16000].shape == (0,)


def test_another_rate_or_time_begins_anew():
    stream = SoundStream((16000,), seconds=1)
    sound = np.full(1600, 0.25, np.float32)
    assert stream.push(sound, 16000, 0.0).restarted  # whoever keeps a state begins
    assert not stream.push(sound, 16000, 0.1).restarted
    heard = stream.push(np.full(4800, 0.5, np.float32), 48000, 0.2)
    assert heard.restarted and stream.counts.restarts == 1
    assert stream.window(16000, 0.05, 0.25).max() == pytest.approx(0.5, abs=0.1)
    assert not stream.window(16000, 0.1, 0.2).any()
    assert stream.push(sound, 48000, 99.0).restarted and stream.counts.restarts == 2
    assert stream.end_s(16000) == pytest.approx(99.0, abs=0.04)


def test_what_is_wrong_is_counted():
    stream = SoundStream((16000,), seconds=1)
    stream.push(np.array([0.5, np.nan, 1.0, 2.0] * 40, np.float32), 16000, 0.0)
    stream.push(np.zeros((320, 2), np.int16), 16000, 0.01)
    with pytest.raises(EmotionError, match="got int64"):
        stream.push(np.zeros(160, np.int64), 16000, 0.03)
    with pytest.raises(EmotionError, match="channels"):
        stream.push(np.zeros((160, 0), np.int16), 16000, 0.03)
    with pytest.raises(EmotionError, match=r"sample rate.*got 0"):
        stream.push(np.zeros(160, np.int16), 0, 0.03)
    with pytest.raises(EmotionError, match="time"):
        stream.push(np.zeros(160, np.int16), 16000, math.nan)
    assert stream.counts == SoundCounts(chunks=6, rejected=4, clipped=80, nonfinite=40, silent_s=pytest.approx(0.02))
    assert stream.end_s(16000) == pytest.approx(0.03)


def test_empty_chunks_change_nothing():
    stream = SoundStream((16000,), seconds=1)
    assert not stream.push(np.zeros(0, np.int16), 48000, 7.0).restarted
    stream.push(np.ones(160, np.float32), 16000, 0.0)
    assert not stream.push(np.zeros(0, np.int16), 48000, 7.0).restarted
    assert stream.end_s(16000) == pytest.approx(0.01)


@given(st.lists(st.integers(0, 25), max_size=30))
def test_ring_holds_the_newest(sizes):
    ring, everything = Ring(10), np.zeros(0, np.float32)
    for size in sizes:
        piece = np.arange(len(everything), len(everything) + size, dtype=np.float32) + 1
        everything = np.concatenate([everything, piece])
        ring.append(piece)
        assert ring.count == len(everything)
        padded = np.concatenate([np.zeros(10, np.float32), everything])
        np.testing.assert_array_equal(ring.read(ring.count - 10, ring.count), padded[-10:])
        np.testing.assert_array_equal(ring.read(ring.count - 3, ring.count + 2), [*padded[-3:], 0, 0])
