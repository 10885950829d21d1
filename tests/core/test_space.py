"""Where a face is in front of the camera, by value."""

from __future__ import annotations

import numpy as np
import pytest

from emotion_core.types import Box
from emotion_core.vision.space import Pinhole, depth_m

CAMERA = Pinhole(600, 500, 320, 240)
BOX = Box(200, 100, 100, 100)


def test_a_pixel_at_a_distance_is_a_point():
    assert CAMERA.point(320, 240, 2.0) == (0, 0, 2)
    assert CAMERA.point(620, 490, 2.0) == (1, 1, 2)  # right and down are positive
    assert CAMERA.point(20, -10, 4.0) == (-2, -2, 4)


def test_a_face_half_as_large_is_twice_as_far():
    near, far = (CAMERA.distance_m(box, 0.16) for box in (Box(0, 0, 90, 160), Box(400, 300, 45, 80)))
    assert near == pytest.approx(0.16 * (600 * 500) ** 0.5 / 120)
    assert far == pytest.approx(2 * near)
    # What projects to the size of the box at this distance has the assumed size.
    width, height = (s / f * near for s, f in ((90, 600), (160, 500)))
    assert (width * height) ** 0.5 == pytest.approx(0.16)


@pytest.mark.parametrize("kind", [np.uint16, np.float32, ">u2", ">f4"])
def test_depth_is_the_median_of_what_is_known_around_the_middle(kind):
    unit = 1000 if np.dtype(kind).kind == "u" else 1
    depth = np.full((480, 640), 4 * unit, kind)  # the wall
    depth[125:175, 225:275] = unit * 2
    depth[125:140, 225:275] = 0
    if unit == 1:
        depth[140:150, 225:275] = np.nan
        depth[150:155, 225:275] = np.inf
    depth[174, 225:275] = unit / 2  # a hand
    assert depth_m(depth, BOX, (640, 480)) == pytest.approx(2.0)
    # Of another size, but of the same view.
    assert depth_m(depth, Box(100, 50, 50, 50), (320, 240)) == pytest.approx(2.0)
    assert depth_m(np.ascontiguousarray(depth[::4, ::2]), BOX, (640, 480)) == pytest.approx(2.0)


@pytest.mark.parametrize("box", [BOX, Box(-500, 0, 100, 100), Box(640, 480, 50, 50), Box(0, -300, 10, 10)])
def test_too_little_depth_is_none(box):
    depth = np.zeros((480, 640), np.uint16)
    depth[130:133, 230:260] = 900  # 90 of 2500 pixels
    assert depth_m(depth, box, (640, 480)) is None


@pytest.mark.parametrize("box", [Box(-60, 100, 100, 100), Box(200.4, 100.4, 0.2, 0.2), Box(590, 440, 100, 100)])
def test_faces_at_the_border_and_tiny_ones_have_a_depth(box):
    assert depth_m(np.full((480, 640), 1500, np.uint16), box, (640, 480)) == 1.5
