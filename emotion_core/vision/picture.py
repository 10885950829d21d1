"""What callers have for a picture, brought to the one kind that the library knows: (height, width, 3) uint8, BGR."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.types import Picture

MAX_SIDE_PX = 16384
"""Longer pictures are mistakes, and more than OpenCV cuts anything out of."""

FLOAT_SLACK = 0.1
"""How far float pixels may leave [0, 1] (sharpening overshoots) before they are taken for something else."""

WANTED = "a picture (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA of uint8, uint16 or floats in [0, 1]"

_UINT8 = np.dtype(np.uint8)


def as_bgr(image: Any) -> Picture:
    """A picture of any usual kind as (H, W, 3) uint8, BGR; what is so already is given back as it is, at no cost.

    Args:
        image: (H, W) or (H, W, 1) grey, (H, W, 3) BGR, or (H, W, 4) BGRA, whose alpha is dropped; uint8, uint16 over
            its whole range, or floats in [0, 1]. Or a picture of PIL, whose colours and Exif orientation are heeded.

    Raises:
        EmotionError: it is something else, empty, of more than MAX_SIDE_PX a side, or has floats beyond [0, 1] or NaN.
    """
    if type(image) is np.ndarray and image.ndim == 3 and image.shape[2] == 3 and image.dtype == _UINT8:
        _check_size(image)
        return image
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if hasattr(image, "getexif") and hasattr(image, "convert"):  # PIL's, which is not imported for this
        return _from_pil(image)
    raise EmotionError(f"expected {WANTED}, got {_name(image)}")


def shrink(image: Picture, longest_px: int) -> tuple[Picture, float]:
    """The image with its longer side at most ``longest_px``, and the factor in (0, 1] that was applied."""
    factor = longest_px / max(image.shape[:2])
    if factor >= 1:
        return image, 1.0
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    # Skipping pixels is fast but aliases; averaging a strongly reduced image costs a millisecond and does not.
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), factor  # type: ignore[return-value]


def is_grey(image: Any) -> bool:
    """Whether it is a grey picture that needs no conversion, (H, W) uint8; see ``as_bgr`` for others."""
    return type(image) is np.ndarray and image.ndim == 2 and image.dtype == _UINT8 and image.size > 0


def from_16_bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    """uint16 over its whole range -> uint8, rounded as cv_bridge does."""
    return np.asarray(cv2.convertScaleAbs(values, alpha=255 / 65535), np.uint8)


def from_float(values: NDArray[Any], what: str = "picture") -> NDArray[np.uint8]:
    """Floats in [0, 1] -> uint8; raises EmotionError, beginning with ``what``, for others and for NaN."""
    low, high = float(values.min()), float(values.max())  # both NaN as soon as one value is
    if not (np.isfinite(low) and np.isfinite(high)):
        found = "NaN" if np.isnan(low) else "inf"
        raise EmotionError(f"{what}: expected values in [0, 1], got {found}: mask such pixels first")
    if low < -FLOAT_SLACK or high > 1 + FLOAT_SLACK:
        advice = "divide by 255, or give uint8" if low >= 0 and 20 < high <= 255 else "is this a depth image?"
        raise EmotionError(f"{what}: expected values in [0, 1], got [{low:g}, {high:g}]: {advice}")
    # Not convertScaleAbs, which would mirror the slightly negative ones.
    return np.rint(np.clip(values, 0, 1) * np.float32(255)).astype(np.uint8)


def _from_array(image: NDArray[Any]) -> Picture:
    channels = image.shape[2] if image.ndim == 3 else 1
    kind = image.dtype.kind
    usual = kind == "f" or (kind == "u" and image.dtype.itemsize <= 2)
    if image.ndim not in (2, 3) or channels not in (1, 3, 4) or not usual:
        advice = {"i": ": convert it with .astype(np.uint8)", "b": ": is it a mask?", "O": ": is it a list?"}
        raise EmotionError(f"expected {WANTED}, got {image.dtype} of shape {image.shape}{advice.get(kind, '')}")
    _check_size(image)
    values: NDArray[Any] = np.ascontiguousarray(image[..., :3] if channels == 4 else image)
    if kind == "f":
        values = from_float(values)
    elif image.dtype.itemsize == 2:
        values = from_16_bit(values.astype(np.uint16, copy=False))
    if channels == 1:
        values = cv2.cvtColor(values.reshape(image.shape[:2]), cv2.COLOR_GRAY2BGR)
    return np.asarray(values, np.uint8)


def _from_pil(image: Any) -> Picture:
    from PIL import ImageOps

    try:
        upright = ImageOps.exif_transpose(image)
        deep = upright.mode in ("F", "I") or upright.mode.startswith("I;16")
        values = np.asarray(upright if deep else upright.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:  # it is read only now, and may be damaged
        raise EmotionError(f"expected a whole picture, got one that PIL cannot read: {error}") from None
    if deep:
        return _from_array(values)
    _check_size(values)
    return np.ascontiguousarray(values[:, :, ::-1])


def _check_size(image: NDArray[Any]) -> None:
    height, width = image.shape[:2]
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise EmotionError(f"expected a picture of 1 to {MAX_SIDE_PX} px a side, got {width} x {height}")


def _name(image: Any) -> str:
    """What came, and the likeliest reason."""
    kind = type(image).__name__
    if image is None:
        return "None: was the file read? cv2.imread gives None where it was not"
    if hasattr(image, "__fspath__") or isinstance(image, str | bytes | bytearray | memoryview):
        return f"{kind}: read it with emotion_core.media.given.as_picture"
    if hasattr(image, "detach"):
        return f"{kind}: give it as an array (H, W, 3), with .permute(1, 2, 0).cpu().numpy()"
    return f"{kind}: give one picture as a NumPy array" if isinstance(image, list | tuple) else kind
