"""From a face in a picture to its place in front of the camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emotion_core.types import Box

_CENTRE = 0.5  # of each side of a box: what lies there is face, not background
_LEAST = 0.1  # of the pixels there must have a depth


@dataclass(frozen=True)
class Pinhole:
    """A camera without distortion: focal lengths and the optical axis, in pixels of its picture."""

    fx: float
    fy: float
    cx: float
    cy: float

    def point(self, x: float, y: float, distance_m: float) -> tuple[float, float, float]:
        """What a pixel shows at a distance along the optical axis, in metres; x right, y down, z forward."""
        return (x - self.cx) / self.fx * distance_m, (y - self.cy) / self.fy * distance_m, distance_m

    def distance_m(self, box: Box, size_m: float) -> float:
        """How far a face is whose box has this mean side (the square root of its area) in metres."""
        return size_m * math.sqrt(self.fx * self.fy / box.area)


def depth_m(depth: NDArray[np.uint16] | NDArray[np.float32], box: Box, size: tuple[int, int]) -> float | None:
    """How far a face is: the median of the pixels around its middle that have a depth.

    Args:
        depth: (H, W), millimetres as uint16, 0 where unknown, or metres as float32, not finite where unknown; of the
            same view as the picture, of any size.
        box: in pixels of the picture.
        size: (width, height) of the picture in pixels.

    Returns:
        Metres along the optical axis; None where too few pixels have a depth.
    """
    high, wide = depth.shape
    sx, sy = wide / size[0], high / size[1]
    (x, y), half = box.centre, _CENTRE / 2
    left, right = _inside((x - half * box.width) * sx, (x + half * box.width) * sx, wide)
    top, bottom = _inside((y - half * box.height) * sy, (y + half * box.height) * sy, high)
    area = depth[top:bottom, left:right]
    known = area[np.isfinite(area) & (area > 0)]
    if not known.size or known.size < _LEAST * area.size:
        return None
    median = float(np.median(known))
    return median / 1000 if depth.dtype.kind == "u" else median


def _inside(low: float, high: float, size: int) -> tuple[int, int]:
    """Whole pixels of a stretch, at least one when any of it is inside."""
    first, last = max(0, math.floor(low)), min(size, math.ceil(high))
    return (first, last) if first < last else (0, 0)
