"""Smooth small text for overlays, from the strokes that OpenCV has built in."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.types import Picture
from emotion_core.vision.palette import RGB

_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Strokes drawn this much larger and shrunk by area come out even and may be 1.4 pixels wide, where drawing at
# the final size gives ragged ones of 1 or 2.
_OVERSAMPLING = 4
# The strokes know ASCII only.
_ASCII = str.maketrans({"·": "-", "\N{EN DASH}": "-", "\N{MINUS SIGN}": "-", "…": "...", "µ": "u"})
_CAP_PX = 11.0
"""Height of a capital letter at size 1."""


def text_width(text: str, size: float) -> int:
    """Width in pixels that ``blend_text`` covers."""
    return _mask(text, _key(size)).shape[1]


def text_height(size: float) -> int:
    """Height of a line in pixels, from the top of a capital to the bottom of a g."""
    return _mask("Xg", _key(size)).shape[0]


def blend_text(canvas: Picture, text: str, x: int, y: int, size: float, colour: RGB) -> None:
    """Write a line with its top left corner at (x, y); what lies outside the canvas is left out.

    Args:
        canvas: (H, W, 3) uint8, changed in place.
        text: ASCII; dots and dashes become hyphens, anything else question marks.
        size: 1 is readable at 640x480.
        colour: in the canvas's order of channels.
    """
    _blend(canvas, _mask(text, _key(size)), x, y, colour)


def blend_column(canvas: Picture, lines: tuple[str, ...], x: int, y: int, row: int, size: float, colour: RGB) -> None:
    """Write lines below one another, ``row`` pixels apart: much cheaper than one by one."""
    _blend(canvas, _column(lines, row, _key(size)), x, y, colour)


def _blend(canvas: Picture, mask: NDArray[np.uint16], x: int, y: int, colour: RGB) -> None:
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + mask.shape[1]), min(height, y + mask.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    area = canvas[y0:y1, x0:x1]
    weight = mask[y0 - y : y1 - y, x0 - x : x1 - x, None]
    # 8 bits of weight in 16-bit numbers: 255 * 256 is the most that can occur.
    area[:] = (area * (256 - weight) + np.array(colour, np.uint16) * weight) >> 8


def _key(size: float) -> int:
    """Sizes in steps of 2 %, so that few masks are kept."""
    return max(5, round(50 * size))


@lru_cache(maxsize=2048)
def _mask(text: str, key: int) -> NDArray[np.uint16]:
    """(h, w) uint16 in 0…256: how much of each pixel the text covers."""
    text = text.translate(_ASCII).encode("ascii", "replace").decode("ascii")
    size = key / 50
    factor = _OVERSAMPLING
    scale = cv2.getFontScaleFromHeight(_FONT, round(_CAP_PX * size * factor), 1)
    stroke = max(1, round((0.55 + 0.95 * size) * factor))
    (width, cap), below = cv2.getTextSize(text or " ", _FONT, scale, stroke)
    above = cap + stroke // 2 + 1
    below = round(0.36 * cap) + stroke // 2
    high = -(-(above + below) // factor) * factor
    wide = -(-(width + stroke) // factor) * factor
    large = np.zeros((high, wide), np.uint8)
    cv2.putText(large, text, (stroke // 2, above), _FONT, scale, 255, stroke, cv2.LINE_AA)
    small = cv2.resize(large, (wide // factor, high // factor), interpolation=cv2.INTER_AREA)
    return (small.astype(np.uint16) * 256 + 127) // 255


@lru_cache(maxsize=64)
def _column(lines: tuple[str, ...], row: int, key: int) -> NDArray[np.uint16]:
    """(h, w) uint16 in 0…256 of several lines."""
    masks = [_mask(line, key) for line in lines]
    column = np.zeros(
        (max(i * row + mask.shape[0] for i, mask in enumerate(masks)), max(mask.shape[1] for mask in masks)),
        np.uint16,
    )
    for i, mask in enumerate(masks):
        area = column[i * row : i * row + mask.shape[0], : mask.shape[1]]
        np.maximum(area, mask, out=area)
    return column
