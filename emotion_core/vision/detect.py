"""Face detectors: YuNet, OpenCV's Haar cascade, and the choice between them."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.store.finding import KNOWN_FILES, find_file, model_dir
from emotion_core.types import Box, Face, Picture
from emotion_core.vision.picture import as_bgr

DETECTORS = ("auto", "yunet", "haar")
CASCADE = "haarcascade_frontalface_default.xml"
CASCADE_FOLDERS = (Path(cv2.__file__).parent / "data", Path("/usr/share/opencv4/haarcascades"))
"""Where the wheels from PyPI and the packages of Debian and Ubuntu keep OpenCV's cascades."""

_LOG = logging.getLogger(__name__)
_MAX_OVERLAP = 0.3
# A face has many candidates before overlapping ones are dropped: 100 hold about 20 faces. This is OpenCV's default.
_CANDIDATES = 5000


class FaceDetector(Protocol):
    """Finds faces in a picture.

    Attributes:
        name: short name for logs and diagnostics.
        framing: side of the square that frames a face as FER2013 does, divided by the square root of the area of
            this detector's box. Networks see faces framed alike, whichever detector found them.
    """

    name: str
    framing: float

    def detect(self, image: Picture) -> list[Face]:
        """Faces in a BGR image, the largest first."""
        ...


class YunetDetector:
    """YuNet: a tiny convolutional detector that also gives landmarks.

    Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector. Machine Intelligence Research 20 (2023).

    Args:
        path: the ONNX file from the OpenCV model zoo.
        detection_size: the image is shrunk until its longer side has at most this many pixels.
        min_score: faces below this confidence are left out.

    Raises:
        EmotionError: the file is missing, unreadable, damaged or of the wrong kind.
    """

    name = "yunet"
    # Median over 551 of 600 FER+ Training faces: the box has 0.774 x 1.029 of the side, 1 / sqrt(0.774 * 1.029).
    framing = 1.12

    def __init__(self, path: str | Path, detection_size: int = 320, min_score: float = 0.7) -> None:
        self._size, self._input = detection_size, (64, 64)
        # By content: OpenCV crashes on a path that is not UTF-8.
        content = np.frombuffer(_read(Path(path)), np.uint8)
        empty = np.empty(0, np.uint8)
        try:
            self._net = cv2.FaceDetectorYN.create(
                "onnx", content, empty, self._input, min_score, _MAX_OVERLAP, _CANDIDATES
            )
            # Another network fails only when it is asked.
            self._net.detect(np.zeros((*self._input, 3), np.uint8))
        except cv2.error as error:
            raise EmotionError(f"{path} is not a usable YuNet model ({_reason(error)}): download it again") from None

    def detect(self, image: Picture) -> list[Face]:
        """Faces in a picture, see ``as_bgr``, the largest first."""
        small, factor = shrink(as_bgr(image), self._size)
        size = small.shape[1], small.shape[0]
        if size != self._input:
            self._net.setInputSize(size)
            self._input = size
        _, rows = self._net.detect(small)
        faces = []
        for row in rows if rows is not None else ():
            x, y, width, height = (float(v) / factor for v in row[:4])
            # YuNet calls right what is the person's right, hence left in the image; turned heads swap them.
            eyes = sorted((float(row[i]) / factor, float(row[i + 1]) / factor) for i in (4, 6))
            if width > 0 and height > 0 and np.isfinite(row).all():
                faces.append(Face(Box(x, y, width, height), min(1.0, max(0.0, float(row[14]))), (eyes[0], eyes[1])))
        return _largest_first(faces)


class HaarDetector:
    """The boosted cascade that ships with OpenCV; needs no download, finds upright frontal faces.

    Viola, Jones: Rapid object detection using a boosted cascade of simple features. CVPR 2001.

    Its score is a squashed cascade weight: it orders detections, and is not a probability.
    """

    name = "haar"
    # Median over 444 of 600 FER+ Training faces: the box has 0.965 of the side.
    framing = 1.036

    def __init__(self, detection_size: int = 320, min_score: float = 0.7) -> None:
        self._size, self._min_score = detection_size, min_score
        path = next((folder / CASCADE for folder in CASCADE_FOLDERS if (folder / CASCADE).is_file()), None)
        if path is None:
            raise EmotionError(f"no {CASCADE}: install opencv-python(-headless) >= 4.10, < 5, or Debian's opencv-data")
        self._cascade = _cascade(path)

    def detect(self, image: Picture) -> list[Face]:
        """Faces in a picture, see ``as_bgr``, the largest first."""
        small, factor = shrink(as_bgr(image), self._size)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        smallest = max(24, round(0.08 * min(grey.shape)))
        boxes, _, weights = self._cascade.detectMultiScale3(
            grey, scaleFactor=1.15, minNeighbors=3, minSize=(smallest, smallest), outputRejectLevels=True
        )
        faces = []
        for (x, y, width, height), weight in zip(boxes, np.ravel(weights), strict=True):
            score = 1 / (1 + math.exp(-float(weight)))
            if score >= self._min_score:
                faces.append(Face(Box(*(float(v) / factor for v in (x, y, width, height))), score))
        return _largest_first(distinct(faces))


def create_detector(kind: str = "auto", detection_size: int = 320, min_score: float = 0.7) -> FaceDetector:
    """Make a detector.

    Args:
        kind: 'yunet', 'haar', or 'auto': YuNet when its file lies in the model store, else Haar.
        detection_size: longer side of the image that is searched, in pixels.
        min_score: least confidence of a face, in [0, 1].

    Raises:
        EmotionError: unknown kind, no usable YuNet file for 'yunet', or no cascade for Haar.
    """
    if not isinstance(kind, str) or kind not in DETECTORS:
        shown = repr(kind) if isinstance(kind, str) else type(kind).__name__
        raise EmotionError(f"unknown detector {shown}: use one of {', '.join(DETECTORS)}")
    if kind == "haar":
        return HaarDetector(detection_size, min_score)
    files = [name for name, known in KNOWN_FILES.items() if known.kind == "yunet"]
    faults = []
    for name in files:
        try:
            path = find_file(name)
            if path is not None:
                return YunetDetector(path, detection_size, min_score)
        except EmotionError as error:
            faults.append(str(error))
        except OSError as error:
            faults.append(f"{name} cannot be read: {error.strerror or error}")
    if kind == "yunet":
        missing = f"no YuNet model: put {' or '.join(files)} (OpenCV zoo) into {model_dir()}, or use haar"
        raise EmotionError("; ".join(faults) or missing)
    if faults:
        _LOG.warning("faces are searched with Haar's cascade, which finds fewer: %s", "; ".join(faults))
    return HaarDetector(detection_size, min_score)


def shrink(image: Picture, longest_px: int) -> tuple[Picture, float]:
    """The image with its longer side at most ``longest_px``, and the factor in (0, 1] that was applied."""
    factor = longest_px / max(image.shape[:2])
    if factor >= 1:
        return image, 1.0
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    # Skipping pixels is fast but aliases; averaging a strongly reduced image costs a millisecond and does not.
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), factor  # type: ignore[return-value]


def distinct(faces: list[Face], max_overlap: float = 0.4) -> list[Face]:
    """The faces without those that share more than ``max_overlap`` of the smaller box with one of a higher score.

    The cascade sometimes reports one face twice, side by side, too far apart for OpenCV to group them.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if all(face.box.intersection(other.box) <= max_overlap * min(face.box.area, other.box.area) for other in kept):
            kept.append(face)
    return kept


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EmotionError(f"{path} cannot be read: {error.strerror or error}") from None


def _cascade(path: Path) -> cv2.CascadeClassifier:
    """The cascade, by content: OpenCV crashes on a path that is not UTF-8."""
    cascade = cv2.CascadeClassifier()
    try:
        text = _read(path).decode(errors="replace")
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        usable = cascade.read(storage.getFirstTopLevelNode())
    except (cv2.error, SystemError):  # which is how its constructor tells of a file that is no XML
        usable = False
    if not usable:
        raise EmotionError(f"{path} is not a usable cascade: install opencv-python(-headless) again")
    return cascade


def _largest_first(faces: list[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: face.box.area, reverse=True)


def _reason(error: cv2.error) -> str:
    return str(error).strip().splitlines()[-1][:120]
