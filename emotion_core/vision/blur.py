"""Heads made unrecognisable in pictures that are shown to others."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from emotion_core.types import Box, EmotionEstimate, Face, Picture
from emotion_core.vision.detect import create_detector
from emotion_core.vision.haar import distinct
from emotion_core.vision.picture import as_bgr

HOLD_S = 1.0
"""So long after a face was seen last, the place where it was stays blurred."""
SEARCH_PX = 640
"""Longer side of the picture in which faces to blur are searched."""
MIN_SCORE = 0.4
"""Least score of a face to blur: lower than that of one to judge, for a blurred poster does no harm."""

_BLOCKS = 5  # a side: what is left of a head are at most 25 colours
_LEAST_PX = 8  # side of a block, so that a small head leaves even fewer
_SIDE, _TOP, _BOTTOM = 0.4, 0.6, 0.35  # of the box: ears, hair and chin lie outside it
_DRIFT = 0.6  # of the box, per second: somebody unseen moves on


@dataclass
class _Place:
    box: Box
    stamp_s: float


class FaceBlur:
    """Blurs every head in successive pictures, boxes and surroundings; what was there cannot be computed back.

    A detector of its own searches every picture, whole and with a lower score, since what estimates leave out (faces
    outside a region, small ones, the seventeenth) shows a person all the same. A place stays blurred for HOLD_S, and
    grows meanwhile, unless the face is found again near it: so a picture in which the detector misses it does not show
    it. Nothing helps in the time before a face is found for the first time.

    Args:
        detector: see ``create_detector``.

    Raises:
        EmotionError: the detector cannot be made.
    """

    def __init__(self, detector: str = "auto") -> None:
        self._detector = create_detector(detector, SEARCH_PX, MIN_SCORE)
        self._places: list[_Place] = []

    def __call__(self, image: Picture, estimates: Iterable[EmotionEstimate], stamp_s: float) -> Picture:
        """A copy of a picture without anybody's face.

        Args:
            image: (H, W, 3) uint8, BGR; not changed.
            estimates: of this picture; their faces are blurred, too.
            stamp_s: its time in seconds. Places seen more than HOLD_S before or after it are forgotten.

        Raises:
            EmotionError: the image is none.
        """
        canvas = as_bgr(image).copy()
        faces = [*self._detector.detect(canvas), *(e.face for e in estimates if e.face is not None)]
        earlier = [place for place in self._places if abs(stamp_s - place.stamp_s) <= HOLD_S]
        held = _unseen(earlier, distinct(faces))
        height, width = canvas.shape[:2]
        for place in [*held, *(_Place(face.box, stamp_s) for face in faces)]:
            x, y, wide, high = head(place.box, abs(stamp_s - place.stamp_s)).clamped(width, height)
            if wide and high:
                canvas[y : y + high, x : x + wide] = blurred(canvas[y : y + high, x : x + wide])
        self._places = [*held, *(_Place(face.box, stamp_s) for face in distinct(faces))]
        return canvas

    def reset(self) -> None:
        """The next picture has nothing to do with those before."""
        self._places.clear()


def head(box: Box, unseen_s: float = 0.0) -> Box:
    """Where the whole head is of which a detector has given the face; more of it for seconds in which it may move."""
    drift_x, drift_y = (_DRIFT * unseen_s * side for side in (box.width, box.height))
    left, top = _SIDE * box.width + drift_x, _TOP * box.height + drift_y
    return Box(
        box.x - left,
        box.y - top,
        box.width + 2 * left,
        box.height + top + _BOTTOM * box.height + drift_y,
    )


def blurred(area: Picture) -> Picture:
    """What remains of a picture as the means of at most 5 x 5 blocks, with soft transitions between them.

    Args:
        area: (H, W, 3) uint8, not empty; not changed.
    """
    high, wide = area.shape[:2]
    columns, rows = (max(1, min(_BLOCKS, side // _LEAST_PX)) for side in (wide, high))
    means = cv2.resize(area, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(means, (wide, high), interpolation=cv2.INTER_CUBIC), np.uint8)


def _unseen(places: list[_Place], faces: Iterable[Face]) -> list[_Place]:
    """The places without the nearest one to each face within its head: that is where the face was before."""
    left = list(places)
    for face in faces:
        x, y = face.box.centre
        around = head(face.box)
        near = [
            (math.dist((x, y), place.box.centre), i)
            for i, place in enumerate(left)
            if around.intersection(place.box) > 0.5 * place.box.area and place.box.area < 4 * face.box.area
        ]
        if near:
            del left[min(near)[1]]
    return left
