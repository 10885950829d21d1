"""Clips from files of every rate and length: sound and picture of one window."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("av")

from emotion_core.audio.mfcc import mfcc  # noqa: E402
from emotion_core.data.clip_files import (  # noqa: E402
    ClipSpec,
    Recorded,
    as_recorded,
    load_clip,
    load_picture,
    load_sound,
    sound_of_window,
    window_start_s,
)
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.types import Box, Face  # noqa: E402
from emotion_core.vision.face_clip import follow_face, frame_offsets, pick_frames  # noqa: E402

PUBLISHED = (3, 10, 17, 24, 31, 39, 46, 53, 60, 67, 75, 82, 89, 96, 103)
SPEC = ClipSpec(size=32)


def grey(level: int) -> np.ndarray:
    return np.full((64, 64, 3), level, np.uint8)


def ramp(times_s: np.ndarray) -> list[np.ndarray]:
    """Pictures that tell their time: 35 levels of grey a second."""
    return [grey(round(20 + 35 * t)) for t in times_s]


def shown_s(clip: np.ndarray) -> np.ndarray:
    """The times that the frames of a clip tell; NaN where one is black."""
    levels = clip.astype(float).mean((0, 2, 3))
    return np.where(levels < 5, np.nan, (levels - 20) / 35)


def write_wav(path: Path, samples: np.ndarray, rate_hz: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def test_the_published_frames():
    np.testing.assert_allclose(frame_offsets(3.6, 15) * 30, PUBLISHED)
    np.testing.assert_allclose(ClipSpec(rate_hz=25).offsets_s * 25, [i * 90 // 15 + 3 for i in range(15)])


@pytest.mark.parametrize("rate_hz", [12, 24, 25, 29.97, 30, 50, 60])
def test_frames_are_taken_by_time_whatever_the_rate(tmp_path, mux, rate_hz):
    times = np.arange(round(5 * rate_hz)) / rate_hz
    video = mux(tmp_path / "v.mkv", ramp(times), times)
    sound = Recorded(np.zeros(5 * 8000, np.float32), 8000)
    _, clip = load_clip(sound, video, SPEC, None)
    wanted = 0.7 + np.array(PUBLISHED) / 30  # the middle 3.6 of 5 s
    np.testing.assert_allclose(shown_s(clip), wanted, atol=0.5 / rate_hz + 0.03)


def test_a_rate_that_varies(tmp_path, mux):
    times = np.array([0, 0.05, 0.1, 0.15, 1.0, 1.02, 1.04, 2.5, 2.6, 2.7, 2.8, 2.9, 3.0, 3.4, 3.5, 3.6])
    video = mux(tmp_path / "v.mkv", ramp(times), times)
    _, clip = load_clip(Recorded(np.zeros(28800, np.float32), 8000), video, SPEC, None)
    wanted = np.array(PUBLISHED) / 30
    nearest = [times[np.abs(times - moment).argmin()] for moment in wanted]
    np.testing.assert_allclose(shown_s(clip), nearest, atol=0.04)


def test_a_picture_that_ends_early_is_black_at_the_end(tmp_path, mux):
    times = np.arange(60) / 30
    video = mux(tmp_path / "v.mkv", ramp(times), times)
    _, clip = load_clip(Recorded(np.zeros(28800, np.float32), 8000), video, SPEC, None)
    black = np.isnan(shown_s(clip))
    assert black.tolist() == [index > 60 for index in PUBLISHED]


def test_a_sound_that_starts_late_goes_with_the_late_pictures(tmp_path, mux, faces_and_voices):
    samples, rate_hz = faces_and_voices[1](5, 1)
    times = np.arange(180) / 30
    video = mux(tmp_path / "late.mkv", ramp(times), times, (samples, rate_hz), 2.0)
    sound, clip = load_clip(None, video, SPEC, None)
    start_s = (2.0 + len(samples) / rate_hz - 3.6) / 2
    np.testing.assert_allclose(shown_s(clip), start_s + np.array(PUBLISHED) / 30, atol=0.08)
    exact = sound_of_window(Recorded(samples, rate_hz, 2.0), start_s, SPEC)
    # AAC is lossy, and its first frame is padding: the loudness over time agrees, and so nothing is shifted.
    assert np.corrcoef(sound[0], exact[0])[0, 1] > 0.97


def test_the_window_is_the_middle_of_the_sound_and_begins_with_a_shorter_one():
    second = np.zeros(8000, np.float32)
    assert window_start_s(Recorded(np.tile(second, 10), 8000), 99, 3.6) == pytest.approx(3.2)
    assert window_start_s(Recorded(second, 8000), 99, 3.6) == 0
    assert window_start_s(Recorded(np.tile(second, 4), 8000, 4.0), 99, 3.6) == pytest.approx(2.2)
    assert window_start_s(Recorded(second, 8000, -0.5), 99, 3.6) == -0.5
    assert window_start_s(None, 10.0, 3.6) == pytest.approx(3.2)


@pytest.mark.parametrize("length", [79380, 79379, 79381, 100001, 40000, 1])
def test_sound_of_every_length_equals_the_published_cut(length):
    samples = np.random.default_rng(0).standard_normal(length).astype(np.float32) / 10
    whole = np.zeros(79380, np.float32)
    kept = samples[max(0, length - 79380) // 2 :][:79380]
    whole[: len(kept)] = kept
    found = load_sound(Recorded(samples, 22050), SPEC)
    assert found.shape == (10, 156)
    np.testing.assert_array_equal(found, mfcc(whole))


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
def test_a_real_voice_at_every_rate_gives_nearly_the_same_features(faces_and_voices, rate_hz):
    from emotion_core.audio.resample import resample

    samples, own = faces_and_voices[1](5, 1)
    wanted = load_sound(Recorded(samples, own), SPEC)
    found = load_sound(Recorded(resample(samples, own, rate_hz), rate_hz), SPEC)
    assert np.corrcoef(found[1], wanted[1])[0, 1] > (0.5 if rate_hz < 22050 else 0.999)
    assert found.shape == wanted.shape


def test_digital_silence_and_clipping_are_features_too(tmp_path):
    silent = load_sound(write_wav(tmp_path / "silent.wav", np.zeros(80000), 22050), SPEC)
    assert np.isfinite(silent).all() and np.ptp(silent[1:]) < 1e-3
    loud = load_sound(write_wav(tmp_path / "loud.wav", 9 * np.sin(np.arange(80000) / 9), 22050), SPEC)
    assert np.isfinite(loud).all()


def test_arrays_in_place_of_files():
    times = np.arange(108) / 30
    sound = as_recorded(np.zeros((57600, 2), np.int16), 16000)
    features, clip = load_clip(sound, np.stack(ramp(times)), SPEC, None)
    assert features.shape == (10, 156) and features.dtype == np.float32
    assert clip.shape == (3, 15, 32, 32) and clip.dtype == np.uint8
    np.testing.assert_allclose(shown_s(clip), np.array(PUBLISHED) / 30, atol=0.02)


def test_the_picture_alone_is_the_middle_of_the_video(tmp_path, mux):
    times = np.arange(180) / 30
    clip = load_picture(mux(tmp_path / "v.mkv", ramp(times), times), SPEC, None)
    np.testing.assert_allclose(shown_s(clip), 1.2 + np.array(PUBLISHED) / 30, atol=0.05)


class Scripted:
    """A detector that says what a test wants: a list of boxes for each picture, by its level."""

    name, framing = "scripted", 1.0

    def __init__(self, boxes: dict[int, list[tuple[float, float, float, float]]]) -> None:
        self.boxes = boxes

    def detect(self, image: np.ndarray) -> list[Face]:
        found = [Face(Box(*box)) for box in self.boxes.get(int(image[0, 0, 0]), [])]
        return sorted(found, key=lambda face: -face.box.area)


def test_the_same_face_is_followed_and_gaps_take_the_nearest():
    left, right, larger = (0, 0, 20, 20), (40, 0, 18, 18), (40, 0, 30, 30)
    detector = Scripted({1: [left, right], 2: [left, larger], 4: [larger, left]})
    images = [grey(0), grey(1), grey(2), grey(3), None, grey(4)]
    boxes = [None if face is None else (face.box.x, face.box.width) for face in follow_face(images, detector)]
    assert boxes == [(0, 20), (0, 20), (0, 20), (0, 20), None, (0, 20)]
    assert follow_face([grey(9), grey(9)], detector) == [None, None]


def test_picking_reads_no_further_than_it_must():
    def endless():
        for i in range(1000):
            assert i < 12, "read on after the last wanted moment"
            yield grey(i), i / 10

    picked = pick_frames(endless(), [0.0, 0.34, 1.0], 0.05)
    assert [int(image[0, 0, 0]) for image in picked] == [0, 3, 10]
    assert pick_frames(iter([]), [0.0], 1) == [None]
    early, late = pick_frames(iter([(grey(5), 1.0)]), [0.5, 1.04], 0.05)
    assert early is None and late is not None


def test_a_real_face_fills_the_frame(faces_and_voices, tmp_path, mux, portrait):
    from emotion_core.vision.detect import create_detector

    times = np.arange(40) / 10
    pictures = [cv2.resize(portrait, (512, 600))] * 40
    video = mux(tmp_path / "p.mp4", pictures, times, faces_and_voices[1](3, 1))
    _, clip = load_clip(None, video, ClipSpec(size=64), create_detector("haar"))
    shown = clip[:, 7].transpose(1, 2, 0)
    # A box tight around the face: the same as cut from the photo by hand.
    wanted = cv2.resize(pictures[0][105:333, 155:377], (64, 64), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shown.ravel(), wanted.ravel())[0, 1] > 0.6


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p, mux: mux(p / "mute.mkv", ramp(np.arange(9) / 9), np.arange(9) / 9), "no sound track"),
        (lambda p, mux: p / "missing.mp4", "there is none"),
        (lambda p, mux: (p / "text.mp4").write_text("no video") and p / "text.mp4", "cannot be read"),
    ],
)
def test_bad_videos_say_what_to_do(tmp_path, mux, make, words):
    with pytest.raises(EmotionError, match=words):
        load_clip(None, make(tmp_path, mux), SPEC, None)


def test_no_face_in_a_whole_clip(tmp_path, mux):
    from emotion_core.vision.detect import create_detector

    times = np.arange(60) / 15
    video = mux(tmp_path / "v.mkv", ramp(times), times, (np.zeros(64000, np.float32), 16000))
    with pytest.raises(EmotionError, match=r"expected a face, but haar finds none in its 15 frames from"):
        load_clip(None, video, SPEC, create_detector("haar"))


def test_bad_sounds_say_what_to_do(tmp_path):
    empty = write_wav(tmp_path / "empty.wav", np.zeros(0), 16000)
    with pytest.raises(EmotionError, match="empty"):
        load_sound(empty, SPEC)
    for sound, rate_hz, words in (
        (np.zeros(0, np.float32), 16000, "at least one sample"),
        (np.full(9, np.nan, np.float32), 16000, "9 of 9 are NaN"),
        (np.zeros((9, 0), np.float32), 16000, "channels"),
        (np.zeros(9, np.complex64), 16000, "complex64"),
        (np.zeros(9, np.float32), 0, "rate"),
    ):
        with pytest.raises(EmotionError, match=words):
            as_recorded(sound, rate_hz)
    with pytest.raises(EmotionError, match="video as a path"):
        load_clip(as_recorded(np.zeros(9, np.int16), 8000), np.zeros((3, 8, 8), np.uint8), SPEC, None)


@pytest.mark.parametrize(
    "wrong",
    [{"frames": 0}, {"size": 4}, {"window_s": 0}, {"rate_hz": 0}, {"n_mfcc": True}, {"sample_rate_hz": 10},
     {"frames": 500}, {"window_s": float("nan")}],
)  # fmt: skip
def test_settings_out_of_range(wrong):
    with pytest.raises(EmotionError):
        ClipSpec(**wrong)
