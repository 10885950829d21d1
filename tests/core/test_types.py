from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_core.types import Box, EmotionEstimate, Face

boxes = st.builds(Box, *[st.floats(-500, 500)] * 2, *[st.floats(0.5, 500)] * 2)


@given(boxes, boxes)
def test_iou_is_symmetric_and_a_share(a, b):
    assert 0 <= a.iou(b) <= 1 + 1e-9
    assert a.iou(b) == pytest.approx(b.iou(a))
    assert a.iou(a) == pytest.approx(1)


def test_iou_of_known_boxes():
    assert Box(0, 0, 2, 2).iou(Box(1, 0, 2, 2)) == pytest.approx(1 / 3)
    assert Box(0, 0, 2, 2).iou(Box(2, 0, 2, 2)) == 0


@given(boxes, st.integers(1, 400), st.integers(1, 400))
def test_clamped_boxes_lie_inside(box, width, height):
    x, y, w, h = box.clamped(width, height)
    assert 0 <= x <= x + w <= width
    assert 0 <= y <= y + h <= height


@pytest.mark.parametrize("numbers", [(0, 0, 0, 1), (0, 0, 1, -1), (math.nan, 0, 1, 1), (0, 0, math.inf, 1)])
def test_impossible_boxes_are_refused(numbers):
    with pytest.raises(ValueError, match="box needs"):
        Box(*numbers)


def test_roll_of_level_and_tilted_eyes():
    box = Box(0, 0, 10, 10)
    assert Face(box).roll_rad == 0
    assert Face(box, eyes=((2, 4), (8, 4))).roll_rad == 0
    assert Face(box, eyes=((2, 2), (8, 8))).roll_rad == pytest.approx(math.pi / 4)


def test_label_and_confidence_follow_the_probabilities():
    estimate = EmotionEstimate(0.0, ("a", "b", "c"), (0.2, 0.5, 0.3))
    assert (estimate.label, estimate.confidence) == ("b", 0.5)
    voted = EmotionEstimate(0.0, ("a", "b", "c"), (0.2, 0.5, 0.3), label="c")
    assert (voted.label, voted.confidence) == ("c", 0.3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": (0.5, 0.4)}, "sum to 1"),
        ({"probabilities": (1.0,)}, "2 labels"),
        ({"probabilities": (math.nan, 1.0)}, "sum to 1"),
        ({"valence": 1.5}, "valence"),
        ({"label": "x"}, "none of"),
    ],
)
def test_impossible_estimates_are_refused(changes, message):
    values = {"stamp_s": 0.0, "labels": ("a", "b"), "probabilities": (0.5, 0.5)} | changes
    with pytest.raises(ValueError, match=message):
        EmotionEstimate(**values)
