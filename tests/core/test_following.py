"""Faces between two searches: followed by optical flow, searched again where somebody is lost; regions of interest."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_core.errors import EmotionError
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.pipeline.finding import FaceFinder, largest
from emotion_core.types import Box, Face
from emotion_core.vision.detect import create_detector
from emotion_core.vision.flow import follow
from emotion_core.vision.regions import Regions


class Searching:
    """A detector that finds what it is told, and counts how often it searched."""

    name, framing = "searching", 1.0

    def __init__(self, *faces: Face) -> None:
        self.faces, self.searches = list(faces), 0

    def detect(self, image: np.ndarray) -> list[Face]:
        self.searches += 1
        return list(self.faces)


def scene(shift=(0.0, 0.0), scale: float = 1.0, size=(480, 640)) -> np.ndarray:
    """Smooth noise, moved by pixels and scaled around the middle: (H, W, 3) uint8."""
    rng = np.random.default_rng(3)
    noise = cv2.GaussianBlur(rng.integers(0, 256, (700, 900, 3)).astype(np.float32), (0, 0), 3)
    noise = np.clip((noise - noise.mean()) * 6 + 128, 0, 255).astype(np.uint8)
    x, y = (size[1] / 2 - 450 * scale + shift[0]), (size[0] / 2 - 350 * scale + shift[1])
    return cv2.warpAffine(noise, np.array([[scale, 0, x], [0, scale, y]]), size[::-1])


def grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


FACE = Face(Box(250, 150, 100, 120), 0.9, ((275.0, 190.0), (325.0, 190.0)))


@settings(max_examples=25, deadline=None)
@given(st.floats(-9, 9), st.floats(-9, 9), st.floats(0.95, 1.05))
def test_a_face_goes_where_its_picture_goes(dx: float, dy: float, scale: float) -> None:
    (moved,) = follow(grey(scene()), grey(scene((dx, dy), scale)), [FACE])
    assert moved is not None and moved.score == 0.9

    def place(x: float, y: float) -> tuple[float, float]:
        return 320 + scale * (x - 320) + dx, 240 + scale * (y - 240) + dy

    assert moved.box.centre == pytest.approx(place(*FACE.box.centre), abs=1.0)
    assert moved.box.width == pytest.approx(100 * scale, abs=1.5)
    assert moved.eyes is not None
    for eye, before in zip(moved.eyes, ((275.0, 190.0), (325.0, 190.0)), strict=True):
        assert eye == pytest.approx(place(*before), abs=1.0)


@pytest.mark.parametrize(
    "other", [np.full((480, 640), 128, np.uint8), grey(scene()[::-1, ::-1])], ids=["grey", "other"]
)
def test_what_is_no_longer_there_is_lost(other: np.ndarray) -> None:
    assert follow(grey(scene()), np.ascontiguousarray(other), [FACE, FACE]) == [None, None]
    assert follow(grey(scene()), grey(scene()), []) == []


def test_a_face_that_leaves_the_picture_is_lost() -> None:
    at_border = Face(Box(-60, 150, 100, 120))
    (moved,) = follow(grey(scene()), grey(scene((-14, 0))), [at_border])
    assert moved is None


def test_it_searches_in_every_nth_frame_and_follows_between() -> None:
    detector = Searching(FACE)
    finder = FaceFinder(detector, None, every=3)
    boxes = []
    for i in range(7):
        (face,) = finder.find(scene((2.0 * i, 0.0)), i / 30)
        boxes.append(face.box.x)
    assert detector.searches == 3  # in the frames 0, 3 and 6
    assert boxes == pytest.approx([250, 252, 254, 250, 252, 254, 250], abs=0.3)


@pytest.mark.parametrize(
    ("stamps_s", "searches"),
    [
        ((0.0, 0.5, 1.0), 3),  # too far apart to follow anything
        ((1.0, 1.03, 0.97), 2),  # a frame that comes late
        ((1.0, 1.0, 1.0), 1),  # a clock that stands
        ((9.0, 9.03, 2.0), 2),
    ],
)
def test_only_a_frame_that_comes_soon_is_followed_into(stamps_s: tuple[float, ...], searches: int) -> None:
    detector = Searching(FACE)
    finder = FaceFinder(detector, None, every=30)
    for stamp_s in stamps_s:
        assert len(finder.find(scene(), stamp_s)) == 1
    assert detector.searches == searches


def test_who_is_lost_is_searched_for_at_once() -> None:
    detector = Searching(FACE)
    finder = FaceFinder(detector, None, every=30)
    finder.find(scene(), 0.0)
    detector.faces = []
    assert finder.find(np.zeros((480, 640, 3), np.uint8), 0.03) == []
    assert finder.find(np.zeros((480, 640, 3), np.uint8), 0.06) == []  # once more, in case it was missed
    assert finder.find(np.zeros((480, 640, 3), np.uint8), 0.09) == []
    assert detector.searches == 3
    finder.reset()
    detector.faces = [FACE]
    assert len(finder.find(scene(), 0.12)) == 1


def test_a_change_of_resolution_is_a_new_search() -> None:
    detector = Searching(FACE)
    finder = FaceFinder(detector, None, every=30)
    finder.find(scene(), 0.0)
    finder.find(scene(size=(240, 320)), 0.03)
    assert detector.searches == 2


def test_small_faces_and_those_elsewhere_do_not_count() -> None:
    small, left, right = Face(Box(300, 10, 30, 60)), Face(Box(40, 40, 80, 80)), Face(Box(500, 200, 90, 90))
    every_face = FaceFinder(Searching(small, left, right), None).find(scene(), 0.0)
    assert [face.box.x for face in every_face] == [500, 40, 300]  # the largest first
    finder = FaceFinder(Searching(small, left, right), None, min_face_px=40)
    assert [face.box.x for face in finder.find(scene(), 0.0)] == [500, 40]
    finder = FaceFinder(Searching(small, left, right), None, max_faces=1)
    assert [face.box.x for face in finder.find(scene(), 0.0)] == [500]


def test_regions_are_what_is_searched(portrait: np.ndarray) -> None:
    """The detector sees their surroundings only, and the boxes are those of the whole frame."""
    wide = np.concatenate([portrait, portrait[:, ::-1]], axis=1)
    width = portrait.shape[1]
    faces = FaceFinder(create_detector("haar"), 320).find(wide, 0.0)
    assert sorted(face.box.centre[0] > width for face in faces) == [False, True]
    right = FaceFinder(create_detector("haar"), 320, regions=Regions.parse("0.5 0 0.5 1"))
    (face,) = right.find(wide, 0.0)
    assert face.box.centre[0] > width
    assert max(face.box.iou(other.box) for other in faces) > 0.7


@pytest.mark.parametrize(
    ("text", "parts"),
    [("", 0), (" ; ", 0), ("0 0 1 1", 1), ("0,0,0.5,1; 0.5 0 0.5 1", 2)],
)
def test_regions_are_read(text: str, parts: int) -> None:
    assert len(Regions.parse(text).parts) == parts


@pytest.mark.parametrize("text", ["0 0 1", "a b c d", "0 0 0 1", "0.6 0 0.5 1", "-0.1 0 1 1", "0 0 nan 1", "0 0 1 1 1"])
def test_regions_that_are_none_are_told(text: str) -> None:
    with pytest.raises(EmotionError, match="parameter regions: expected x y width height"):
        FacialConfig(regions=text)


def test_between_two_regions_nobody_counts() -> None:
    regions = Regions.parse("0 0 0.25 1; 0.75 0 0.25 1")
    assert regions.around(640, 480) == (0, 0, 640, 480)
    assert [regions.hold(Box(x, 200, 20, 20), 640, 480) for x in (20, 310, 600)] == [True, False, True]
    assert Regions.parse("0.999 0.999 0.001 0.001").around(64, 48) == (63, 47, 1, 1)


# ---- the pipeline ---------------------------------------------------------------------------------------------------


def haar(**values) -> FacialPipeline:
    return FacialPipeline(FacialConfig(detector="haar", smoothing_s=0.0, **values))


def panned(portrait: np.ndarray, count: int) -> list[np.ndarray]:
    return [np.ascontiguousarray(portrait[:480, 2 * i : 2 * i + 440]) for i in range(count)]


def test_following_says_the_same_as_searching(portrait: np.ndarray) -> None:
    always, sometimes = haar(detect_every=1), haar(detect_every=5)
    for i, image in enumerate(panned(portrait, 11)):
        (a,), (b,) = always.process(image, i / 30), sometimes.process(image, i / 30)
        assert a.face.box.iou(b.face.box) > 0.8
        assert (a.label, a.track_id, b.track_id) == (b.label, "1", "1")
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=0.25)


def test_given_faces_keep_their_names_and_nothing_is_searched(portrait: np.ndarray) -> None:
    pipeline = haar()
    (found,) = pipeline.process(portrait, 0.0)
    pipeline.detector.detect = None  # would fail
    (estimate,) = pipeline.process(portrait, 0.1, given=[("anna", found.face)])
    assert estimate.track_id == "anna"
    np.testing.assert_allclose(estimate.probabilities, found.probabilities, atol=1e-6)
    assert pipeline.process(portrait, 0.2, given=[]) == []
    assert pipeline.next_id == 2


def test_of_given_faces_the_largest_count_and_a_name_counts_once() -> None:
    faces = [("a", Face(Box(0, 0, 10, 10))), ("b", Face(Box(0, 0, 30, 30))), ("a", Face(Box(0, 0, 20, 20)))]
    assert [(name, face.box.width) for name, face in largest(faces, 9)] == [("b", 30), ("a", 20)]
    assert [name for name, _ in largest(faces, 1)] == ["b"]


def test_another_network_forgets_nobody(portrait: np.ndarray) -> None:
    pipeline = FacialPipeline(FacialConfig(detector="haar", smoothing_s=60.0))
    pipeline.process(portrait, 0.0)
    other = replace(pipeline.config, model="esr_compact", threads=2, smoothing_s=0.0)
    assert pipeline.check(other) and not pipeline.check(replace(pipeline.config, smoothing_s=1.0))
    change, before = pipeline.prepare(other), pipeline.classifier
    assert pipeline.classifier is before and pipeline.config.smoothing_s == 60.0  # nothing has changed yet
    (estimate,) = pipeline.process(portrait, 0.1)
    change()
    assert pipeline.classifier is not before and pipeline.config == other
    (later,) = pipeline.process(portrait, 0.2)
    assert estimate.track_id == later.track_id == "1"


def test_what_cannot_be_loaded_changes_nothing(portrait: np.ndarray, empty_store) -> None:
    pipeline = haar()
    before = pipeline.config
    for bad in (replace(before, model="nobody"), replace(before, detector="yunet"), replace(before, provider="cuda")):
        with pytest.raises(EmotionError):
            pipeline.prepare(bad)
        assert pipeline.config is before and len(pipeline.process(portrait, 0.0)) == 1
    with pytest.raises(EmotionError, match="unknown model 'nobody'"):
        pipeline.check(replace(before, model="nobody"))
