"""Cut faces out of a picture: square, upright, centred, framed as the network was trained."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.store.card import Framing, Input
from emotion_core.types import Face, Picture
from emotion_core.vision.picture import as_bgr, is_grey

FER2013 = Framing("fer2013")


def crop_face(
    image: Picture,
    face: Face,
    size: int | tuple[int, int],
    unit: float,
    framing: Framing = FER2013,
    align: bool | None = None,
    grey: bool = False,
) -> Picture:
    """One face as a picture of its own, framed by a rule; see ``Framing``.

    What lies outside the image repeats its edge. The square of 'fer2013' has ``unit * sqrt(area of the box)`` pixels a
    side around the middle of the box, and is turned when the detector gave the eyes.

    Args:
        image: (H, W, 3) uint8 or (H, W) uint8; of other kinds see ``as_bgr``.
        face: where.
        size: side, or (height, width), of the result in pixels.
        unit: of the detector that found the face, see FaceDetector.framing.
        framing: the rule.
        align: whether squares are turned so that the eyes are level, where the detector gave them; None: as the rule
            has it.
        grey: of a coloured image, too: before a large face is averaged down, which then takes a third of the time.

    Returns:
        (height, width, 3) or (height, width) uint8, as the image; or grey.

    Raises:
        EmotionError: the image is none.
    """
    image = image if is_grey(image) else as_bgr(image)
    high, wide = (size, size) if isinstance(size, int) else size
    turn, centre = _turn(face, (high, wide), unit, framing, align)
    scales = np.hypot(turn[:, 0], turn[:, 1])
    if max(scales) < 0.5:
        image, turn, centre = _reduce(image, turn, centre, max(np.array([wide, high]) / scales), grey)
    crop = cv2.warpAffine(
        image,
        _shifted(turn, centre, wide, high),
        (wide, high),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY) if grey and crop.ndim == 3 else crop  # type: ignore[return-value]


def crop_matrix(face: Face, size: tuple[int, int], unit: float, framing: Framing = FER2013) -> NDArray[np.float64]:
    """(2, 3): leads from a pixel of the image to where ``crop_face`` puts it; both counted as OpenCV does."""
    return _shifted(*_turn(face, size, unit, framing), size[1], size[0])


def _turn(
    face: Face, size: tuple[int, int], unit: float, framing: Framing, align: bool | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(2, 2) turn and scale into the crop of (height, width), and the (2,) middle in the image."""
    (frame_width, frame_height), roll = _frame(face, unit, framing, align)
    scales = np.array([[size[1] / frame_width], [size[0] / frame_height]])
    turn = scales * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return turn, np.array(face.box.centre)


def _shifted(turn: NDArray[np.float64], centre: NDArray[np.float64], wide: int, high: int) -> NDArray[np.float64]:
    # These are continuous coordinates, in which pixel i covers [i, i + 1]; OpenCV counts from pixel centres.
    shift = turn @ (0.5 - centre) + np.array([wide, high]) / 2 - 0.5
    return np.column_stack([turn, shift])


def _frame(face: Face, unit: float, framing: Framing, align: bool | None = None) -> tuple[tuple[float, float], float]:
    """(width, height) in pixels of what is cut out around the middle of the box, and by how much it is turned."""
    width, height = face.box.width, face.box.height
    if framing.rule == "fer2013":
        side = framing.factor * unit * face.box.area**0.5
        return (side, side), 0.0 if align is False else face.roll_rad
    if framing.rule == "mean_side":
        side = framing.factor * (width + height) / 2
        return (side, side), face.roll_rad if align else 0.0
    return (framing.factor * width, framing.factor * height), 0.0


def _reduce(
    image: Picture, turn: NDArray[np.float64], centre: NDArray[np.float64], side: float, grey: bool
) -> tuple[Picture, NDArray[np.float64], NDArray[np.float64]]:
    """Average the neighbourhood of a large face down first: bilinear sampling alone would alias."""
    height, width = image.shape[:2]
    reach = 0.75 * side  # the half diagonal of the turned square, and a little more
    left, top = (int(np.clip(v - reach, 0, n - 1)) for v, n in zip(centre, (width, height), strict=True))
    right, bottom = (int(np.clip(v + reach + 1, 1, n)) for v, n in zip(centre, (width, height), strict=True))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    scale = float(max(np.hypot(*turn[0]), np.hypot(*turn[1])))
    small_size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    factor = np.array(small_size) / (right - left, bottom - top)
    part = image[top:bottom, left:right]
    if grey and part.ndim == 3:
        part = cv2.cvtColor(part, cv2.COLOR_BGR2GRAY)  # type: ignore[assignment]
    small = cv2.resize(part, small_size, interpolation=cv2.INTER_AREA)
    return small, turn / factor, (centre - (left, top)) * factor  # type: ignore[return-value]


def crop_batch(
    image: Picture, faces: Sequence[Face], face_input: Input, unit: float, align: bool | None = None
) -> NDArray[np.float32]:
    """All faces of a picture as the input of a network.

    Args:
        image: (H, W, 3) uint8, BGR.
        faces: where.
        face_input: the card's description of what the network takes; of kind FACE.
        unit: of the detector that found the faces, see FaceDetector.framing.
        align: see ``crop_face``.

    Returns:
        (N, channels, height, width) float32 in the input's value range and colour order.

    Raises:
        EmotionError: the image is none.
    """
    image, framing, is_one_channel = as_bgr(image), face_input.framing or FER2013, face_input.channels == 1
    batch = np.empty((len(faces), *face_input.shape), np.float32)
    for i, face in enumerate(faces):
        batch[i] = _to_input(crop_face(image, face, face_input.size, unit, framing, align, is_one_channel), face_input)
    return batch


def crop_inputs(
    image: Picture, faces: Sequence[Face], inputs: Sequence[Input], unit: float, align: bool | None = None
) -> list[NDArray[np.float32]]:
    """``crop_batch`` for each input of a model: the members of an ensemble see faces in frames of their own."""
    image = as_bgr(image)
    return [crop_batch(image, faces, item, unit, align) for item in inputs]


def fit_faces(faces: NDArray[np.uint8], face_input: Input) -> NDArray[np.float32]:
    """Faces that are cropped already as the input of a network.

    Args:
        faces: (N, H, W) grey or (N, H, W, 3) BGR, uint8.
        face_input: see ``crop_batch``.

    Returns:
        (N, channels, height, width) float32 in the input's value range and colour order.

    Raises:
        EmotionError: the faces are no such array; for one face pass ``face[None]``.
    """
    check_faces(faces)
    batch = np.empty((len(faces), *face_input.shape), np.float32)
    for i, face in enumerate(faces):
        batch[i] = _to_input(_resize(face, face_input.size), face_input)
    return batch


def check_faces(faces: NDArray[np.uint8]) -> None:
    """Raise EmotionError unless this is a batch of cropped faces, (N, H, W) or (N, H, W, 3) uint8, none of them
    empty."""
    wanted = "cropped faces (N, H, W) grey or (N, H, W, 3) BGR of uint8"
    if not isinstance(faces, np.ndarray):
        raise EmotionError(f"expected {wanted}, got {type(faces).__name__}: np.stack makes a batch of a list")
    grey, colour = faces.ndim == 3, faces.ndim == 4 and faces.shape[3] == 3
    if grey and faces.shape[2] == 3:
        raise EmotionError(f"expected {wanted}, got one colour picture of shape {faces.shape}: pass face[None]")
    if not (grey or colour) or faces.dtype != np.uint8 or 0 in faces.shape[1:3]:
        raise EmotionError(f"expected {wanted}, got {faces.dtype} of shape {faces.shape}")


def resize_faces(faces: NDArray[np.uint8], size: int, channels: int) -> NDArray[np.float32]:
    """Faces that are cropped already as (N, channels, size, size) float32 in [0, 1], grey for one channel and BGR for
    three.

    Args:
        faces: (N, S, S) grey or (N, S, S, 3) BGR, uint8.
    """
    batch = np.empty((len(faces), channels, size, size), np.float32)
    for i, face in enumerate(faces):
        batch[i] = to_planes(_resize(face, (size, size)), channels)
    return batch


def to_planes(crop: NDArray[np.uint8], channels: int) -> NDArray[np.float32]:
    """(H, W, 3) BGR or (H, W) grey uint8 -> (channels, H, W) float32 in [0, 1], grey or BGR."""
    if channels == 1:
        grey = crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
        return (np.asarray(grey, np.float32) / np.float32(255))[None]
    colour = cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR) if crop.ndim == 2 else crop
    return (np.asarray(colour, np.float32) / np.float32(255)).transpose(2, 0, 1)


def _to_input(crop: NDArray[np.uint8], face_input: Input) -> NDArray[np.float32]:
    planes = to_planes(crop, face_input.channels)
    if face_input.colour == "rgb":
        planes = planes[::-1]
    low, high = face_input.value_range
    return planes if (low, high) == (0.0, 1.0) else planes * np.float32(high - low) + np.float32(low)


def _resize(face: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The face at (height, width), averaging what it shrinks."""
    if face.shape[:2] == size:
        return face
    method = cv2.INTER_AREA if face.shape[0] > size[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(face, size[::-1], interpolation=method), np.uint8)
