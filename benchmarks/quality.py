"""What bad pictures cost: accuracy on faces that are small, blurred, dark, noisy, compressed, turned or covered.

Protocol: FER+ PublicTest, plurality, each face changed in one way at a time: shrunk and enlarged again, blurred by a
Gaussian, darkened to a share of the light and rounded, with Gaussian noise, as a JPEG, turned (the face taken for the
front of a cylinder), or with its lower or upper third covered by grey. Printed are accuracy, mean confidence and
sharpness (`emotion_core.vision.quality`) in each condition, and the accuracy by sharpness over all of the sizes and
blurs, from which the curves in that module were taken. With --yunet also accuracy by the score of YuNet, which searches
the enlarged faces.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from emotion_core.data.ferplus import FerPlus, load_ferplus
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.training.augment import AugmentConfig, augment
from emotion_core.vision.crop import fit_faces
from emotion_core.vision.detect import create_detector
from emotion_core.vision.quality import sharpness

Faces = NDArray[np.uint8]


def main() -> int:
    """Measure and print a JSON line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="FERPLUS")
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL])
    parser.add_argument("--yunet", action="store_true", help="also by the score of YuNet")
    args = parser.parse_args()
    data = load_ferplus(args.data, "valid")
    changed = dict(_conditions(data.faces))
    sharp = {
        name: np.array([sharpness(face[None].astype(np.float32)) for face in faces]) for name, faces in changed.items()
    }
    scores = _scores(data.faces) if args.yunet else None
    for name in args.model:
        model = Classifier.load(name, threads=1)
        right, report = {}, {}
        for condition, faces in changed.items():
            said = _ask(model, faces)
            right[condition] = said.argmax(1) == _classes(data, model)
            report[condition] = {
                "accuracy": round(100 * float(right[condition].mean()), 2),
                "confidence": round(100 * float(said.max(1).mean()), 1),
                "sharpness": round(float(np.median(sharp[condition])), 3),
            }
        blurred = [key for key in changed if key.startswith(("as it is", "size", "blur"))]
        by_sharpness = _by(np.concatenate([sharp[k] for k in blurred]), np.concatenate([right[k] for k in blurred]), 16)
        print(
            json.dumps({"model": model.card.name, "n": len(data), "conditions": report, "by_sharpness": by_sharpness})
        )
        if scores is not None:
            found = scores > 0
            print(json.dumps({"by_yunet_score": _by(scores[found], right["as it is"][found], 10)}))
    return 0


def _ask(model: Classifier, faces: Faces) -> NDArray[np.float64]:
    batches = (faces[start : start + 64] for start in range(0, len(faces), 64))
    return np.concatenate([model(fit_faces(batch, model.card.face)).probabilities for batch in batches])


def _classes(data: FerPlus, model: Classifier) -> NDArray[np.int64]:
    return np.array([model.card.labels.index(name) for name in data.labels])[data.targets]


def _conditions(faces: Faces) -> Iterator[tuple[str, Faces]]:
    yield "as it is", faces
    for side in (8, 12, 16, 20, 24, 32):
        yield f"size {side} px", _each(faces, lambda face, side=side: _resized(face, side))  # type: ignore[misc]
    for sigma in (0.5, 0.8, 1.2, 1.8, 2.5):
        yield f"blur {sigma} px", _each(faces, lambda face, s=sigma: cv2.GaussianBlur(face, (0, 0), s))  # type: ignore[misc]
    for light in (0.25, 0.1):
        yield f"light {light}", np.round(faces * light).astype(np.uint8)
    grain = np.random.default_rng(0).normal(0, 1, faces.shape)
    for spread in (10, 20):
        yield f"noise {spread}", np.clip(faces + spread * grain, 0, 255).astype(np.uint8)
    for quality in (30, 10):
        yield f"JPEG {quality}", _each(faces, lambda face, quality=quality: _compressed(face, quality))  # type: ignore[misc]
    for angle in (25, 45):
        yield f"turned up to {angle} degrees", _turned(faces, angle)
    for name, rows in (("lower", slice(32, 48)), ("upper", slice(0, 16))):
        covered = faces.copy()
        covered[:, rows] = 128
        yield f"{name} third covered", covered


def _each(faces: Faces, change: Callable[[Faces], object]) -> Faces:
    return np.stack([np.asarray(change(face), np.uint8) for face in faces])


def _resized(face: Faces, side: int) -> object:
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, face.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _compressed(face: Faces, quality: int) -> object:
    return cv2.imdecode(cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


def _turned(faces: Faces, degrees: float) -> Faces:
    config = AugmentConfig(0.0, 0.0, 1.0, False, 0.0, 1.0, 0.0, 0.0, 0.0, 0.35, degrees)
    turned = augment(torch.from_numpy(faces)[:, None] / 255, config, torch.Generator().manual_seed(0))
    return (turned[:, 0] * 255).round().byte().numpy()


def _scores(faces: Faces) -> NDArray[np.float64]:
    """(N,) of YuNet on each face; 0 where it finds none."""
    detector, scores = create_detector("yunet", 384), np.zeros(len(faces))
    for i, face in enumerate(faces):
        large = cv2.resize(face, (192, 192), interpolation=cv2.INTER_CUBIC)
        framed = cv2.copyMakeBorder(large, 96, 96, 96, 96, cv2.BORDER_REPLICATE)
        seen = detector.detect(cv2.cvtColor(framed, cv2.COLOR_GRAY2BGR))  # type: ignore[arg-type]
        scores[i] = seen[0].score if seen else 0.0
    return scores


def _by(values: NDArray[np.floating], right: NDArray[np.bool_], parts: int) -> list[list[float]]:
    """Median, and accuracy in percent, of parts with equally many faces."""
    order = np.array_split(np.argsort(values), parts)
    return [[round(float(np.median(values[part])), 3), round(100 * float(right[part].mean()), 1)] for part in order]


if __name__ == "__main__":
    raise SystemExit(main())
