"""Maps of what matters, laid over a picture as colours. OpenCV only, for speed."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.store.card import Framing
from emotion_core.types import Face, Picture
from emotion_core.vision.crop import FER2013, crop_matrix


def blend_heat(area: Picture, heat: NDArray[np.floating], opacity: float) -> Picture:
    """A picture coloured where a map is high; where it is 0, the picture stays as it is.

    Args:
        area: (H, W, 3) uint8, BGR; not changed.
        heat: (H, W) in [0, 1].
        opacity: of the colours where the map is 1.
    """
    colours = cv2.applyColorMap(np.asarray(255 * heat, np.uint8), cv2.COLORMAP_INFERNO)
    weight = np.float32(opacity) * np.asarray(heat, np.float32)[..., None]
    return np.asarray((1 - weight) * area + weight * colours, np.uint8)


def draw_heat(
    canvas: Picture,
    face: Face,
    heat: NDArray[np.floating],
    unit: float,
    framing: Framing = FER2013,
    opacity: float = 0.6,
) -> None:
    """Lay a map of a cropped face over that face.

    Args:
        canvas: (H, W, 3) uint8, BGR, changed in place.
        face: where it is in the canvas; partly outside is fine.
        heat: (h, w) in [0, 1], as large as ``crop_face`` makes the face.
        unit, framing: as for ``crop_face``.
        opacity: see ``blend_heat``.
    """
    height, width = canvas.shape[:2]
    matrix = crop_matrix(face, heat.shape, unit, framing)
    corners = np.array([[x, y, 1] for x in (0, heat.shape[1] - 1) for y in (0, heat.shape[0] - 1)], float)
    back = np.asarray(cv2.invertAffineTransform(matrix), float)
    low, high = (corners @ back.T).min(axis=0), (corners @ back.T).max(axis=0)
    left, top = (max(0, math.floor(v)) for v in low)
    right, bottom = (min(n, math.ceil(v) + 1) for v, n in zip(high, (width, height), strict=True))
    if left >= right or top >= bottom:
        return
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    spread = cv2.warpAffine(
        np.asarray(heat, np.float32),
        matrix,
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    area = canvas[top:bottom, left:right]
    area[:] = blend_heat(area, np.clip(spread, 0, 1), opacity)
