"""The boosted cascade that ships with OpenCV."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.types import Box, Face, Picture
from emotion_core.vision.picture import as_bgr, shrink

CASCADE = "haarcascade_frontalface_default.xml"
CASCADE_FOLDERS = (Path(cv2.__file__).parent / "data", Path("/usr/share/opencv4/haarcascades"))
"""Where the wheels from PyPI and the packages of Debian and Ubuntu keep OpenCV's cascades."""


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
        return sorted(distinct(faces), key=lambda face: face.box.area, reverse=True)


def distinct(faces: list[Face], max_overlap: float = 0.4) -> list[Face]:
    """The faces without those that share more than ``max_overlap`` of the smaller box with one of a higher score.

    The cascade sometimes reports one face twice, side by side, too far apart for OpenCV to group them.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: face.score, reverse=True):
        if all(face.box.intersection(other.box) <= max_overlap * min(face.box.area, other.box.area) for other in kept):
            kept.append(face)
    return kept


def _cascade(path: Path) -> cv2.CascadeClassifier:
    """The cascade, by content: OpenCV crashes on a path that is not UTF-8."""
    cascade = cv2.CascadeClassifier()
    try:
        text = path.read_bytes().decode(errors="replace")
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        usable = cascade.read(storage.getFirstTopLevelNode())
    except OSError as error:
        raise EmotionError(f"{path} cannot be read: {error.strerror or error}") from None
    except (cv2.error, SystemError):  # which is how its constructor tells of a file that is no XML
        usable = False
    if not usable:
        raise EmotionError(f"{path} is not a usable cascade: install opencv-python(-headless) again")
    return cascade
