from __future__ import annotations

import math

import numpy as np
import pytest

from emotion_core.store.card import FACE, Framing, Input
from emotion_core.types import Box, Face
from emotion_core.vision.crop import crop_batch, crop_face, fit_faces, resize_faces


@pytest.fixture()
def ramp() -> np.ndarray:
    """(200, 300) uint8 whose value is the column / 2."""
    return np.repeat((np.arange(300) // 2).astype(np.uint8)[None], 200, 0)


def test_a_crop_of_equal_size_copies_the_pixels(ramp):
    crop = crop_face(ramp, Face(Box(100, 50, 48, 48)), 48, unit=1.0)
    np.testing.assert_array_equal(crop, ramp[50:98, 100:148])


def test_framing_and_box_shape_give_a_centred_square(ramp):
    # A 32 x 72 box has the area of a 48 px square around (130, 100).
    crop = crop_face(ramp, Face(Box(114, 64, 32, 72)), 96, unit=2.0)
    np.testing.assert_array_equal(crop, ramp[52:148, 82:178])


def test_shrinking_averages(ramp):
    noise = np.random.default_rng(0).integers(0, 256, (480, 480), np.uint8)
    crop = crop_face(noise, Face(Box(0, 0, 480, 480)), 48, unit=1.0)
    expected = noise.reshape(48, 10, 48, 10).mean((1, 3))
    assert np.abs(crop - expected).max() <= 1.5


def test_shrinking_keeps_the_middle_in_the_middle():
    image = np.zeros((600, 800), np.uint8)
    image[290:310, 395:415] = 255  # around (405, 300)
    crop = crop_face(image, Face(Box(205, 100, 400, 400)), 48, unit=1.0).astype(float)
    rows, columns = np.indices(crop.shape) + 0.5
    assert (crop * columns).sum() / crop.sum() == pytest.approx(24, abs=0.1)
    assert (crop * rows).sum() / crop.sum() == pytest.approx(24, abs=0.1)


@pytest.mark.parametrize("side", [60.0, 300.0])  # enlarged and shrunk
def test_tilted_eyes_become_level(side):
    image = np.zeros((700, 700), np.uint8)
    angle, half = math.radians(25), side / 4
    eyes = []
    for sign in (-1, 1):
        x, y = 350 + sign * half * math.cos(angle), 350 + sign * half * math.sin(angle)
        rows, columns = np.indices(image.shape) + 0.5
        image[np.hypot(columns - x, rows - y) < side / 20] = 255
        eyes.append((x, y))
    crop = crop_face(image, Face(Box(350 - side / 2, 350 - side / 2, side, side), eyes=tuple(eyes)), 96, 1.0)
    rows, columns = np.indices(crop.shape) + 0.5
    left, right = (crop * (columns < 48)).astype(float), (crop * (columns > 48)).astype(float)
    for eye, x in ((left, 24), (right, 72)):
        assert (eye * rows).sum() / eye.sum() == pytest.approx(48, abs=0.7)
        assert (eye * columns).sum() / eye.sum() == pytest.approx(x, abs=0.7)


@pytest.mark.parametrize("corner", [(-30, -30), (270, 170), (-500, 40), (1000, 1000)])
@pytest.mark.parametrize("size", [20, 60, 400])
def test_faces_outside_the_image_repeat_its_edge(ramp, corner, size):
    crop = crop_face(ramp, Face(Box(*corner, size, size)), 48, unit=1.1)
    assert crop.shape == (48, 48)
    assert ramp.min() <= crop.min() <= crop.max() <= ramp.max()
    if corner[0] >= 300:
        assert (crop >= 148).all()


def test_batches_in_grey_and_colour(ramp):
    image = np.stack([ramp, np.full_like(ramp, 10), np.full_like(ramp, 200)], 2)
    faces = [Face(Box(10, 10, 50, 50)), Face(Box(100, 60, 80, 80))]
    colour = crop_batch(image, faces, Input("faces", FACE, (3, 32, 32), "bgr", framing=Framing()), 1.0)
    assert colour.shape == (2, 3, 32, 32)
    assert colour.dtype == np.float32
    np.testing.assert_allclose(colour[:, 2], 200 / 255, atol=1e-6)
    grey = crop_batch(image, faces, Input("faces", FACE, (1, 32, 32), "grey", framing=Framing()), 1.0)
    assert grey.shape == (2, 1, 32, 32)
    assert 0 <= grey.min() <= grey.max() <= 1


def test_resizing_ready_crops():
    faces = np.full((2, 48, 48), 51, np.uint8)
    np.testing.assert_allclose(resize_faces(faces, 48, 1), 0.2, atol=1e-6)
    assert resize_faces(faces, 96, 3).shape == (2, 3, 96, 96)


def test_rules_of_framing(ramp):
    """Values of the ramp tell which columns were cut out: column x has the value x / 2."""
    face = Face(Box(100, 60, 40, 60), eyes=((105.0, 80.0), (135.0, 70.0)))
    for framing, width in ((Framing("mean_side"), 50.0), (Framing("mean_side", 1.1), 55.0), (Framing("box"), 40.0)):
        crop = crop_face(ramp, face, 100, 1.12, framing).astype(float)
        assert np.ptp(crop, axis=0).max() <= 1  # upright, whatever the eyes say
        assert crop[50, 50] == pytest.approx(120 / 2, abs=1)
        assert crop[50, 90] - crop[50, 10] == pytest.approx(0.8 * width / 2, abs=1.1)
    assert crop_face(ramp, face, (30, 90), 1.12, Framing("box")).shape == (30, 90)


def test_colours_and_ranges_of_an_input():
    face = np.zeros((1, 20, 20, 3), np.uint8)
    face[..., 0], face[..., 2] = 51, 204  # blue, red
    bgr = Input("faces", FACE, (3, 20, 20), "bgr", framing=Framing())
    rgb = Input("faces", FACE, (3, 20, 20), "rgb", (-1.0, 1.0), Framing())
    np.testing.assert_allclose(fit_faces(face, bgr)[0, :, 0, 0], [0.2, 0.0, 0.8], atol=1e-6)
    np.testing.assert_allclose(fit_faces(face, rgb)[0, :, 0, 0], [0.6, -1.0, -0.6], atol=1e-6)
    picture = np.repeat(np.repeat(face[0], 4, 0), 4, 1)
    batch = crop_batch(picture, [Face(Box(20, 20, 30, 30))], rgb, 1.0)
    np.testing.assert_allclose(batch[0, :, 5, 5], [0.6, -1.0, -0.6], atol=1e-6)
