"""Finds the faces of a stream of frames: searched in some of them, followed in those between."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.types import Face, Picture
from emotion_core.vision.detect import FaceDetector
from emotion_core.vision.flow import follow
from emotion_core.vision.picture import shrink
from emotion_core.vision.regions import Regions

_MAX_STEP_S = 0.15  # between two frames: after a longer one, faces are searched and not followed
_FLOW_PX = 320  # faces are followed in a picture of this longer side


class FaceFinder:
    """The faces of each frame that count, the largest first.

    Args:
        detector: searches.
        size_px: longer side of the picture that it is given; None for the frame as it is.
        every: it searches in every n-th frame, in the next one where somebody was lost, and after a pause.
        min_face_px: faces whose shorter side is smaller do not count.
        regions: faces whose middle lies elsewhere do not count, and are not searched for.
        max_faces: only so many of the largest count.
    """

    def __init__(
        self,
        detector: FaceDetector,
        size_px: int | None,
        every: int = 1,
        min_face_px: int = 0,
        regions: Regions | None = None,
        max_faces: int = 256,
    ) -> None:
        self.detector = detector
        self._size_px, self._every, self._min_face_px = size_px, every, min_face_px
        self._regions, self._max_faces = regions or Regions(), max_faces
        self.reset()

    def reset(self) -> None:
        """Search in the next frame."""
        self._age, self._stamp_s = math.inf, -math.inf
        self._grey: NDArray[np.uint8] | None = None
        self._faces: list[Face] = []  # in pixels of what was searched

    def find(self, image: Picture, stamp_s: float) -> list[Face]:
        """Faces in a (H, W, 3) uint8 BGR frame at a time in seconds, in its pixels."""
        height, width = image.shape[:2]
        x, y, wide, high = self._regions.around(width, height)
        part = image[y : y + high, x : x + wide]
        small, factor = (part, 1.0) if self._size_px is None else shrink(part, self._size_px)
        grey = None
        if self._every > 1:
            grey = np.asarray(cv2.cvtColor(shrink(small, _FLOW_PX)[0], cv2.COLOR_BGR2GRAY), np.uint8)
        faces = None if grey is None else self._followed(grey, stamp_s, small.shape[1] / grey.shape[1])
        if faces is None:
            faces = self.detector.detect(small)
            # Whoever was here a frame ago and is not found now is looked for again at once.
            self._age = self._every if len(faces) < len(self._faces) else 1
        else:
            self._age += 1
        inside = [face.placed(1 / factor, x, y) for face in faces]
        found = sorted(
            (
                (face, rough)
                for face, rough in zip(inside, faces, strict=True)
                if min(face.box.width, face.box.height) >= self._min_face_px
                and self._regions.hold(face.box, width, height)
            ),
            key=lambda pair: pair[0].box.area,
            reverse=True,
        )[: self._max_faces]
        self._grey, self._stamp_s, self._faces = grey, stamp_s, [rough for _, rough in found]
        return [face for face, _ in found]

    def _followed(self, grey: NDArray[np.uint8], stamp_s: float, factor: float) -> list[Face] | None:
        """The last frame's faces in this one; None where it is time to search."""
        before = self._grey
        if before is None or before.shape != grey.shape or self._age >= self._every:
            return None
        if not 0 <= stamp_s - self._stamp_s <= _MAX_STEP_S:
            return None
        followed = follow(before, grey, [face.placed(1 / factor) for face in self._faces])
        kept = [face for face in followed if face is not None]
        return [face.placed(factor) for face in kept] if len(kept) == len(followed) else None


class GivenFaces:
    """Stands where a detector would, for faces that somebody else finds.

    Args:
        name: of who finds them.
        framing: see FaceDetector.
    """

    def __init__(self, name: str, framing: float) -> None:
        self.name, self.framing = name, framing

    def detect(self, image: Picture) -> list[Face]:
        """Nobody: faces are given with every frame."""
        return []


def largest(given: Sequence[tuple[str, Face]], count: int) -> list[tuple[str, Face]]:
    """The largest faces first, at most so many; of two with one id the larger; raises EmotionError for no faces."""
    try:
        ordered = sorted(given, key=lambda item: item[1].box.area, reverse=True)
    except (AttributeError, IndexError, TypeError):
        raise EmotionError(f"expected the given faces as pairs of (id, Face), got {given!r:.80}") from None
    return list({name: (name, face) for name, face in reversed(ordered)}.values())[::-1][:count]
