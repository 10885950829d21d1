"""Maps over a picture: in the right place, turned with the face, and nothing elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from emotion_core.store.card import Framing
from emotion_core.types import Box, Face
from emotion_core.vision.crop import FER2013, crop_face, crop_matrix
from emotion_core.vision.heat import blend_heat, draw_heat

UPRIGHT = Face(Box(100, 60, 80, 100))
TILTED = Face(Box(100, 60, 80, 100), eyes=((115.0, 90.0), (160.0, 115.0)))


def grey() -> np.ndarray:
    return np.full((240, 320, 3), 100, np.uint8)


def test_colours_come_where_the_map_is_high():
    heat = np.zeros((240, 320))
    heat[:, 160:] = 1
    mixed = blend_heat(grey(), heat, 0.5)
    assert (mixed[:, :160] == 100).all()
    # Inferno's brightest colour, half and half.
    assert np.abs(mixed[5, 200].astype(int) - (np.array([164, 255, 252]) + 100) / 2).max() <= 1


@pytest.mark.parametrize("face", [UPRIGHT, TILTED], ids=["upright", "tilted"])
@pytest.mark.parametrize("framing", [FER2013, Framing("mean_side", 1.1), Framing("box", 1.2)])
def test_a_map_of_the_crop_comes_back_to_the_same_pixels(face, framing):
    """A bright spot in the picture, cropped, taken as the map, and laid over: it covers the spot."""
    picture = np.zeros((240, 320, 3), np.uint8)
    picture[96:104, 146:154] = 255
    heat = crop_face(picture, face, (48, 48), 1.12, framing)[..., 0] / 255
    assert heat.max() > 0.9
    canvas = grey()
    draw_heat(canvas, face, heat, 1.12, framing)
    changed = np.abs(canvas.astype(int) - 100).max(axis=2)
    rows, columns = np.nonzero(changed > 20)
    assert (rows.mean(), columns.mean()) == (pytest.approx(99.5, abs=1.2), pytest.approx(149.5, abs=1.2))
    assert np.ptp(rows) < 20 and np.ptp(columns) < 20


def test_the_matrix_is_that_of_the_crop():
    picture = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    matrix = crop_matrix(TILTED, (48, 48), 1.12)
    np.testing.assert_allclose(matrix @ (*np.subtract(TILTED.box.centre, 0.5), 1), (23.5, 23.5), atol=1e-9)
    large = crop_face(picture, TILTED, (200, 200), 1.12)
    x, y = 60, 140
    inverse = np.linalg.inv(np.vstack([crop_matrix(TILTED, (200, 200), 1.12), (0, 0, 1)]))
    u, v, _ = inverse @ (x, y, 1)
    left, top = int(u), int(v)
    weights = np.array([1 - (u - left), u - left]), np.array([1 - (v - top), v - top])
    expected = np.einsum("y,x,yxc->c", weights[1], weights[0], picture[top : top + 2, left : left + 2].astype(float))
    np.testing.assert_allclose(large[y, x], expected, atol=6)  # OpenCV interpolates in steps of 1/32


@pytest.mark.parametrize("box", [Box(-60, -60, 100, 100), Box(300, 200, 90, 90), Box(-300, 0, 90, 90)])
def test_a_face_beyond_the_edge_is_coloured_as_far_as_it_shows(box):
    canvas = grey()
    draw_heat(canvas, Face(box), np.ones((48, 48)), 1.12)
    x, y, w, h = box.clamped(320, 240)
    if w and h:
        assert (canvas[y + h // 2, x + w // 2] != 100).any()
    else:
        assert (canvas == 100).all()
