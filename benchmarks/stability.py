"""How often the answer about a face changes when the picture changes a little.

Protocol: each photo, and every n-th frame of each clip, is copied: shifted by 3 % of the face's side in four
directions, scaled by 0.5, 0.7 and 1.4, dimmed to 0.5 and 0.25, with contrast halved, blurred, with noise, and as a JPEG
of quality 30; small turns of 5 and 10 degrees. The face is searched again in each copy, and its label compared with the
one of the original. Printed is the share of changed labels in percent, by kind of copy and in all; a face that is lost
counts apart.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from emotion_core.evaluation.photos import load_photos
from emotion_core.media.frames import open_frames
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.types import Face, Picture
from emotion_core.vision.crop import crop_inputs
from emotion_core.vision.detect import DETECTORS, FaceDetector, create_detector

Change = Callable[[Picture, Face, np.random.Generator], Picture]


def main() -> int:
    """Measure and print a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", metavar="PHOTOS")
    parser.add_argument("clips", nargs="*", metavar="CLIP")
    parser.add_argument("--model", default=[DEFAULT_MODEL], nargs="+", help="default: %(default)s")
    parser.add_argument("--detector", choices=DETECTORS, default="yunet")
    parser.add_argument("--every", type=int, default=25, help="n-th frame of a clip (default: %(default)s)")
    parser.add_argument("--photos-every", type=int, default=1, help="n-th photo (default: %(default)s)")
    args = parser.parse_args()
    models = {name: Classifier.load(name, threads=1) for name in args.model}
    detector = create_detector(args.detector, 640)
    sources = {"photos": list(_of_photos(args.photos, detector, args.photos_every))}
    if args.clips:
        sources["clips"] = [pair for clip in args.clips for pair in _of_clip(clip, detector, args.every)]
    for source, pictures in sources.items():
        said = _ask(models, pictures, detector)
        for name in models:
            print(json.dumps({"model": name, "source": source, "pictures": len(pictures), **said[name]}))
    return 0


def _ask(
    models: dict[str, Classifier], pictures: list[tuple[Picture, Face]], detector: FaceDetector
) -> dict[str, dict[str, object]]:
    changed = {name: Counter[str]() for name in models}
    counts, lost = Counter[str](), 0
    for number, (image, face) in enumerate(pictures):
        before = {name: _label(model, image, face, detector) for name, model in models.items()}
        for kind, change in CHANGES.items():
            copy = change(image, face, np.random.default_rng(number))
            if not (found := detector.detect(copy)):
                lost += 1
                continue
            counts[kind] += 1
            for name, model in models.items():
                changed[name][kind] += _label(model, copy, found[0], detector) != before[name]
    return {
        name: {
            "changed_percent": round(100 * each.total() / counts.total(), 2),
            "lost": lost,
            **{kind: round(100 * each[kind] / counts[kind], 2) for kind in counts},
        }
        for name, each in changed.items()
    }


def _label(model: Classifier, image: Picture, face: Face, detector: FaceDetector) -> int:
    return int(model(*crop_inputs(image, [face], model.card.faces, detector.framing)).probabilities[0].argmax())


def _of_photos(folder: str, detector: FaceDetector, every: int) -> Iterator[tuple[Picture, Face]]:
    photos = load_photos(folder, detector)
    yield from list(zip(photos.images, photos.faces, strict=True))[::every]


def _of_clip(clip: str, detector: FaceDetector, every: int) -> Iterator[tuple[Picture, Face]]:
    with open_frames(clip) as frames:
        for number, (image, _) in enumerate(frames):
            if number % every == 0 and (found := detector.detect(image)):
                yield image, found[0]


def _warped(image: Picture, matrix: np.ndarray, scale: float = 1.0) -> Picture:
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    if scale != 1:
        return cv2.resize(image, size, interpolation=flags)  # type: ignore[return-value]
    return cv2.warpAffine(  # type: ignore[return-value]
        image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _shifted(across: float, along: float) -> Change:
    def change(image: Picture, face: Face, _: np.random.Generator) -> Picture:
        side = face.box.area**0.5
        return _warped(image, np.array([[1, 0, across * side], [0, 1, along * side]]))

    return change


def _turned(degrees: float) -> Change:
    def change(image: Picture, face: Face, _: np.random.Generator) -> Picture:
        return _warped(image, cv2.getRotationMatrix2D(face.box.centre, degrees, 1.0))

    return change


def _scaled(factor: float) -> Change:
    return lambda image, face, _: _warped(image, np.eye(2, 3), factor)


def _dimmed(factor: float, level: float = 0.0) -> Change:
    return lambda image, face, _: cv2.convertScaleAbs(image, alpha=factor, beta=level)  # type: ignore[return-value]


def _blurred(image: Picture, face: Face, _: np.random.Generator) -> Picture:
    return cv2.GaussianBlur(image, (0, 0), 0.02 * face.box.area**0.5)  # type: ignore[return-value]


def _noisy(image: Picture, face: Face, rng: np.random.Generator) -> Picture:
    noise = np.asarray(rng.normal(0, 12, image.shape), np.float32)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _compressed(image: Picture, face: Face, _: np.random.Generator) -> Picture:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)  # type: ignore[return-value]


CHANGES: dict[str, Change] = {
    "left": _shifted(-0.03, 0), "right": _shifted(0.03, 0), "up": _shifted(0, -0.03), "down": _shifted(0, 0.03),
    "half": _scaled(0.5), "smaller": _scaled(0.7), "larger": _scaled(1.4),
    "dim": _dimmed(0.5), "dark": _dimmed(0.25), "flat": _dimmed(0.5, 64),
    "turned_5": _turned(5), "turned_10": _turned(-10),
    "blurred": _blurred, "noisy": _noisy, "jpeg": _compressed,
}  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
