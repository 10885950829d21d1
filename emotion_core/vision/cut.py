"""A box of a picture by itself, for people and for other programs; networks get theirs from ``crop.py``."""

from __future__ import annotations

import cv2
import numpy as np

from emotion_core.types import Box, Picture
from emotion_core.vision.picture import as_bgr


def cut_out(image: Picture, box: Box, size_px: int) -> Picture | None:
    """What a box shows, as large as it fits into a black square, in its middle.

    Args:
        image: (H, W, 3) uint8 BGR.
        box: where; what of it lies outside the image is left out.
        size_px: side of the square.

    Returns:
        (size_px, size_px, 3) uint8 BGR; None for a box that lies outside.
    """
    image = as_bgr(image)
    x, y, width, height = box.clamped(image.shape[1], image.shape[0])
    if not width or not height:
        return None
    factor = size_px / max(width, height)
    wide, high = max(1, round(width * factor)), max(1, round(height * factor))
    left, top = (size_px - wide) // 2, (size_px - high) // 2
    square = np.zeros((size_px, size_px, 3), np.uint8)
    square[top : top + high, left : left + wide] = cv2.resize(
        image[y : y + height, x : x + width],
        (wide, high),
        interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR,
    )
    return square
