"""The chain from frames to estimates, with stand-ins for detector and network where values matter."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.pipeline.still import StillPipeline
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.card import AFFECT, FACE, LOGITS, Framing, Input, ModelCard, Output
from emotion_core.types import Box, Face


class Scripted:
    """Detector that answers with the given faces, frame after frame."""

    name, framing = "scripted", 1.0

    def __init__(self, *frames: list[Face]) -> None:
        self.frames = list(frames)

    def detect(self, image: np.ndarray) -> list[Face]:
        return self.frames.pop(0)


class Brightness:
    """Network that is sure of class 1 for bright faces and of class 0 for dark ones; counts its calls."""

    card = ModelCard(
        "brightness", {}, AFFECTNET, "none", (Input("faces", FACE, (1, 48, 48), "grey", framing=Framing()),),
        (Output("logits", LOGITS, (8,)), Output("affect", AFFECT, (2,))), affect="none really",
    )  # fmt: skip
    provider = "none"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, faces: np.ndarray) -> EnsembleOutput:
        self.batches.append(len(faces))
        p = np.zeros((len(faces), 1, 8))
        bright = faces.mean((1, 2, 3)) > 0.5
        p[:, 0, 1], p[:, 0, 0] = bright, ~bright
        return EnsembleOutput(p, np.stack([bright * 1.0, -1.0 * bright], 1)[:, None])


def frame(*bright: tuple[int, int]) -> np.ndarray:
    image = np.zeros((240, 320, 3), np.uint8)
    for x, y in bright:
        image[y : y + 60, x : x + 60] = 255
    return image


LEFT, RIGHT = Face(Box(10, 50, 60, 60), 0.9), Face(Box(200, 50, 60, 60), 0.8)


def test_each_face_gets_its_own_estimate_from_one_batch():
    network = Brightness()
    pipeline = FacialPipeline(FacialConfig(), Scripted([LEFT, RIGHT]), network)
    left, right = pipeline.process(frame((200, 50)), 1.5)
    assert network.batches == [2]
    assert (left.label, right.label) == ("neutral", "happy")
    assert (left.face, right.face) == (LEFT, RIGHT)
    assert (left.track_id, right.track_id) == ("1", "2")
    assert (right.valence, right.arousal) == (1.0, -1.0)
    assert right.stamp_s == 1.5
    assert right.model == "brightness"
    assert right.confidence == 1.0


def test_values_are_smoothed_for_each_person_by_stamps():
    pipeline = FacialPipeline(FacialConfig(smoothing_s=0.2), Scripted([LEFT], [LEFT], [RIGHT, LEFT]), Brightness())
    pipeline.process(frame(), 0.0)
    (second,) = pipeline.process(frame((10, 50)), 0.2)
    assert second.probabilities[1] == pytest.approx(1 - math.exp(-1))
    right, left = pipeline.process(frame((10, 50), (200, 50)), 0.4)
    assert right.probabilities[1] == 1  # new, nothing to smooth with
    assert left.probabilities[1] == pytest.approx(1 - math.exp(-2))


def test_replaying_gives_the_same_numbers():
    runs = []
    for _ in range(2):
        frames = [[Face(Box(10 + i, 50, 60, 60))] for i in range(5)]
        pipeline = FacialPipeline(FacialConfig(), Scripted(*frames), Brightness())
        runs.append([pipeline.process(frame((10, 50)) if i % 2 else frame(), 0.03 * i) for i in range(5)])
    assert runs[0] == runs[1]


def test_nobody_gives_no_estimates_and_runs_no_network():
    network = Brightness()
    assert FacialPipeline(FacialConfig(), Scripted([]), network).process(frame(), 0.0) == []
    assert network.batches == []


def test_only_the_largest_faces_are_classified():
    faces = [Face(Box(0, 0, size, size)) for size in (90, 80, 70)]
    result = FacialPipeline(FacialConfig(max_faces=2), Scripted(faces), Brightness()).process(frame(), 0.0)
    assert [estimate.face for estimate in result] == faces[:2]


def test_new_settings_keep_the_network():
    network = Brightness()
    pipeline = FacialPipeline(FacialConfig(), Scripted([LEFT], [LEFT]), network)
    pipeline.process(frame(), 0.0)
    pipeline.reconfigure(replace(pipeline.config, smoothing_s=0.0))
    (estimate,) = pipeline.process(frame((10, 50)), 0.1)
    assert estimate.probabilities[1] == 1
    assert network.batches == [1, 1]


def bright_pipeline(stamps: list[float], **settings: float) -> tuple[FacialPipeline, list[float], list[str]]:
    """A dark face in the first frame and a bright one ever after: how bright it seems, and whose it is."""
    pipeline = FacialPipeline(FacialConfig(**settings), Scripted(*[[LEFT]] * len(stamps)), Brightness())
    estimates = [pipeline.process(frame((10, 50)) if i else frame(), stamp)[0] for i, stamp in enumerate(stamps)]
    return pipeline, [e.probabilities[1] for e in estimates], [e.track_id for e in estimates]


@pytest.mark.parametrize("stamp_s", [0.0, 1.7e9])
def test_stamps_that_stand_still_do_not_freeze_the_estimate(stamp_s):
    _, bright, people = bright_pipeline([stamp_s] * 4)
    assert bright == [0, 1, 1, 1]
    assert people == ["1"] * 4


def test_stamps_that_stand_still_do_not_remember_everybody():
    places = [[Face(Box(200.0 * (i % 400), 0, 60, 60))] for i in range(1000)]
    pipeline = FacialPipeline(FacialConfig(), Scripted(*places), Brightness())
    for _ in places:
        pipeline.process(frame(), 3.0)
    assert len(pipeline._tracker.tracks) == len(pipeline._smoother._states) < 130


def test_a_frame_that_comes_late_forgets_nobody():
    stamps = [0.0, 0.1, 0.2, 0.199, 0.3]
    _, bright, people = bright_pipeline(stamps)
    _, in_order, _ = bright_pipeline([0.0, 0.1, 0.2, 0.3])
    assert people == ["1"] * 5
    assert bright == [*in_order[:3], in_order[2], in_order[3]]


def test_a_larger_step_back_forgets_everybody_and_no_id_comes_twice():
    _, bright, people = bright_pipeline([10.0, 10.1, 2.0, 2.1])
    assert people == ["1", "1", "2", "2"]
    assert bright[2] == 1  # a new start


@pytest.mark.parametrize("period_s", [0.6, 1.0, 5.0, 120.0])
def test_low_rates_keep_the_same_person(period_s):
    pipeline, bright, people = bright_pipeline([i * period_s for i in range(5)], smoothing_s=60.0)
    assert people == ["1"] * 5
    assert bright == pytest.approx([1 - math.exp(-i * period_s / 60) for i in range(5)])
    assert pipeline.gap_s == pytest.approx(3 * period_s)


def test_at_a_usual_rate_half_a_second_is_the_end():
    stamps = [*(i / 10 for i in range(5)), 1.0]
    pipeline, _, people = bright_pipeline(stamps)
    assert people == [*["1"] * 5, "2"]
    assert pipeline.gap_s == 0.5


def test_ids_are_never_used_twice():
    pipeline = FacialPipeline(FacialConfig(), Scripted(*[[LEFT, RIGHT]] * 3), Brightness(), first_id=41)
    assert pipeline.next_id == 41
    found = [e.track_id for e in pipeline.process(frame(), 0.0)]
    pipeline.reset()
    found += [e.track_id for e in pipeline.process(frame(), 0.1)]
    pipeline.reconfigure(replace(pipeline.config, min_iou=0.5))
    found += [e.track_id for e in pipeline.process(frame(), 0.2)]
    assert found == ["41", "42", "43", "44", "45", "46"]
    successor = FacialPipeline(FacialConfig(), Scripted([LEFT]), Brightness(), first_id=pipeline.next_id)
    assert successor.process(frame(), 0.3)[0].track_id == "47"


def test_settings_that_cannot_be_taken_over_change_nothing():
    detector = Scripted([LEFT])
    pipeline = FacialPipeline(FacialConfig(), detector, Brightness())
    before = pipeline.config
    with pytest.raises(EmotionError, match="no YuNet model"):
        pipeline.reconfigure(replace(before, detector="yunet"))
    assert pipeline.config is before and pipeline.detector is detector


def test_unknown_model_is_a_clear_error():
    with pytest.raises(EmotionError, match="unknown model"):
        FacialPipeline(FacialConfig(model="nope"))


def test_a_real_face_with_the_bundled_model(portrait):
    """The sample portrait shows a slight smile: whatever the network makes of it, it is no strong negative emotion."""
    estimates = FacialPipeline(FacialConfig(detector="haar")).process(portrait, 0.0)
    assert len(estimates) == 1
    assert estimates[0].label in ("happy", "neutral", "contempt")
    assert sum(estimates[0].probabilities) == pytest.approx(1)
    assert -1 <= estimates[0].valence <= 1


def test_a_face_cut_by_the_border_is_still_estimated(portrait):
    cut = np.ascontiguousarray(portrait[:, 150:])
    estimates = StillPipeline(detector="haar").process(cut)
    for estimate in estimates:
        assert sum(estimate.probabilities) == pytest.approx(1)
    pipeline = FacialPipeline(FacialConfig(), Scripted([Face(Box(-40, -30, 120, 140))]))
    (estimate,) = pipeline.process(cut, 0.0)
    assert estimate.face.box.x == -40


def test_mirror_images_agree(portrait):
    one = StillPipeline(detector="haar").process(portrait)[0]
    other = StillPipeline(detector="haar").process(cv2.flip(portrait, 1))[0]
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=0.25)


def test_real_photos_mostly_agree_with_their_labels(shared, empty_store):
    """A sample of 60 photos: the whole set is measured by ``benchmarks/photos.py``."""
    import csv
    import shutil

    shutil.copy(shared / "models" / "face_detection_yunet_2026may.onnx", empty_store)
    folder = shared / "data" / "photos"
    names = {"happiness": "happy", "sadness": "sad"}
    rows = list(csv.DictReader((folder / "labels.csv").open()))[::13]
    pipeline, found, agree = StillPipeline(), 0, 0
    for row in rows:
        estimates = pipeline.process(cv2.imread(str(folder / row["file"])))
        found += bool(estimates)
        agree += bool(estimates) and estimates[0].label == names.get(row["emotion"], row["emotion"])
    assert found >= 0.98 * len(rows)
    assert agree >= 0.65 * found
