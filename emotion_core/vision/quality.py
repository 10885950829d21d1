"""How much can be made out in the picture of a face.

The number is the share of its accuracy that the bundled network keeps on such faces: 1 where nothing is in the way, 0.5
where it is right half as often. Looked at are the size of the face, how sharp it is, and the detector's score; the
worst of the three counts, since a small face is a blurred one, too. The curves were measured by
``benchmarks/quality.py`` on FER+; a head turned to the side was no worse up to 45 degrees there, and does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.types import Face

Curve = tuple[tuple[float, float], ...]
"""(value, share) in order; between them shares are interpolated, beyond them they stay."""

SIZE_PX: Curve = ((8, 0.55), (12, 0.73), (16, 0.84), (20, 0.91), (24, 0.96), (32, 0.99), (48, 1.0))
"""By the side in pixels of the square that frames the face as FER2013 does."""
SHARPNESS: Curve = (
    (0.049, 0.63), (0.061, 0.65), (0.072, 0.70), (0.083, 0.76), (0.096, 0.80), (0.111, 0.83), (0.127, 0.88),
    (0.144, 0.90), (0.161, 0.92), (0.18, 0.94), (0.203, 0.97), (0.268, 1.0),
)  # fmt: skip
"""By ``sharpness``."""
SCORES: dict[str, Curve] = {"yunet": ((0.89, 0.89), (0.90, 0.91), (0.907, 0.94), (0.912, 0.95), (0.92, 1.0))}
"""By the score, of each detector for which it tells anything."""
_SIDE = 48


def face_quality(size_px: float, crop: NDArray[np.floating], score: float = 1.0, detector: str = "") -> float:
    """How much of a face can be made out, in [0, 1].

    Args:
        size_px: side of the square that frames the face as FER2013 does, in pixels of the picture.
        crop: (channels, H, W) the face as a network takes it, in any range of values.
        score: of the detection.
        detector: its name.
    """
    shares = [_read(SIZE_PX, size_px), _read(SHARPNESS, sharpness(crop))]
    if detector in SCORES:
        shares.append(_read(SCORES[detector], score))
    return min(shares)


def judged(faces: Sequence[Face], crops: NDArray[np.floating], unit: float, detector: str) -> list[Face]:
    """The same faces with their quality.

    Args:
        faces: in pixels of the picture.
        crops: (N, channels, H, W), see ``face_quality``.
        unit: of the detector, see ``FaceDetector.framing``.
        detector: its name.
    """
    return [
        replace(face, quality=face_quality(unit * face.box.area**0.5, crop, face.score, detector))
        for face, crop in zip(faces, crops, strict=True)
    ]


def sharpness(crop: NDArray[np.floating]) -> float:
    """Mean size of the second differences of a face of 48 x 48 pixels, in units of the spread of its pixels.

    Args:
        crop: see ``face_quality``.
    """
    grey = np.ascontiguousarray(crop.mean(0) if len(crop) > 1 else crop[0], np.float32)
    if grey.shape != (_SIDE, _SIDE):
        smaller = grey.shape[0] > _SIDE
        grey = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)  # type: ignore[assignment]
    spread = float(grey.std())
    if spread < 1e-6:
        return 0.0
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean()) / spread


def _read(curve: Curve, value: float) -> float:
    values, shares = zip(*curve, strict=True)
    return float(np.interp(value, values, shares))
