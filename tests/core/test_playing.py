"""Pictures and sound in the order in which they are due: by hand, and of files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.media.frames import FrameSource
from emotion_core.media.playing import Playing, Shown, cut, open_playing
from emotion_core.media.sound import Chunk, SoundSource
from emotion_core.media.source_config import SourceConfig, SourceSoundConfig

RATE_HZ = 1000


class Pictures(FrameSource):
    """Picture k is filled with k and lasts 0.1 s."""

    def __init__(self, count: int, loop: bool = False, rate_hz: float = 0) -> None:
        super().__init__("pictures", loop, rate_hz)
        self.count = count

    def _once(self) -> Iterator[tuple[Any, float, float]]:
        for k in range(self.count):
            yield np.full((2, 2, 3), k, np.uint8), k / 10, 0.1


class Ramp:
    """Sound whose sample n, from the first picture on, is n; in chunks of ``size`` samples."""

    name, skipped, has_pictures = "ramp", 0, True

    def __init__(self, start: int, stop: int, size: int = 64, gap: tuple[int, int] = (0, 0)) -> None:
        self.start, self.stop, self.size, self.gap = start, stop, size, gap

    def __iter__(self) -> Iterator[Chunk]:
        for begin in range(self.start, self.stop, self.size):
            samples = np.arange(begin, min(begin + self.size, self.stop), dtype=np.int16)
            if not self.gap[0] <= begin < self.gap[1]:
                yield Chunk(samples[:, None], RATE_HZ, begin / RATE_HZ)


def play(frames: Any, sound: Any, chunk_s: float = 0.05, loop: bool = False, parts: int = 10**6) -> list[Any]:
    return list(itertools.islice(Playing(frames, sound, chunk_s, loop), parts))


def described(parts: list[Any]) -> list[str]:
    """ "p0.10" for a picture, "s0.05" for a chunk that ends then."""
    return [
        f"p{part.stamp_s:.2f}" if isinstance(part, Shown) else f"s{part.stamp_s + part.length_s:.2f}" for part in parts
    ]


def sound_of(parts: list[Any]) -> np.ndarray:
    return np.concatenate([part.sound[:, 0] for part in parts if isinstance(part, Chunk)])


def consecutive(parts: list[Any]) -> None:
    """Every chunk begins where the last one ended."""
    chunks = [part for part in parts if isinstance(part, Chunk)]
    ends = [chunk.stamp_s + chunk.length_s for chunk in chunks]
    np.testing.assert_allclose([chunk.stamp_s for chunk in chunks[1:]], ends[:-1], atol=1e-9)


def test_a_picture_is_due_at_its_time_and_sound_at_its_end():
    parts = play(Pictures(3), Ramp(0, 300))
    assert described(parts) == ["p0.00", "s0.05", "s0.10", "p0.10", "s0.15", "s0.20", "p0.20", "s0.25", "s0.30"]
    assert sound_of(parts).tolist() == list(range(300))
    assert [part.picture[0, 0, 0] for part in parts if isinstance(part, Shown)] == [0, 1, 2]
    consecutive(parts)


def test_sound_goes_on_after_the_last_picture_and_not_before_the_first():
    parts = play(Pictures(1), Ramp(-100, 130))
    assert described(parts) == ["p0.00", "s0.05", "s0.10", "s0.13"]
    assert sound_of(parts).tolist() == list(range(130))


def test_sound_that_begins_later_has_its_time():
    parts = play(Pictures(2), Ramp(70, 120))
    assert described(parts) == ["p0.00", "p0.10", "s0.12"]
    assert parts[-1].stamp_s == pytest.approx(0.07)


@pytest.mark.parametrize("rate_hz", [0, 10, 25])
def test_in_a_loop_the_sound_of_a_round_ends_with_its_pictures(rate_hz):
    parts = play(Pictures(2, loop=True, rate_hz=rate_hz), Ramp(-30, 500), parts=60)
    pictures = [part for part in parts if isinstance(part, Shown)]
    times = np.array([part.stamp_s for part in pictures])
    assert (np.diff(times) > 0).all()
    assert [part.picture[0, 0, 0] for part in pictures] == [int((t + 1e-9) / 0.1) % 2 for t in times]
    sound = sound_of(parts)
    assert len(sound) > 800 and sound.tolist() == [n % 200 for n in range(len(sound))]
    consecutive(parts)
    due = [part.stamp_s + (part.length_s if isinstance(part, Chunk) else 0) for part in parts]
    assert (np.diff(due) > -1e-6).all()


def test_in_a_loop_shorter_sound_leaves_a_gap():
    parts = play(Pictures(2, loop=True), Ramp(0, 120), chunk_s=0.1, parts=12)
    stamps = [part.stamp_s for part in parts if isinstance(part, Chunk)]
    np.testing.assert_allclose(stamps, [0, 0.1, 0.2, 0.3, 0.4, 0.5][: len(stamps)])
    assert sound_of(parts).tolist() == [*range(120)] * (len(stamps) // 2) + [*range(100)] * (len(stamps) % 2)


def test_sound_alone_once_and_again_and_again():
    assert described(play(None, Ramp(0, 120))) == ["s0.05", "s0.10", "s0.12"]
    parts = play(None, Ramp(0, 120), loop=True, parts=7)
    assert described(parts) == ["s0.05", "s0.10", "s0.12", "s0.17", "s0.22", "s0.24", "s0.29"]
    assert sound_of(parts).tolist() == [n % 120 for n in range(290)]
    with pytest.raises(EmotionError, match="empty or damaged"):
        play(None, Ramp(0, 0), loop=True)


def test_pictures_alone():
    assert described(play(Pictures(2), None)) == ["p0.00", "p0.10"]


def test_a_gap_cuts_a_chunk_short():
    chunks = list(cut(iter(Ramp(0, 500, 50, gap=(100, 200))), 0.08))
    assert [len(chunk.sound) for chunk in chunks] == [80, 20, 80, 80, 80, 60]
    np.testing.assert_allclose([chunk.stamp_s for chunk in chunks], [0, 0.08, 0.2, 0.28, 0.36, 0.44])


def test_another_rate_or_type_begins_a_chunk_and_jitter_does_not():
    def chunk(count: int, rate_hz: int, stamp_s: float, dtype: str = "i2", channels: int = 1) -> Chunk:
        return Chunk(np.zeros((count, channels), dtype), rate_hz, stamp_s)

    given = [
        chunk(30, 1000, 0.0),
        chunk(30, 1000, 0.031),  # a rounded stamp
        chunk(60, 2000, 0.06),
        chunk(60, 2000, 0.09, "f4"),
        chunk(60, 2000, 0.12, "f4", channels=2),
    ]
    found = [(len(c.sound), c.rate_hz, c.stamp_s, c.sound.dtype.name, c.sound.shape[1]) for c in cut(iter(given), 0.05)]
    assert found == [
        (50, 1000, 0.0, "int16", 1),
        (10, 1000, 0.05, "int16", 1),
        (60, 2000, 0.06, "int16", 1),
        (60, 2000, 0.09, "float32", 1),
        (60, 2000, 0.12, "float32", 2),
    ]


@pytest.fixture
def clip(mux: Any, tmp_path: Path) -> Path:
    """A second at 20 Hz; the pictures turn white, and a tone begins, in the middle of it."""
    pictures = [np.full((48, 64, 3), 255 * (k >= 10), np.uint8) for k in range(20)]
    sound = np.where(np.arange(16000) < 8000, 0, np.sin(np.arange(16000) / 5)).astype(np.float32)
    return mux(tmp_path / "clip.mp4", pictures, np.arange(20) / 20, (sound, 16000))


def test_a_file_plays_its_sound(clip):
    playing = open_playing(SourceConfig(source=str(clip)), SourceSoundConfig(audio_chunk_s=0.02))
    parts = list(playing)
    playing.close()
    white_s = next(part.stamp_s for part in parts if isinstance(part, Shown) and part.picture.mean() > 128)
    heard = sound_of(parts)
    loud_s = np.argmax(np.abs(heard) > 0.3) / 16000
    assert white_s == pytest.approx(0.5) and loud_s == pytest.approx(0.5, abs=0.01)
    assert 0.95 < len(heard) / 16000 < 1.1 and playing.skipped == 0
    assert {len(part.sound) for part in parts[:-1] if isinstance(part, Chunk)} == {320}
    consecutive(parts)


@pytest.mark.parametrize(
    ("sound", "heard"), [({"audio": False}, False), ({"microphone": "default"}, False), ({}, True)]
)
def test_the_sound_of_a_file_gives_way(clip, sound, heard):
    playing = open_playing(SourceConfig(source=str(clip)), SourceSoundConfig(**sound))
    assert (playing.sound is not None) == heard and playing.frames is not None


def test_a_file_with_sound_only(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "cover.mp3"
    with av.open(str(path), "w") as container:
        audio = container.add_stream("mp3", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 16
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame(16, 16, "yuvj420p")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    assert SoundSource(path).has_pictures is False
    playing = open_playing(SourceConfig(source=str(path)), SourceSoundConfig())
    assert playing.frames is None
    assert all(isinstance(part, Chunk) for part in playing)


def test_what_there_is_no_sound_for(tmp_path, clip):
    assert open_playing(SourceConfig(source=""), SourceSoundConfig(microphone="0")).frames is None
    for source in ("", str(tmp_path / "none.mp4")):
        with pytest.raises(EmotionError, match="expected a camera's number or the path"):
            open_playing(SourceConfig(source=source), SourceSoundConfig())
    (tmp_path / "text.wav").write_text("no sound " * 100)
    with pytest.raises(EmotionError, match="cannot be read"):
        open_playing(SourceConfig(source=str(tmp_path / "text.wav")), SourceSoundConfig())
