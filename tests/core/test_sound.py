"""Sound of files: formats against known samples, times against the pictures', and files that are none."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.media import sound as module
from emotion_core.media.frames import open_frames
from emotion_core.media.sound import SoundSource, read_sound

av = pytest.importorskip("av", reason="PyAV is not installed")


def tone(rate_hz: int, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(rate_hz * seconds)) / rate_hz)).astype(np.float32)


def write_wav(path: Path, data: bytes, width: int, channels: int = 1, rate_hz: int = 16000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setsampwidth(width)
        file.setnchannels(channels)
        file.setframerate(rate_hz)
        file.writeframes(data)
    return path


def write(path: Path, codec: str, samples: np.ndarray, rate_hz: int, form: str, ticks=lambda at: at, **options) -> Path:
    """Mono sound in blocks of 1024; ``ticks`` turns the position of a block into its time stamp in samples."""
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        add_sound(container, stream, samples, rate_hz, form, ticks)
    return path


def add_sound(container, stream, samples, rate_hz, form, ticks=lambda at: at) -> None:
    for at in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, at : at + 1024], format=form, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, ticks(at), Fraction(1, rate_hz)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_video(path: Path, sound_starts_s: float | None, pictures_start_s: float = 0.0) -> Path:
    """Two seconds of pictures at 25 Hz, and a second of sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = None if sound_starts_s is None else container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for i in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 4 * i, np.uint8), format="bgr24")
            frame.pts, frame.time_base = round((i / 25 + pictures_start_s) * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            samples = (tone(16000, 1.0) * 32767).astype(np.int16)
            add_sound(container, audio, samples, 16000, "s16", lambda at: at + round(sound_starts_s * 16000))
    return path


@pytest.mark.parametrize(
    ("width", "data"),
    [
        (1, bytes([64, 160, 128, 128])),
        (2, bytes.fromhex("00c0 0020 0000 0000")),
        (3, bytes.fromhex("0000c0 000020 000000 000000")),
        (4, bytes.fromhex("000000c0 00000020 00000000 00000000")),
    ],
)
def test_wav_of_every_width(tmp_path, width, data):
    sound = read_sound(write_wav(tmp_path / "a.wav", data, width))
    assert sound.samples.dtype == np.float32
    assert sound.samples.tolist() == [-0.5, 0.25, 0.0, 0.0]
    assert (sound.rate_hz, sound.start_s) == (16000, 0.0)


def test_channels_are_averaged(tmp_path):
    data = np.array([[16384, 0], [-8192, 8192]], "<i2").tobytes()
    path = write_wav(tmp_path / "stereo.wav", data, 2, channels=2)
    assert read_sound(path).samples.tolist() == [0.25, 0.0]
    assert SoundSource(path).channels == 2
    (chunk,) = SoundSource(path)
    np.testing.assert_array_equal(chunk.sound, [[16384, 0], [-8192, 8192]])


def test_five_channels_of_no_known_arrangement(tmp_path):
    data = np.arange(50, dtype="<i2").reshape(10, 5) * 100
    path = write_wav(tmp_path / "array.wav", data.tobytes(), 2, channels=5)
    np.testing.assert_allclose(read_sound(path).samples, data.mean(1) / 32768, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "codec", "form", "tolerance"),
    [
        ("a.wav", "pcm_f32le", "flt", 0),
        ("a.wav", "pcm_f64le", "dbl", 0),
        ("a.flac", "flac", "s16", 1e-4),
        ("a.aiff", "pcm_s16be", "s16", 1e-4),
        ("a.m4a", "aac", "fltp", 0.05),
        ("a.mp3", "libmp3lame", "fltp", 0.05),
    ],
)
def test_other_formats(tmp_path, name, codec, form, tolerance):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    wanted = tone(44100)
    made = {"flt": wanted, "fltp": wanted, "dbl": wanted.astype(float), "s16": (wanted * 32768).astype(np.int16)}[form]
    sound = read_sound(write(tmp_path / name, codec, made, 44100, form))
    assert sound.rate_hz == 44100 and sound.duration_s == pytest.approx(0.5, abs=0.06)
    np.testing.assert_allclose(sound.samples[2048:18000], wanted[2048:18000], atol=tolerance)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
def test_any_rate_can_be_had(tmp_path, rate_hz):
    data = (tone(rate_hz, 1.0) * 32767).astype("<i2").tobytes()
    sound = read_sound(write_wav(tmp_path / "a.wav", data, 2, rate_hz=rate_hz), 22050)
    assert (sound.rate_hz, len(sound.samples)) == (22050, 22050)
    np.testing.assert_allclose(sound.samples[2000:-2000], tone(22050, 1.0)[2000:-2000], atol=2e-3)


def test_real_voice_and_the_sound_of_a_real_video(shared):
    voice = read_sound(shared / "data/ravdess_audio/Actor_01/03-01-05-01-01-01-01.flac")
    assert voice.rate_hz == 22050 and 2.5 < voice.duration_s < 5.5
    assert 0.02 < np.abs(voice.samples).max() <= 1.0
    clip = shared / "data/clips/wda_aoc.mp4"
    sound = read_sound(clip)
    pictures = [time_s for _, time_s in open_frames(str(clip))]
    assert sound.start_s == pytest.approx(0.0, abs=0.1)
    assert sound.duration_s == pytest.approx(pictures[-1], abs=0.3)
    assert np.sqrt(np.mean(sound.samples**2)) > 0.005


@pytest.mark.parametrize(("sound_s", "pictures_s"), [(0.0, 0.0), (1.5, 0.0), (0.0, 0.6), (0.4, 1.0)])
def test_sound_has_the_clock_of_the_pictures(tmp_path, sound_s, pictures_s):
    path = write_video(tmp_path / "a.mkv", sound_s, pictures_s)
    stamps = [chunk.stamp_s for chunk in SoundSource(path)]
    assert stamps[0] == pytest.approx(sound_s - pictures_s, abs=0.002)
    assert np.all(np.diff(stamps) > 0)
    sound = read_sound(path)
    assert sound.start_s == stamps[0]
    np.testing.assert_allclose(sound.samples, tone(16000, 1.0), atol=1e-3)
    assert next(iter(open_frames(str(path))))[1] == 0.0


def test_gap_in_a_file_is_silence(tmp_path):
    samples = (tone(16000, 1.024) * 32767).astype(np.int16)
    path = write(tmp_path / "a.mkv", "pcm_s16le", samples, 16000, "s16", lambda at: at + 48000 * (at >= 8192))
    sound = read_sound(path)
    assert sound.counts.gaps == 1 and sound.counts.gap_s == pytest.approx(3.0, abs=0.01)
    assert len(sound.samples) == pytest.approx(16384 + 48000, abs=32)
    assert not sound.samples[8300:56000].any() and sound.samples[57000:].any()


def test_clipping_and_what_is_no_number_are_counted(tmp_path):
    samples = tone(16000)
    samples[:10], samples[10:14] = 1.5, np.nan
    sound = read_sound(write(tmp_path / "a.wav", "pcm_f32le", samples, 16000, "flt"))
    assert (sound.counts.clipped, sound.counts.nonfinite) == (10, 4)
    assert sound.samples[:14].tolist() == [1.0] * 10 + [0.0] * 4


def test_iterating_again_begins_again(tmp_path):
    source = SoundSource(write_wav(tmp_path / "a.wav", bytes(20000), 2))
    first, second = list(source), list(source)
    assert [chunk.stamp_s for chunk in first] == [chunk.stamp_s for chunk in second]
    assert sum(len(chunk.sound) for chunk in first) == 10000


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.wav").write_text("no sound at all, but long enough to be looked at\n" * 50)
    (tmp_path / "empty.wav").write_bytes(b"")
    cases = {
        tmp_path / "missing.wav": "check the path",
        tmp_path: "check the path",
        tmp_path / "text.wav": "cannot be read",
        tmp_path / "empty.wav": "cannot be read",
        write_video(tmp_path / "silent.mkv", None): "no sound track",
        write_wav(tmp_path / "zero.wav", b"", 2): "empty or damaged",
    }
    for path, message in cases.items():
        with pytest.raises(EmotionError, match=message) as error:
            read_sound(path)
        assert str(path) in str(error.value)


def test_cut_off_file_gives_what_is_there(tmp_path):
    whole = write_wav(tmp_path / "a.wav", (tone(16000) * 32767).astype("<i2").tobytes(), 2)
    (tmp_path / "cut.wav").write_bytes(whole.read_bytes()[:8001])
    sound = read_sound(tmp_path / "cut.wav")
    np.testing.assert_allclose(sound.samples, tone(16000)[: len(sound.samples)], atol=1e-4)
    assert len(sound.samples) == pytest.approx(3978, abs=2)


def test_files_that_are_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_WHOLE_S", 0.25)
    path = write_wav(tmp_path / "a.wav", (tone(16000) * 32767).astype("<i2").tobytes(), 2)
    with pytest.raises(EmotionError, match=r"at most 0.25 s.*cut it"):
        read_sound(path)
