"""How a detector really frames faces: where the eyes lie in the crops of photos, and how far that is from FER2013.

Protocol: YuNet finds the eyes in the faces of FER+ themselves, enlarged, and in the photos; a face of a photo is cut
out by the box of YuNet or Haar as the network gets it. Shift is the distance of the middle of the eyes from its usual
place in FER+, scale the distance of the eyes over the usual one, both as medians and as the spread (half the range
between the 16th and 84th percentile); turn is the angle between the eyes. Only faces whose eyes YuNet finds count.
"""

from __future__ import annotations

import argparse
import json

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.data.ferplus import load_ferplus
from emotion_core.evaluation.photos import load_photos
from emotion_core.types import Face
from emotion_core.vision.crop import FER2013, crop_matrix
from emotion_core.vision.detect import FaceDetector, create_detector

_SIDE = 192  # pixels a side of an enlarged face of FER2013, around which as much is repeated


def main() -> int:
    """Measure and print a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ferplus", metavar="FERPLUS")
    parser.add_argument("photos", metavar="PHOTOS")
    parser.add_argument("--faces", type=int, default=2000, help="of FER+ Training (default: %(default)s)")
    args = parser.parse_args()
    yunet = create_detector("yunet", 640)
    usual = _eyes_of_ferplus(args.ferplus, args.faces, yunet)
    middle, distance = np.median(usual.mean(1), 0), float(np.median(_distance(usual)))
    report = {"ferplus": _describe(usual, middle, distance)}
    for name in ("yunet", "haar"):
        photos = load_photos(args.photos, create_detector(name, 640))
        eyes = []
        for image, face in zip(photos.images, photos.faces, strict=True):
            seen = [other for other in yunet.detect(image) if other.box.iou(face.box) > 0.3 and other.eyes]
            if seen:
                eyes.append(_inside(seen[0], face, photos.unit))
        report[name] = _describe(np.stack(eyes), middle, distance)
    print(json.dumps(report))
    return 0


def _eyes_of_ferplus(root: str, count: int, detector: FaceDetector) -> NDArray[np.float64]:
    """(N, 2, 2) eyes as shares of the side."""
    found = []
    for face in load_ferplus(root, "train").faces[:count]:
        large = cv2.resize(face, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
        framed = cv2.copyMakeBorder(large, *(_SIDE // 2,) * 4, cv2.BORDER_REPLICATE)
        seen = detector.detect(cv2.cvtColor(framed, cv2.COLOR_GRAY2BGR))  # type: ignore[arg-type]
        if seen and seen[0].eyes:
            found.append(np.array(seen[0].eyes) / _SIDE - 0.5)
    return np.stack(found)


def _inside(seen: Face, face: Face, unit: float) -> NDArray[np.float64]:
    """(2, 2) eyes within the crop of a face, as shares of its side."""
    matrix = crop_matrix(face, (1000, 1000), unit, FER2013)
    points = np.array(seen.eyes) @ matrix[:, :2].T + matrix[:, 2]
    return points / 1000


def _distance(eyes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=1)


def _describe(eyes: NDArray[np.float64], middle: NDArray[np.float64], distance: float) -> dict[str, object]:
    across, along = (eyes.mean(1) - middle).T
    scale = _distance(eyes) / distance
    between = eyes[:, 1] - eyes[:, 0]
    turn = np.degrees(np.arctan2(between[:, 1], between[:, 0]))
    values = {"shift_right": across, "shift_down": along, "scale": scale, "turn_deg": turn}
    return {"n": len(eyes), **{name: [round(float(v), 3) for v in _spread(value)] for name, value in values.items()}}


def _spread(values: NDArray[np.float64]) -> tuple[float, float]:
    low, middle, high = np.percentile(values, [16, 50, 84])
    return float(middle), float(high - low) / 2


if __name__ == "__main__":
    raise SystemExit(main())
