"""The picture of an ensemble: what is where, that it is legible, and that it means what it says."""

from __future__ import annotations

import itertools
import math
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET
from emotion_core.plots import branches
from emotion_core.plots.branches import (
    MIN_SIZE_PX,
    SIZE_PX,
    BranchReading,
    draw_branches,
    letterbox,
)
from emotion_core.types import Box, EmotionEstimate, Face
from emotion_core.vision.draw import placed
from emotion_core.vision.glyphs import text_height, text_width
from emotion_core.vision.palette import bgr
from emotion_core.vision.trace import AffectTrace

PROBABILITIES = (0.5, 0.0, 0.25, 0.125, 0.0, 0.0, 0.125, 0.0)


def estimate(
    valence: float = 0.5,
    arousal: float = 0.25,
    stamp_s: float = 0.0,
    track: str = "1",
    probabilities: tuple[float, ...] = PROBABILITIES,
) -> EmotionEstimate:
    face = Face(Box(60, 40, 80, 80))
    return EmotionEstimate(stamp_s, AFFECTNET, probabilities, valence, arousal, face, track)


def reading(count: int, saliency: bool = False, **kwargs: Any) -> BranchReading:
    rng = np.random.default_rng(count)
    crop = rng.integers(60, 200, (50, 50, 3), np.uint8)
    maps = rng.random((count, 12, 12), np.float32) if saliency else None
    affect = np.tile([0.5, 0.25], (count, 1))
    return BranchReading(estimate(**kwargs), rng.dirichlet(np.ones(8), count), affect, crop, maps)


def frame(width: int = 200, height: int = 150) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def column(picture: np.ndarray) -> np.ndarray:
    return picture[:, round(picture.shape[1] * (1 - 432 / 1280)) :]


def longest_run(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Of pixels of exactly this colour in a row."""
    hits = (picture == np.array(colour, np.uint8)).all(axis=2)
    return max(len(run) for row in hits for run in "".join("x" if hit else " " for hit in row).split(" "))


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (300, 900)])
@pytest.mark.parametrize("source", [(200, 150), (3000, 500), (51, 300)])
def test_letterbox_keeps_the_shape_and_moves_faces_along(size, source):
    image = np.zeros((source[1], source[0], 3), np.uint8)
    box = Box(0.25 * source[0], 0.5 * source[1], 0.5 * source[0], 0.25 * source[1])
    x, y, w, h = box.clamped(*source)
    image[y : y + h, x : x + w] = 255
    canvas, factor, (left, top) = letterbox(image, size)
    assert canvas.shape == (size[1], size[0], 3)
    assert factor == pytest.approx(min(size[0] / source[0], size[1] / source[1]))
    assert left == 0 or top == 0
    face = Face(box, eyes=((1.0, 2.0), (3.0, 2.0)))
    (moved,) = placed([EmotionEstimate(0.0, AFFECTNET, PROBABILITIES, face=face)], factor, (left, top))
    assert moved.face is not None
    white = cv2.boundingRect((canvas.min(axis=2) > 127).astype(np.uint8))
    found = moved.face.box
    np.testing.assert_allclose(white, (found.x, found.y, found.width, found.height), atol=2 + factor)


def test_trace_keeps_the_last_seconds_of_one_person():
    trace = AffectTrace(seconds=2.0, max_gap_s=0.5)
    for stamp in (0.0, 1.0, 1.2):
        trace.add(estimate(stamp / 2, -stamp / 2, stamp))
    trace.add(estimate(math.nan, math.nan, 1.4))
    points = trace.points(2.5)
    assert [(p.valence, p.arousal) for p in points] == [(0.5, -0.5), (0.6, -0.6)]
    assert [p.age for p in points] == pytest.approx([0.75, 0.65])
    assert [p.joined for p in points] == [False, True]
    trace.add(estimate(stamp_s=2.6))  # 1.4 s later
    assert [p.joined for p in trace.points(2.6)] == [False, True, False]
    trace.add(estimate(stamp_s=2.7, track="2"))
    assert len(trace.points(2.7)) == 1
    trace.add(estimate(stamp_s=0.1, track="2"))  # time runs backwards
    assert [p.age for p in trace.points(0.1)] == [0.0]


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int, float]]:
    """What is written in the column, and where."""
    written: list[tuple[str, int, int, float]] = []
    original = branches.blend_text

    def spy(canvas: Any, text: str, x: int, y: int, size: float, colour: Any) -> None:
        written.append((text, x, y, size))
        original(canvas, text, x, y, size, colour)

    monkeypatch.setattr(branches, "blend_text", spy)
    return written


@pytest.mark.parametrize("size", [MIN_SIZE_PX, SIZE_PX, (1920, 1080), (960, 720), (1600, 500)])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 15])
def test_no_text_is_clipped_or_covers_another(texts, size, count):
    picture = draw_branches(frame(), [estimate()], reading(count, saliency=True), size=size)
    assert picture.shape == (size[1], size[0], 3)
    left = size[0] - round(432 * min(size[0] / 1280, size[1] / 720))
    boxes = []
    for text, x, y, text_size in texts:
        if text.isdigit():
            continue  # the number in a tile of its own canvas
        w, h = text_width(text, text_size), text_height(text_size)
        assert left <= x, text
        assert x + w <= size[0], text
        assert y >= 0, text
        assert y + h <= size[1], text
        boxes.append((text, Box(x, y, w, h)))
    assert len(boxes) == 2 + 2 * len(AFFECTNET) + 2 + 2 * count + 5
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        # Lines have room for a g above and below; letters themselves must keep apart.
        assert a.intersection(b) <= 0.25 * min(a.area, b.area), (one, other)
    if size == SIZE_PX and count <= 9:
        assert min(text_size for *_, text_size in texts) * 11 >= 7  # height of a capital in pixels


def test_bars_are_as_long_as_the_probabilities():
    picture = column(draw_branches(frame(), [], reading(3)))[:230]
    lengths = {label: longest_run(picture, bgr(label)) for label in ("neutral", "surprise", "sad", "fear")}
    assert lengths["neutral"] == pytest.approx(2 * lengths["sad"], abs=2)
    assert lengths["sad"] == pytest.approx(2 * lengths["surprise"], abs=2)
    assert lengths["surprise"] > 20
    assert lengths["fear"] == 0


def test_the_point_lies_where_valence_and_arousal_say():
    fear = (0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)

    def centre(valence: float, arousal: float) -> np.ndarray:
        picture = draw_branches(frame(), [], reading(1, valence=valence, arousal=arousal, probabilities=fear))
        plane = column(picture)[450:]
        hits = (plane == np.array(bgr("fear"), np.uint8)).all(axis=2)
        return np.argwhere(hits).mean(axis=0)[::-1]

    origin, right, up = centre(0, 0), centre(1, 0), centre(0, 1)
    radius = right[0] - origin[0]
    assert radius > 80
    np.testing.assert_allclose(right - origin, (radius, 0), atol=1)
    np.testing.assert_allclose(up - origin, (0, -radius), atol=1.5)
    np.testing.assert_allclose(centre(-0.5, -0.5) - origin, (-radius / 2, radius / 2), atol=1.5)


def test_older_points_fade():
    trace = AffectTrace(max_gap_s=0)
    for stamp, valence in ((-4.5, -0.8), (-0.5, 0.8)):
        trace.add(estimate(valence, 0.8, stamp))
    empty, picture = draw_branches(frame(), [], None), draw_branches(frame(), [], None, trace.points(0.0))
    contrast = np.abs(picture.astype(int) - empty).max(axis=2)
    columns = np.flatnonzero(contrast.any(axis=0))
    middle = (columns[0] + columns[-1]) // 2
    assert 0 < contrast[:, :middle].max() < 0.25 * contrast[:, middle:].max()


def test_a_tile_is_coloured_where_the_map_is_high():
    grey = np.full((40, 40, 3), 120, np.uint8)
    heat = np.zeros((1, 8, 8), np.float32)
    heat[:, :, 5:] = 1
    one = BranchReading(estimate(), np.eye(8)[:1], np.zeros((1, 2)), grey, heat)
    tile = branches._tile(one, 0, 80, 1.0)[20:-6, 6:-6]
    saturation = np.ptp(tile.astype(int), axis=2)
    assert saturation[:, :20].max() == 0
    assert saturation[:, -20:].min() > 50
    plain = branches._tile(BranchReading(estimate(), np.eye(8)[:1], np.zeros((1, 2)), grey), 0, 80, 1.0)
    assert (plain[20:-6, 6:-6] == 120).all()
    assert tuple(plain[40, 0]) == bgr("neutral")


def test_the_frame_shows_every_face_and_stays_as_it_was():
    image = frame()
    others = [estimate(), estimate(track="2", probabilities=(0, 1.0, 0, 0, 0, 0, 0, 0))]
    picture = draw_branches(image, others, None)
    assert (image == 128).all()
    left = picture[:, : 1280 - 432]
    assert longest_run(left, bgr("happy")) > 20
    np.testing.assert_array_equal(left[360, 400], (128, 128, 128))
    np.testing.assert_array_equal(draw_branches(image, others, None), picture)
    outside = EmotionEstimate(0.0, AFFECTNET, PROBABILITIES, face=Face(Box(-90, -90, 50, 50)))
    np.testing.assert_array_equal(draw_branches(image, [outside], None), draw_branches(image, [], None))


def test_nobody_and_models_without_affect_are_said(texts):
    draw_branches(frame(), [], None)
    assert [text for text, *_ in texts] == ["no face", "arousal", "valence"]
    texts.clear()
    nothing = reading(3, valence=math.nan, arousal=math.nan)
    draw_branches(frame(), [], nothing)
    assert "not in this model" in [text for text, *_ in texts]
    assert not [text for text, *_ in texts if "nan" in text]


def test_the_vote_is_counted(texts):
    eye = np.eye(8)
    votes = BranchReading(estimate(), eye[[1, 1, 2]], np.zeros((3, 2)), frame(30, 30))
    draw_branches(frame(), [], votes)
    assert "2 of 3 say happy" in [text for text, *_ in texts]


@pytest.mark.parametrize("size", [(639, 480), (640, 359), (720, 1280)])
def test_sizes_without_room_are_refused(size):
    with pytest.raises(EmotionError, match="at least 640x360 and 4:3"):
        draw_branches(frame(), [], None, size=size)
