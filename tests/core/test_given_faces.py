"""Faces that somebody else finds and follows: no detector, no tracker, but the same crops, network and smoothing."""

import cv2
import numpy as np
import pytest

from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.pipeline.finding import GivenFaces
from emotion_core.types import Box, Face
from emotion_core.vision.haar import HaarDetector

CONFIG = FacialConfig(detector="haar", smoothing_s=0.25)


@pytest.fixture(scope="module")
def photo(portrait):
    return np.ascontiguousarray(portrait[:480])


@pytest.fixture(scope="module")
def face(photo):
    (face,) = HaarDetector().detect(photo)
    return face


def given():
    return FacialPipeline(CONFIG, GivenFaces("hri", HaarDetector.framing))


def test_they_are_classified_as_those_that_were_found(photo, face):
    (own,) = FacialPipeline(CONFIG).process(photo, 1.0)
    (theirs,) = given().process(photo, 1.0, [("anna", face)])
    assert (theirs.track_id, theirs.face) == ("anna", face)
    np.testing.assert_allclose(theirs.probabilities, own.probabilities, atol=1e-6)
    assert (theirs.valence, theirs.arousal) == pytest.approx((own.valence, own.arousal), abs=1e-6)


def test_the_largest_come_first_and_only_so_many(photo, face):
    pipeline = FacialPipeline(FacialConfig(max_faces=2), GivenFaces("hri", 1.12))
    people = {"small": 40.0, "large": 120.0, "middle": 80.0}
    faces = [(name, Face(Box(10, 10, side, side))) for name, side in people.items()]
    assert [e.track_id for e in pipeline.process(photo, 1.0, faces)] == ["large", "middle"]
    assert pipeline.process(photo, 1.1, []) == []


def test_people_are_smoothed_by_their_ids(photo, face):
    """Two change places: each keeps a memory of where they were, as no tracker would have it."""
    pipeline, dark = given(), cv2.GaussianBlur((photo // 4).astype(np.uint8), (0, 0), 12)
    (first,) = pipeline.process(photo, 1.0, [("anna", face)])
    (smoothed,) = pipeline.process(dark, 1.05, [("anna", face)])
    (fresh,) = given().process(dark, 1.05, [("bert", face)])
    difference = np.subtract(fresh.probabilities, first.probabilities)
    assert np.abs(difference).max() > 0.01  # there is something to smooth
    moved = np.subtract(smoothed.probabilities, first.probabilities)
    np.testing.assert_allclose(moved, difference * (1 - np.exp(-0.05 / 0.25)), atol=1e-3)


def test_settings_of_the_detector_bring_none_back(photo, face):
    pipeline = given()
    changed = FacialConfig(detector="haar", min_score=0.1, detection_size=64, max_faces=3)
    assert not pipeline.check(changed)
    pipeline.reconfigure(changed)
    assert pipeline.detector.name == "hri" and pipeline.config == changed
    assert [e.track_id for e in pipeline.process(photo, 1.0, [("anna", face)])] == ["anna"]
    assert pipeline.process(photo, 1.1) == []  # nobody is given, and nobody searches
