"""Follow faces from one frame to the next without searching for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.types import Box, Face

_GRID = 6  # points along a side of the box
_INSET = 0.12  # of the box on each side: what lies behind a face moves differently
_MAX_ERROR_PX = 1.0
_MIN_POINTS = 9
_MAX_SCALING = 1.15  # from one frame to the next
_FLOW = {
    "winSize": (13, 13),
    "maxLevel": 3,
    "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 0.03),
}


def follow(before: NDArray[np.uint8], now: NDArray[np.uint8], faces: Sequence[Face]) -> list[Face | None]:
    """Where faces of one frame are in the next: moved and scaled as most points of a grid in each of them are.

    Points are followed forth and back; those that do not come back do not count, and a face of which too few come back
    is lost. Kalal, Mikolajczyk, Matas: Forward-Backward Error: Automatic Detection of Tracking Failures. ICPR 2010.

    Args:
        before, now: (H, W) uint8, grey, of one size.
        faces: in pixels of ``before``.

    Returns:
        Each face in pixels of ``now``, None for one that is lost.
    """
    if not faces:
        return []
    starts = np.concatenate([_points(face.box) for face in faces])[:, None]
    ends, found, _ = cv2.calcOpticalFlowPyrLK(before, now, starts, None, **_FLOW)  # type: ignore[call-overload]
    back, returned, _ = cv2.calcOpticalFlowPyrLK(now, before, ends, None, **_FLOW)  # type: ignore[call-overload]
    error = np.linalg.norm((back - starts)[:, 0], axis=1)
    good = (found[:, 0] == 1) & (returned[:, 0] == 1) & (error <= _MAX_ERROR_PX)
    size = now.shape[1], now.shape[0]
    found_in = np.split(np.arange(len(starts)), len(faces))
    return [_moved(face, starts[i, 0], ends[i, 0], good[i], size) for face, i in zip(faces, found_in, strict=True)]


def _points(box: Box) -> NDArray[np.float32]:
    """(36, 2) float32: a grid inside the box."""
    steps = np.linspace(_INSET, 1 - _INSET, _GRID)
    x, y = np.meshgrid(box.x + steps * box.width, box.y + steps * box.height)
    return np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)


def _moved(
    face: Face,
    starts: NDArray[Any],
    ends: NDArray[Any],
    good: NDArray[np.bool_],
    size: tuple[int, int],
) -> Face | None:
    if np.count_nonzero(good) < _MIN_POINTS:
        return None
    starts, ends = starts[good].astype(float), ends[good].astype(float)
    scale = _spread(ends) / max(_spread(starts), 1e-6)
    if not 1 / _MAX_SCALING <= scale <= _MAX_SCALING:
        return None
    origin, target = np.median(starts, 0), np.median(ends, 0)

    def move(x: float, y: float) -> tuple[float, float]:
        return float(target[0] + scale * (x - origin[0])), float(target[1] + scale * (y - origin[1]))

    box = Box(*move(face.box.x, face.box.y), face.box.width * scale, face.box.height * scale)
    x, y = box.centre
    if not (0 <= x < size[0] and 0 <= y < size[1]):
        return None
    eyes = None if face.eyes is None else (move(*face.eyes[0]), move(*face.eyes[1]))
    return replace(face, box=box, eyes=eyes)


def _spread(points: NDArray[Any]) -> float:
    """The median distance between two of the points."""
    i, j = np.triu_indices(len(points), 1)
    return float(np.median(np.linalg.norm(points[i] - points[j], axis=1)))
