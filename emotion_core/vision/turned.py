"""Pictures turned by quarters, and where what is found in them lies in the picture as it was given."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from emotion_core.types import Box, Face, Picture

QUARTERS = (1, 3, 2)
"""Quarter turns clockwise, in the order in which they are tried: on its side is commoner than upside down."""

_CODES = {1: cv2.ROTATE_90_CLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_COUNTERCLOCKWISE}


def turn(image: Picture, quarters: int) -> Picture:
    """The picture turned clockwise by 1, 2 or 3 quarters."""
    return np.asarray(cv2.rotate(image, _CODES[quarters]), np.uint8)


def turned_back(face: Face, quarters: int, width: int, height: int) -> Face:
    """A face of the turned picture in the coordinates of the picture as given, which is width x height pixels."""
    x, y = face.box.x, face.box.y
    corners = [_back(x, y, quarters, width, height)]
    corners.append(_back(x + face.box.width, y + face.box.height, quarters, width, height))
    (left, right), (top, bottom) = (sorted(values) for values in zip(*corners, strict=True))
    eyes = face.eyes
    if eyes is not None:
        first, second = sorted(_back(*eye, quarters, width, height) for eye in eyes)
        eyes = first, second
    return Face(Box(left, top, right - left, bottom - top), face.score, eyes, face.quality)


def best_turn(image: Picture, find: Callable[[Picture], list[Face]]) -> tuple[Picture, list[Face], int]:
    """The turned picture in which the detector is surest of faces, they, and the quarters; (image, [], 0) where none.

    All three turns are tried: a detector takes some faces that lie on their side or upside down for upright ones, but
    gives them lower scores.
    """
    best, surest = (image, list[Face](), 0), -math.inf
    for quarters in QUARTERS:
        candidate = turn(image, quarters)
        faces = find(candidate)
        sure = max((face.score for face in faces), default=-math.inf)
        if sure > surest:
            best, surest = (candidate, faces, quarters), sure
    return best


def _back(x: float, y: float, quarters: int, width: int, height: int) -> tuple[float, float]:
    """A point of the turned picture in the one as given; both are continuous, pixel i covers [i, i + 1]."""
    if quarters == 1:
        return y, height - x
    return (width - x, height - y) if quarters == 2 else (width - y, x)
