"""The chain from frames to estimates, with stand-ins for detector and network where values matter."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import cv2
import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.pipeline.still import StillPipeline
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.card import AFFECT, FACE, LOGITS, Framing, Input, ModelCard, Output
from emotion_core.store.finding import BUNDLED
from emotion_core.types import Box, EmotionEstimate, Face
from emotion_core.vision.haar import HaarDetector


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
    assert len(pipeline._tracker.tracks) == len(pipeline._smoother._states) < 20


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
    often = [i / 10 for i in range(10)]
    assert bright_pipeline([*often, 0.9 + 0.5])[2] == ["1"] * 11
    assert bright_pipeline([*often, 0.9 + 0.7])[2] == [*["1"] * 10, "2"]


def test_ids_are_never_used_twice():
    pipeline = FacialPipeline(FacialConfig(), Scripted(*[[LEFT, RIGHT]] * 3), Brightness(), first_id=41)
    assert pipeline.next_id == 41
    found = [e.track_id for e in pipeline.process(frame(), 0.0)]
    pipeline.reset()
    found += [e.track_id for e in pipeline.process(frame(), 0.1)]
    pipeline.reconfigure(replace(pipeline.config, min_iou=0.5))
    found += [e.track_id for e in pipeline.process(frame(), 0.2)]
    assert found == ["41", "42", "43", "44", "43", "44"]  # new settings forget nobody
    successor = FacialPipeline(FacialConfig(), Scripted([LEFT]), Brightness(), first_id=pipeline.next_id)
    assert successor.process(frame(), 0.3)[0].track_id == "45"


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


class Fixed:
    """Detector that knows where the face is."""

    name, framing = "fixed", 1.0

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def detect(self, image: np.ndarray) -> list[Face]:
        return self.faces


class Remembered(Classifier):
    """The bundled network, and what it was given last."""

    def __call__(self, faces: np.ndarray) -> EnsembleOutput:
        self.batch = faces
        return super().__call__(faces)


@pytest.fixture
def network() -> Remembered:
    return cast("Remembered", Remembered.load("esr_compact", threads=1))


def one(image: np.ndarray, network: Classifier, face: Face) -> EmotionEstimate:
    (estimate,) = FacialPipeline(FacialConfig(), Fixed(face), network).process(np.ascontiguousarray(image), 0.0)
    return estimate


HEAD = Face(Box(156, 105, 223, 223))
"""Of the sample portrait, as the cascade finds it."""


def test_a_real_face_with_the_bundled_model(portrait, network):
    """Against the network's own file: the branches' mean probability, and their mean valence and arousal."""
    import onnxruntime

    (estimate,) = FacialPipeline(FacialConfig(detector="haar"), classifier=network).process(portrait, 0.0)
    assert estimate.face.box.iou(HEAD.box) > 0.8
    assert estimate.label == "neutral"
    session = onnxruntime.InferenceSession(str(BUNDLED / "esr_compact.onnx"))
    logits, affect = session.run(["logits", "affect"], {"faces": network.batch})
    calibration = network.card.calibration  # of each branch, in the card's own numbers
    logits = logits[0] / calibration["temperature"] + np.log(calibration["prior"]) - np.log(calibration["learned"])
    powers = np.exp(logits - logits.max(1, keepdims=True))
    expected = (powers / powers.sum(1, keepdims=True)).mean(0)
    np.testing.assert_allclose(estimate.probabilities, expected, atol=1e-5)
    np.testing.assert_allclose((estimate.valence, estimate.arousal), affect[0].mean(0), atol=1e-5)


def test_a_face_cut_by_the_border_is_found_and_estimated(portrait):
    cut = np.ascontiguousarray(portrait[:, 150:])
    (estimate,) = StillPipeline(detector="haar").process(cut)
    assert estimate.face.box.iou(Box(HEAD.box.x - 150, HEAD.box.y, 223, 223)) > 0.8


@pytest.mark.parametrize(("left", "top"), [(75, 0), (0, 60), (85, 70)])
def test_beyond_the_border_the_edge_goes_on(portrait, network, left, top):
    """A box that reaches out of the picture is estimated like one inside the picture with its edge repeated."""
    small = cv2.resize(portrait, None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA)
    cut, box = small[top:, left:], HEAD.box.scaled(1 / 3)
    padded = cv2.copyMakeBorder(cut, 100, 100, 100, 100, cv2.BORDER_REPLICATE)
    outside = one(cut, network, Face(box.moved(-left, -top)))
    crop = network.batch
    inside = one(padded, network, Face(box.moved(100 - left, 100 - top)))
    assert outside.face.box == box.moved(-left, -top)
    np.testing.assert_allclose(crop, network.batch, atol=1.5 / 255)
    np.testing.assert_allclose(outside.probabilities, inside.probabilities, atol=0.01)


def test_mirror_images_agree(portrait, network):
    """The network is given the mirrored crop, and was taught that it means the same."""
    estimate, crop = one(portrait, network, HEAD), network.batch
    mirrored = Box(portrait.shape[1] - HEAD.box.x - HEAD.box.width, HEAD.box.y, HEAD.box.width, HEAD.box.height)
    other = one(cv2.flip(portrait, 1), network, Face(mirrored))
    np.testing.assert_allclose(network.batch, crop[..., ::-1], atol=4 / 255)  # rounded twice
    assert other.label == estimate.label
    np.testing.assert_allclose(estimate.probabilities, other.probabilities, atol=0.05)
    np.testing.assert_allclose((estimate.valence, estimate.arousal), (other.valence, other.arousal), atol=0.05)


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


def test_a_detector_of_ones_own_stays_whatever_the_threads() -> None:
    own = HaarDetector()
    pipeline = FacialPipeline(FacialConfig(detector="haar"), detector=own)
    pipeline.reconfigure(replace(pipeline.config, threads=2, smoothing_s=1.0))
    assert pipeline.detector is own
    pipeline = FacialPipeline(FacialConfig(detector="haar"))
    own = pipeline.detector
    pipeline.reconfigure(replace(pipeline.config, threads=2))
    assert pipeline.detector is own, "Haar's threads are those of OpenCV"


def test_a_shorter_gap_counts_before_the_next_picture(portrait: np.ndarray) -> None:
    pipeline = FacialPipeline(FacialConfig(detector="haar", max_gap_s=60))
    pipeline.process(portrait, 0.0)
    assert pipeline.gap_s == 60
    pipeline.reconfigure(replace(pipeline.config, max_gap_s=0.5))
    assert pipeline.gap_s < 1
