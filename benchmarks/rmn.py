"""The interface of ``rmn``: what turning faces upright is worth, and what one batch for all faces of a frame is.

    scripts/run python benchmarks/rmn.py PHOTOS [--model M]

PHOTOS holds labels.csv with the columns file and emotion, and the pictures; one face a picture, the largest. Turned
pictures are turned around their middle, and searched for faces anew.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from emotion_core.labels import canonical
from emotion_core.rmn import RMN
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.vision.crop import crop_inputs

TURNS_DEG = (0, 15, 30)
FACES = 8
ROUNDS = 40


def turned(image: np.ndarray, angle_deg: float) -> np.ndarray:
    """The picture turned around its middle, its edge repeated."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1.0)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def alignment(rmn: RMN, photos: Path) -> None:
    """Accuracy of the same faces aligned and not, by how far the pictures are turned."""
    detector, card = rmn.face_detector, rmn.emo_model.card
    assert detector is not None
    known = [canonical(label) for label in card.labels]
    with (photos / "labels.csv").open() as file:
        rows = [(photos / row["file"], canonical(row["emotion"])) for row in csv.DictReader(file)]
    rows = [row for row in rows if row[1] in known]
    for angle_deg in TURNS_DEG:
        hits: dict[bool, list[bool]] = {True: [], False: []}
        for i, (path, label) in enumerate(rows):
            image = turned(cv2.imread(str(path)), angle_deg * (-1) ** i)
            if not (faces := detector.detect(image)[:1]):
                continue
            for align, found in hits.items():
                output = rmn.emo_model(*crop_inputs(image, faces, card.faces, detector.framing, align))
                found.append(known[int(output.probabilities.argmax())] == label)
        each = ", ".join(
            f"{'aligned' if align else 'not aligned'} {100 * np.mean(found):.2f} %" for align, found in hits.items()
        )
        gained = np.sum(np.greater(hits[True], hits[False])), np.sum(np.less(hits[True], hits[False]))
        print(
            f"turned by {angle_deg:2d} degrees, {len(hits[True])} faces: {each} ({gained[0]} mended, {gained[1]} lost)"
        )


def batches(rmn: RMN) -> None:
    """Faces a second, eight in one batch over eight calls, in turns."""
    rng = np.random.default_rng(0)
    inputs = [rng.random((FACES, *item.shape), np.float32) for item in rmn.emo_model.card.faces]
    ratios, rates = [], []
    for i in range(ROUNDS + 5):
        start = time.perf_counter()
        rmn.emo_model(*inputs)
        middle = time.perf_counter()
        for k in range(FACES):
            rmn.emo_model(*(batch[k : k + 1] for batch in inputs))
        end = time.perf_counter()
        if i >= 5:
            ratios.append((end - middle) / (middle - start))
            rates.append((FACES / (middle - start), FACES / (end - middle)))
    one, many = (statistics.median(rate) for rate in zip(*rates, strict=True))
    print(
        f"{FACES} faces: in one batch {one:.0f} faces/s, one by one {many:.0f}; ratio {statistics.median(ratios):.2f}"
    )


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    rmn = RMN("yunet", model=args.model, threads=args.threads)
    batches(rmn)
    alignment(rmn, args.photos)


if __name__ == "__main__":
    main()
