"""What the learners take and give, in the terms of OpenDR's engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.media.given import as_picture
from emotion_core.vision.picture import from_16_bit


@dataclass(frozen=True)
class Category:
    """A class that was recognised.

    Attributes:
        data: its index.
        description: its name.
        confidence: its probability in [0, 1], the mean over the branches.
    """

    data: int
    description: str
    confidence: float


@dataclass(frozen=True)
class Image:
    """A picture of one face.

    Attributes:
        data: (H, W, 3) uint8 BGR, or (H, W) grey.
    """

    data: NDArray[np.uint8]

    @classmethod
    def open(cls, path: str | Path) -> Image:
        """Read a file; raises EmotionError when it is not a picture."""
        from emotion_core.media.pictures import read_picture

        return cls(read_picture(path).image)

    def opencv(self) -> NDArray[np.uint8]:
        """The pixels, as OpenCV takes them."""
        return self.data


@dataclass(frozen=True)
class Timeseries:
    """Features of a sound.

    Attributes:
        data: (coefficients, steps) float32.
    """

    data: NDArray[np.float32]


@dataclass(frozen=True)
class Video:
    """One face in successive frames.

    Attributes:
        data: (3, frames, H, W) BGR, uint8 or floats in [0, 1].
    """

    data: NDArray[Any]


def as_faces(given: Any) -> tuple[list[NDArray[Any]], bool]:
    """The faces in whatever ``infer`` was given, and whether it was a batch.

    Args:
        given: an ``Image`` (or any object with ``opencv()``, such as OpenDR's), a numpy array or torch tensor, or a
            list of these; or a path, a file's content or a picture of PIL, see ``as_picture``. Pixels are (H, W),
            (H, W, C) or (C, H, W), a batch has one dimension more. With 1 channel they are grey, with 3 BGR, with 4
            BGRA, of which the last is left out. uint8, uint16 over its whole range, or floats in [0, 1].

    Returns:
        (H, W) or (H, W, 3) arrays, uint8 or float32 in [0, 1].

    Raises:
        EmotionError: another type, shape or range, NaN, or nothing at all.
    """
    if isinstance(given, (list, tuple)):
        if not given:
            raise EmotionError("expected at least one face, got an empty list")
        return [face for item in given for face in as_faces(item)[0]], True
    if hasattr(given, "opencv"):
        return [_checked(np.asarray(given.opencv()))], False
    if hasattr(given, "detach"):
        given = given.detach().cpu().numpy()
    if not isinstance(given, np.ndarray):
        return [as_picture(given)], False
    if given.ndim == 4:
        if not len(given):
            raise EmotionError(f"expected at least one face, got an empty batch of shape {given.shape}")
        return [_checked(face) for face in given], True
    return [_checked(given)], False


def _checked(pixels: NDArray[Any]) -> NDArray[Any]:
    shape = pixels.shape
    if pixels.ndim not in (2, 3) or not pixels.size:
        raise EmotionError(f"expected pixels (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels, got shape {shape}")
    if pixels.ndim == 3:
        if shape[2] not in (1, 3, 4):
            if shape[0] not in (1, 3, 4):
                raise EmotionError(f"expected 1, 3 or 4 channels at the beginning or end of the shape, got {shape}")
            pixels = pixels.transpose(1, 2, 0)
        pixels = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels[:, :, :3]
    if pixels.dtype == np.uint16:
        pixels = from_16_bit(np.ascontiguousarray(pixels))
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise EmotionError(f"expected uint8, uint16 or floats in [0, 1], got {pixels.dtype}")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0.0 and high <= 1.0):
        problem = "NaN" if np.isnan(pixels).any() else f"values from {low:g} to {high:g}"
        raise EmotionError(f"expected floats in [0, 1], got {problem}: divide by 255, or give uint8")
    return np.ascontiguousarray(pixels, np.float32)
