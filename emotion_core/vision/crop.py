"""Cut faces out of a picture: square, upright, centred, framed as the network was trained."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.types import Face, Picture


def crop_face(image: Picture, face: Face, size: int, framing: float) -> Picture:
    """One face as a size x size picture.

    The square has ``framing * sqrt(area of the box)`` pixels a side around the middle of the box, turned so that
    the line between the eyes is level when the detector gave them. What lies outside the image repeats its edge.

    Args:
        image: (H, W, 3) uint8 or (H, W) uint8.
        face: where.
        size: side of the result in pixels.
        framing: see FaceDetector.framing.

    Returns:
        (size, size, 3) or (size, size) uint8, as the image.
    """
    side = framing * face.box.area**0.5
    scale, roll = size / side, face.roll_rad
    turn = scale * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    centre = np.array(face.box.centre)
    if scale < 0.5:
        image, turn, centre = _reduce(image, turn, centre, side)
    # These are continuous coordinates, in which pixel i covers [i, i + 1]; OpenCV counts from pixel centres.
    shift = turn @ (0.5 - centre) + size / 2 - 0.5
    return cv2.warpAffine(  # type: ignore[return-value]
        image,
        np.column_stack([turn, shift]),
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _reduce(
    image: Picture, turn: NDArray[np.float64], centre: NDArray[np.float64], side: float
) -> tuple[Picture, NDArray[np.float64], NDArray[np.float64]]:
    """Average the neighbourhood of a large face down first: bilinear sampling alone would alias."""
    height, width = image.shape[:2]
    reach = 0.75 * side  # the half diagonal of the turned square, and a little more
    left, top = (int(np.clip(v - reach, 0, n - 1)) for v, n in zip(centre, (width, height), strict=True))
    right, bottom = (int(np.clip(v + reach + 1, 1, n)) for v, n in zip(centre, (width, height), strict=True))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    scale = float(np.hypot(*turn[0]))
    small_size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    factor = np.array(small_size) / (right - left, bottom - top)
    small = cv2.resize(image[top:bottom, left:right], small_size, interpolation=cv2.INTER_AREA)
    return small, turn / factor, (centre - (left, top)) * factor  # type: ignore[return-value]


def crop_batch(image: Picture, faces: Sequence[Face], size: int, channels: int, framing: float) -> NDArray[np.float32]:
    """All faces of a picture as the input of a network.

    Returns:
        (N, channels, size, size) float32 in [0, 1], grey for one channel and BGR for three.
    """
    batch = np.empty((len(faces), channels, size, size), np.float32)
    for i, face in enumerate(faces):
        crop = crop_face(image, face, size, framing)
        batch[i] = to_planes(crop, channels)
    return batch


def to_planes(crop: NDArray[np.uint8], channels: int) -> NDArray[np.float32]:
    """(S, S, 3) or (S, S) uint8 -> (channels, S, S) float32 in [0, 1]."""
    if channels == 1:
        grey = crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
        return (np.asarray(grey, np.float32) / np.float32(255))[None]
    colour = cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR) if crop.ndim == 2 else crop
    return (np.asarray(colour, np.float32) / np.float32(255)).transpose(2, 0, 1)


def resize_faces(faces: NDArray[np.uint8], size: int, channels: int) -> NDArray[np.float32]:
    """Faces that are cropped already as the input of a network.

    Args:
        faces: (N, S, S) grey or (N, S, S, 3) BGR, uint8.

    Returns:
        (N, channels, size, size) float32 in [0, 1].
    """
    batch = np.empty((len(faces), channels, size, size), np.float32)
    for i, face in enumerate(faces):
        if face.shape[:2] != (size, size):
            shrinks = face.shape[0] > size
            face = cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        batch[i] = to_planes(face, channels)
    return batch
