"""YuNet: a tiny convolutional face detector that also finds the eyes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.session import open_session, reason
from emotion_core.types import Box, Face, Picture
from emotion_core.vision.picture import as_bgr, shrink

_MAX_OVERLAP = 0.3
# A face has many candidates before overlapping ones are dropped: 100 hold about 20 faces. This is OpenCV's default.
_CANDIDATES = 5000
_STRIDES = (8, 16, 32)
_OUTPUTS = tuple(f"{name}_{stride}" for stride in _STRIDES for name in ("cls", "obj", "bbox", "kps"))
_NOBODY = np.empty((0, 15), np.float32)

_Search: TypeAlias = Callable[[Picture], NDArray[np.float32]]
"""(H, W, 3) uint8 to (N, 15): x, y, width, height, five points (right eye, left eye, …), score; all in pixels."""


class YunetDetector:
    """YuNet, as the OpenCV model zoo publishes it.

    Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector. Machine Intelligence Research 20 (2023). The file of
    May 2026 takes pictures of any size and runs in ONNX Runtime, twice as fast as in OpenCV. That of March 2023
    claims that they have 640 x 640 pixels, which OpenCV overlooks; it does the work there, with the same result.

    Args:
        path: the ONNX file.
        detection_size: the image is shrunk until its longer side has at most this many pixels.
        min_score: faces below this confidence are left out.
        threads: CPU threads; 0 takes all cores that this process may use. OpenCV's are a matter of the process.

    Attributes:
        engine: what runs it.

    Raises:
        EmotionError: the file is missing, unreadable, damaged or of the wrong kind.
    """

    name = "yunet"
    # Median over 551 of 600 FER+ Training faces: the box has 0.774 x 1.029 of the side, 1 / sqrt(0.774 * 1.029).
    framing = 1.12

    def __init__(self, path: str | Path, detection_size: int = 320, min_score: float = 0.7, threads: int = 1) -> None:
        self._size = detection_size
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise EmotionError(f"{path} cannot be read: {error.strerror or error}") from None
        try:
            self.engine, self._search = _search(content, min_score, threads)
            self._search(np.zeros((64, 64, 3), np.uint8))  # another network fails only when it is asked
        except Exception as error:  # of ONNX Runtime, whose exceptions share no base class, or OpenCV
            raise EmotionError(f"{path} is not a usable YuNet model ({reason(error)}): download it again") from None

    def detect(self, image: Picture) -> list[Face]:
        """Faces in a picture, see ``as_bgr``, the largest first."""
        small, factor = shrink(as_bgr(image), self._size)
        faces = []
        for row in self._search(small):
            x, y, width, height = (float(v) / factor for v in row[:4])
            # YuNet calls right what is the person's right, hence left in the image; turned heads swap them.
            eyes = sorted((float(row[i]) / factor, float(row[i + 1]) / factor) for i in (4, 6))
            if width > 0 and height > 0 and np.isfinite(row).all():
                faces.append(Face(Box(x, y, width, height), min(1.0, max(0.0, float(row[14]))), (eyes[0], eyes[1])))
        return sorted(faces, key=lambda face: face.box.area, reverse=True)


def _search(content: bytes, min_score: float, threads: int) -> tuple[str, _Search]:
    """What searches with the network: its name, and how to call it."""
    session = open_session(content, threads)
    given = session.get_inputs()
    if len(given) != 1 or len(given[0].shape) != 4 or {node.name for node in session.get_outputs()} != {*_OUTPUTS}:
        raise EmotionError("it has other inputs or outputs")
    if any(isinstance(side, int) for side in given[0].shape[2:]):
        return "OpenCV", _in_opencv(content, min_score)
    return "ONNX Runtime", _in_onnxruntime(session, given[0].name, min_score)


def _in_onnxruntime(session: Any, name: str, min_score: float) -> _Search:
    def search(image: Picture) -> NDArray[np.float32]:
        height, width = image.shape[:2]
        multiple = _STRIDES[-1]
        padded = cv2.copyMakeBorder(image, 0, -height % multiple, 0, -width % multiple, cv2.BORDER_CONSTANT)
        outputs = session.run(_OUTPUTS, {name: cv2.dnn.blobFromImage(padded)})
        scales = [
            _candidates(
                [array[0] for array in outputs[4 * i : 4 * i + 4]], stride, padded.shape[1] // stride, min_score
            )
            for i, stride in enumerate(_STRIDES)
        ]
        rows = np.concatenate(scales)
        if len(rows) < 2:
            return rows
        kept = cv2.dnn.NMSBoxes(
            rows[:, :4].astype(np.int32).tolist(), rows[:, 14].tolist(), min_score, _MAX_OVERLAP, top_k=_CANDIDATES
        )
        return rows[np.asarray(kept, np.intp).ravel()]

    return search


def _candidates(
    outputs: Sequence[NDArray[np.float32]], stride: int, columns: int, min_score: float
) -> NDArray[np.float32]:
    """The faces that the cells of one scale see, as rows of ``_Search``, with scores of at least ``min_score``.

    Args:
        outputs: of the network for this scale: (cells, 1) how much each looks like a face, (cells, 1) how much like
            anything, (cells, 4) the middle of its box from the cell's place and the logarithm of its size, (cells, 10)
            five points from the cell's place; all lengths in cells.
        stride: pixels of a cell.
        columns: cells in a row.
    """
    cls, obj, bbox, kps = outputs
    scores = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
    cells = np.flatnonzero(scores >= min_score)
    if not cells.size:
        return _NOBODY
    row, column = np.divmod(cells, columns)
    place = np.stack([column, row], 1).astype(np.float32)
    size = np.exp(bbox[cells, 2:]) * stride
    middle = (bbox[cells, :2] + place) * stride
    points = (kps[cells] + np.tile(place, 5)) * stride
    return np.concatenate([middle - size / 2, size, points, scores[cells, None]], 1, dtype=np.float32)


def _in_opencv(content: bytes, min_score: float) -> _Search:
    size = (64, 64)
    buffer, empty = np.frombuffer(content, np.uint8), np.empty(0, np.uint8)
    # By content: OpenCV crashes on a path that is not UTF-8.
    network = cv2.FaceDetectorYN.create("onnx", buffer, empty, size, min_score, _MAX_OVERLAP, _CANDIDATES)

    def search(image: Picture) -> NDArray[np.float32]:
        nonlocal size
        if size != image.shape[1::-1]:
            size = (image.shape[1], image.shape[0])
            network.setInputSize(size)
        _, rows = network.detect(image)
        return _NOBODY if rows is None else np.asarray(rows, np.float32)

    return search
