"""How much can be made out in the picture of a face."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_core.types import Box, Face
from emotion_core.vision.quality import SCORES, SHARPNESS, SIZE_PX, face_quality, judged, sharpness

SHARED = Path(__file__).resolve().parents[3] / "shared"


def picture(seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.random((24, 24)).astype(np.float32)
    return cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_LINEAR)[None]


def test_it_falls_with_size_blur_and_score():
    sharp = picture()
    assert face_quality(100, sharp) == 1.0
    sizes = [face_quality(size, sharp) for size in (5, 8, 12, 20, 48)]
    assert sizes == sorted(sizes) and sizes[0] == pytest.approx(0.55) and sizes[-1] == 1.0
    blurred = [face_quality(100, cv2.GaussianBlur(sharp[0], (0, 0), s)[None]) for s in (0.5, 1.5, 2.5, 4.0)]
    assert blurred == sorted(blurred, reverse=True) and blurred[-1] < 0.7
    assert face_quality(100, sharp, 0.7, "yunet") == pytest.approx(0.89)
    assert face_quality(100, sharp, 0.7, "haar") == 1.0  # whose scores tell nothing


def test_brightness_contrast_colour_and_the_size_of_the_input_do_not_count():
    sharp = picture()
    value = sharpness(sharp)
    assert sharpness(sharp * 255) == pytest.approx(value, rel=1e-4)
    assert sharpness(sharp * 0.1 + 0.5) == pytest.approx(value, rel=1e-3)
    assert sharpness(np.repeat(sharp, 3, 0)) == pytest.approx(value, rel=1e-5)
    large = cv2.resize(sharp[0], (96, 96), interpolation=cv2.INTER_LINEAR)[None]
    assert sharpness(large) == pytest.approx(value, rel=0.15)


def test_a_face_of_one_colour_shows_nothing():
    assert sharpness(np.full((1, 48, 48), 0.5, np.float32)) == 0.0
    assert face_quality(200, np.zeros((3, 64, 64), np.float32)) == SHARPNESS[0][1]


def test_curves_rise():
    for curve in (SIZE_PX, SHARPNESS, *SCORES.values()):
        values, shares = zip(*curve, strict=True)
        assert list(values) == sorted(set(values)) and list(shares) == sorted(shares) and shares[-1] == 1.0


def test_faces_are_judged_and_stay_who_they_are():
    face = Face(Box(0, 0, 40, 40), 0.9)
    (seen,) = judged([face], picture()[None], 1.0, "other")
    assert seen == face and seen.quality == face_quality(40, picture())
    assert np.isnan(face.quality)
    assert seen.placed(0.5, 3).quality == seen.quality


def test_an_estimate_tells_it():
    store = SHARED / "data" / "photos"
    if not store.is_dir():
        pytest.skip("needs ../shared/data/photos")
    from emotion_core.pipeline.still import StillPipeline

    pipeline = StillPipeline(detector="haar")
    photos = sorted(store.glob("*.jpg"))[:12] or sorted(store.rglob("*.jpg"))[:12]
    seen = [(cv2.imread(str(path)), pipeline.process(str(path))) for path in photos]
    image, (estimate, *_) = next((image, found) for image, found in seen if found and found[0].face.quality > 0.95)
    worse = pipeline.process(cv2.GaussianBlur(image, (0, 0), 0.05 * estimate.face.box.width))
    assert worse and worse[0].face.quality < estimate.face.quality
    assert estimate.to_dict()["quality"] == pytest.approx(estimate.face.quality)
