"""Faces and voices of one class, drawn at random; and noise that is taken off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emotion_core.audio.noise import NoiseFloor, at_frames
from emotion_core.data.clip_files import ClipSpec
from emotion_core.data.dataset import FaceSet
from emotion_core.data.pairs import PairClips, draw_pairs, still_clip
from emotion_core.data.voices import RAVDESS, Voices
from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET, FER2013, meaning
from emotion_core.plots.sound_strip import SECONDS, SoundReading, draw_strip, strip_height
from emotion_core.types import FACE, VOICE, EmotionEstimate


def faces(labels=AFFECTNET, per_class: int = 5) -> FaceSet:
    count = per_class * len(labels)
    pixels = np.random.default_rng(0).integers(0, 255, (count, 48, 48)).astype(np.uint8)
    names = tuple(str(i) for i in range(count))
    classes = np.arange(count) % len(labels)
    return FaceSet(pixels, np.eye(len(labels), dtype=np.float32)[classes], classes, names, tuple(labels))


def voices() -> Voices:
    names = tuple(f"{i}.wav" for i in range(16))
    return Voices(Path("x"), names, np.arange(16) % 8, ("01",) * 16, RAVDESS)


@pytest.mark.parametrize("labels", [AFFECTNET, FER2013, ("happiness", "Sadness", "neutral")])
def test_pairs_are_of_one_class_by_what_the_words_mean(labels):
    pairs = draw_pairs(faces(labels), voices(), 3, seed=1)
    assert "contempt" not in pairs.labels
    data = faces(labels)
    for face, voice, a, b in zip(pairs.faces, pairs.voices, pairs.face_classes, pairs.voice_classes, strict=True):
        assert a == b and pairs.labels[a] == data.labels[data.targets[face]]
        assert meaning(pairs.labels[a]) == meaning(RAVDESS[voices().targets[voice]])
    assert len(pairs) == 3 * sum(meaning(RAVDESS[k]) in map(meaning, pairs.labels) for k in voices().targets)
    again = draw_pairs(faces(labels), voices(), 3, seed=1)
    np.testing.assert_array_equal(again.faces, pairs.faces)
    assert not np.array_equal(draw_pairs(faces(labels), voices(), 3, seed=2).faces, pairs.faces)


def test_conflicting_pairs_never_agree():
    pairs = draw_pairs(faces(), voices(), 10, conflicting=True)
    assert (pairs.face_classes != pairs.voice_classes).all() and len(set(pairs.face_classes)) == 7


def test_nothing_in_common():
    with pytest.raises(EmotionError, match="two classes in common"):
        draw_pairs(faces(("tired", "awake")), voices())


def test_a_still_face_as_a_clip():
    face = np.random.default_rng(0).integers(0, 255, (48, 48, 3)).astype(np.uint8)
    spec = ClipSpec(size=48, frames=15)
    still = still_clip(face, spec, 0.0, np.random.default_rng(0))
    for i in range(15):
        np.testing.assert_array_equal(still[:, i].transpose(1, 2, 0), face)
    moved = still_clip(face, spec, 0.05, np.random.default_rng(0))
    assert moved.shape == (3, 15, 48, 48) and any((moved[:, 0] != moved[:, i]).any() for i in range(1, 15))


def test_pairs_as_clips(shared):
    pytest.importorskip("av")
    from emotion_core.data.voices import load_ravdess

    real = load_ravdess(shared / "data/ravdess_audio", "valid").at(range(0, 60, 10))
    data = faces()
    clips = PairClips(data, real, draw_pairs(data, real, 2), ClipSpec(size=32, frames=3))
    sound, clip, target = clips[1]
    assert sound.shape == (10, 156) and clip.shape == (3, 3, 32, 32) and clip.dtype == np.uint8
    assert clips.labels[target] == data.labels[data.targets[clips.pairs.faces[1]]]
    np.testing.assert_array_equal(clips[1][1], clip)
    assert clips.sound(0) is clips.sound(1), "a voice is read once"
    with pytest.raises(IndexError):
        clips[len(clips)]


def test_noise_is_learned_where_nobody_speaks_and_taken_off():
    rng = np.random.default_rng(0)
    level = np.linspace(1, 3, 40)[:, None]
    noise = (level * rng.uniform(0.9, 1.1, (40, 300))).astype(np.float32)
    voice, speech = np.zeros((40, 300), np.float32), np.zeros(300)
    voice[:, 100:200], speech[100:200] = 50.0, 0.9
    floor = NoiseFloor()
    np.testing.assert_array_equal(floor.subtract(noise), noise)
    floor.learn(noise + voice, speech)
    clean = floor.subtract(noise + voice)
    assert clean[:, :90].max() == 0 and clean[:, 210:].max() == 0
    np.testing.assert_allclose(clean[:, 120:180], voice[:, 120:180] - level, atol=0.6)
    floor.reset()
    np.testing.assert_array_equal(floor.subtract(noise), noise)


def test_a_noise_that_changes_is_followed_and_silence_takes_nothing_off():
    floor, quiet = NoiseFloor(memory=100.0), np.zeros(100)
    loud = np.full((40, 100), 4.0, np.float32)
    floor.learn(loud, quiet)
    for _ in range(10):
        floor.learn(loud / 4, quiet)
    assert floor.subtract(np.full((40, 1), 10.0, np.float32))[0, 0] == pytest.approx(8.0, abs=0.1)
    silent = NoiseFloor()
    silent.learn(np.zeros((40, 100), np.float32), quiet)
    np.testing.assert_array_equal(silent.subtract(loud), loud)
    silent.learn(np.zeros((40, 0), np.float32), np.zeros(0))


def test_frames_of_speech_are_read_at_other_times():
    np.testing.assert_allclose(at_frames(np.array([0.0, 1.0]), 0.032, 5, 0.01), [0, 0, 0.125, 0.4375, 0.75])
    np.testing.assert_array_equal(at_frames(np.zeros(0), 0.032, 3, 0.01), np.zeros(3))


def estimate(modalities: int) -> EmotionEstimate:
    return EmotionEstimate(0.0, RAVDESS, (1.0, *(0.0,) * 7), modalities=modalities)


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (320, 240)])
def test_the_strip_shows_where_somebody_speaks(size):
    width, height = size[0], strip_height(size[1])
    assert height % 2 == 0
    rng = np.random.default_rng(0)
    samples = np.zeros(round(SECONDS * 16000), np.float32)
    samples[40000:56000] = 0.5 * rng.standard_normal(16000)
    speech = [(95 + (i + 0.5) * 0.032, 0.9 if 80 <= i < 110 else 0.0) for i in range(156)]
    spoken = SoundReading(samples, speech, 100.0, RAVDESS, (0.7, 0.3, *(0.0,) * 6))
    silent = SoundReading(np.zeros_like(samples), [], 100.0)
    one, other = (draw_strip(width, height, r, [estimate(FACE | VOICE)]) for r in (spoken, silent))
    assert one.shape == other.shape == (height, width, 3) and one.dtype == np.uint8
    differs = (one != other).any((0, 2))
    share = np.flatnonzero(differs[: round(0.55 * width)]) / width
    # 2.5 to 3.5 of 5 s, in the part of the strip that shows the sound
    assert 0.25 < share.min() < 0.36 and share.max() < 0.56
    alone = draw_strip(width, height, spoken, [estimate(VOICE)])
    assert (alone != one).any(), "it says which senses were used"


def test_the_strip_before_any_sound():
    empty = SoundReading(np.zeros(0, np.float32), [], 0.0)
    assert draw_strip(640, 96, empty, []).shape == (96, 640, 3)
