from __future__ import annotations

import shutil

import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.types import Box, Face
from emotion_core.vision.detect import HaarDetector, YunetDetector, create_detector, distinct, shrink

YUNET = "face_detection_yunet_2026may.onnx"
HEAD = (240, 170)
"""Middle of the face in the sample portrait, about, in pixels."""


@pytest.fixture()
def stored_yunet(shared, empty_store):
    shutil.copy(shared / "models" / YUNET, empty_store / YUNET)
    return empty_store / YUNET


def test_auto_takes_haar_in_an_empty_store():
    assert create_detector("auto").name == "haar"


def test_auto_takes_yunet_when_it_is_there(stored_yunet):
    assert create_detector("auto").name == "yunet"
    assert create_detector("haar").name == "haar"


def test_haar_finds_the_face(portrait):
    faces = HaarDetector().detect(portrait)
    assert len(faces) == 1
    x, y = faces[0].box.centre
    assert abs(x - HEAD[0]) < 60
    assert abs(y - HEAD[1]) < 60


def test_both_detectors_frame_the_face_alike(portrait, stored_yunet):
    squares = []
    for detector in (HaarDetector(), YunetDetector(stored_yunet)):
        (face,) = detector.detect(portrait)
        squares.append((*face.box.centre, detector.framing * face.box.area**0.5))
    sides = [side for _, _, side in squares]
    assert sides[0] == pytest.approx(sides[1], rel=0.2)
    assert squares[0][:2] == pytest.approx(squares[1][:2], abs=0.12 * sides[0])


def test_yunet_scales_boxes_and_eyes_back(portrait, stored_yunet):
    import cv2

    (small,) = YunetDetector(stored_yunet, 320).detect(portrait)
    (large,) = YunetDetector(stored_yunet, 320).detect(cv2.resize(portrait, None, fx=2, fy=2))
    assert large.box.iou(small.box.scaled(2)) > 0.85
    (x0, y0), (x1, _) = small.eyes
    assert x0 < x1
    assert small.box.x < x0 < small.box.x + small.box.width
    assert small.box.y < y0 < small.box.y + small.box.height / 2


def test_nobody_in_an_empty_picture(stored_yunet):
    image = np.full((240, 320, 3), 127, np.uint8)
    assert HaarDetector().detect(image) == []
    assert YunetDetector(stored_yunet).detect(image) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (5000, 7)])
def test_odd_shapes_are_no_problem(shape, stored_yunet):
    image = np.zeros((*shape, 3), np.uint8)
    assert HaarDetector().detect(image) == []
    assert YunetDetector(stored_yunet).detect(image) == []


def test_missing_and_damaged_yunet_say_what_to_do(empty_store, shared, tmp_path):
    with pytest.raises(EmotionError, match=r"no YuNet model: put .*2026may.* into"):
        create_detector("yunet")
    data = (shared / "models" / YUNET).read_bytes()
    (empty_store / YUNET).write_bytes(data[: len(data) // 2])
    with pytest.raises(EmotionError, match="damaged"):
        create_detector("auto")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(data[: len(data) // 2])
    with pytest.raises(EmotionError, match="not a usable YuNet"):
        YunetDetector(broken)


def test_one_face_reported_twice_counts_once():
    sure, twin, apart = (
        Face(Box(530, 230, 244, 244), 0.99),
        Face(Box(450, 225, 240, 240), 0.86),
        Face(Box(760, 230, 200, 200), 0.7),  # somebody beside, whose box touches the first
    )
    assert distinct([twin, sure, apart]) == [sure, apart]
    assert distinct([]) == []


def test_unknown_detector_is_refused():
    with pytest.raises(EmotionError, match="auto, yunet, haar"):
        create_detector("mtcnn")


def test_shrink_keeps_small_images_and_the_aspect_of_large_ones():
    small = np.zeros((100, 200, 3), np.uint8)
    assert shrink(small, 320)[0] is small
    image, factor = shrink(np.zeros((480, 640, 3), np.uint8), 320)
    assert image.shape == (240, 320, 3)
    assert factor == 0.5
