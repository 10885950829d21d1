"""Face detectors, and the choice between them."""

from __future__ import annotations

import logging
from typing import Protocol

from emotion_core.errors import EmotionError
from emotion_core.store.finding import KNOWN_FILES, find_file, model_dir
from emotion_core.types import Face, Picture
from emotion_core.vision.haar import HaarDetector
from emotion_core.vision.yunet import YunetDetector

DETECTORS = ("auto", "yunet", "haar")

_LOG = logging.getLogger(__name__)


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


def create_detector(
    kind: str = "auto", detection_size: int = 320, min_score: float = 0.7, threads: int = 1
) -> FaceDetector:
    """Make a detector.

    Args:
        kind: 'yunet', 'haar', or 'auto': YuNet when its file lies in the model store, else Haar.
        detection_size: longer side of the image that is searched, in pixels.
        min_score: least confidence of a face, in [0, 1].
        threads: CPU threads of YuNet; 0 takes all cores that this process may use.

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
                return YunetDetector(path, detection_size, min_score, threads)
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
