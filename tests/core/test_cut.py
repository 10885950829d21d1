"""A box of a picture by itself."""

import numpy as np
import pytest

from emotion_core.types import Box
from emotion_core.vision.cut import cut_out


def test_a_box_fits_into_the_square():
    image = np.zeros((100, 200, 3), np.uint8)
    image[20:60, 50:70] = 200  # twice as high as wide
    square = cut_out(image, Box(50, 20, 20, 40), 128)
    assert square.shape == (128, 128, 3) and square.dtype == np.uint8
    assert (square[:, 32:96] == 200).all()
    assert not square[:, :32].any() and not square[:, 96:].any()
    wide = cut_out(image, Box(0, 0, 200, 100), 64)
    assert not wide[:16].any() and not wide[48:].any()


def test_what_lies_outside_is_left_out():
    image = np.full((100, 200, 3), 90, np.uint8)
    square = cut_out(image, Box(-30, 50, 60, 100), 50)  # 30 x 50 of it lie inside
    assert (square[:, 10:40] == 90).all() and not square[:, :10].any() and not square[:, 40:].any()


@pytest.mark.parametrize("box", [Box(-50, 10, 40, 40), Box(200, 10, 40, 40), Box(10, 100, 40, 40)])
def test_a_box_outside_shows_nothing(box):
    assert cut_out(np.zeros((100, 200, 3), np.uint8), box, 128) is None


def test_a_box_of_a_pixel():
    image = np.zeros((10, 10, 3), np.uint8)
    image[3, 4] = (1, 2, 3)
    assert (cut_out(image, Box(4, 3, 1, 1), 16) == (1, 2, 3)).all()
    thin = cut_out(np.ones((1, 2000, 3), np.uint8), Box(0, 0, 2000, 1), 16)
    assert thin.any(axis=(1, 2)).sum() == 1
