"""Everything that a user may hand to ``infer``."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.learners.engine import Image, as_faces

PIXELS = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)


def one(given):
    faces, is_batch = as_faces(given)
    assert len(faces) == 1 and not is_batch
    return faces[0]


def test_one_face_in_every_form():
    np.testing.assert_array_equal(one(PIXELS), PIXELS)
    np.testing.assert_array_equal(one(Image(PIXELS)), PIXELS)
    np.testing.assert_array_equal(one(PIXELS.transpose(2, 0, 1)), PIXELS)
    np.testing.assert_array_equal(one(np.dstack([PIXELS, PIXELS[:, :, :1]])), PIXELS)  # BGRA
    np.testing.assert_array_equal(one(PIXELS[:, :, 0]), PIXELS[:, :, 0])
    np.testing.assert_array_equal(one(PIXELS[:, :, :1]), PIXELS[:, :, 0])
    np.testing.assert_allclose(one(PIXELS / 255.0), PIXELS / np.float32(255), rtol=1e-6)


def test_tensors():
    torch = pytest.importorskip("torch")
    planes = torch.from_numpy(PIXELS).permute(2, 0, 1)
    np.testing.assert_array_equal(one(planes), PIXELS)
    faces, is_batch = as_faces(torch.stack([planes, planes]).float().requires_grad_() / 255)
    assert is_batch and len(faces) == 2
    np.testing.assert_allclose(faces[1], PIXELS / np.float32(255), rtol=1e-6)


def test_batches_and_lists():
    for given in ([PIXELS, Image(PIXELS)], np.stack([PIXELS, PIXELS]), (PIXELS[:, :, 0], PIXELS)):
        faces, is_batch = as_faces(given)
        assert is_batch and len(faces) == 2
    faces, is_batch = as_faces([PIXELS])
    assert is_batch and len(faces) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "empty list"),
        (np.zeros((0, 3, 5, 5), np.uint8), "empty batch"),
        (np.zeros((0, 5, 3), np.uint8), r"got shape \(0, 5, 3\)"),
        (np.zeros(5, np.uint8), r"got shape \(5,\)"),
        (np.zeros((1, 1, 3, 5, 5), np.uint8), "got shape"),
        (np.zeros((5, 5, 2), np.uint8), "1, 3 or 4 channels"),
        (np.full((5, 5, 3), np.nan, np.float32), "got NaN: divide"),
        (np.full((5, 5, 3), 200.0, np.float32), "values from 200 to 200: divide by 255"),
        (np.zeros((5, 5, 3), np.int32), "got int32"),
        ("face.jpg", "face.jpg does not exist"),
        (None, "got None: was the file read"),
    ],
)
def test_what_cannot_be_a_face_is_one_clear_error(given, message):
    with pytest.raises(EmotionError, match=message):
        as_faces(given)


def test_a_picture_from_a_file(tmp_path):
    cv2.imwrite(str(tmp_path / "face.png"), PIXELS)
    np.testing.assert_array_equal(Image.open(tmp_path / "face.png").opencv(), PIXELS)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(EmotionError, match="not a readable picture"):
        Image.open(tmp_path / "broken.png")
    with pytest.raises(EmotionError, match="does not exist"):
        Image.open(tmp_path / "absent.png")
