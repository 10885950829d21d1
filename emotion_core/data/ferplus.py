"""FER+: the faces of FER2013 with the votes of ten taggers each.

    Barsoum, Zhang, Canton Ferrer, Zhang: Training Deep Networks for Facial Expression Recognition with
    Crowd-Sourced Label Distribution. ICMI 2016. https://arxiv.org/abs/1608.01041

Reads the official layout: ``FER2013Train``, ``FER2013Valid`` and ``FER2013Test`` with a ``label.csv`` each, whose
rows are ``name, "(x0, y0, x1, y1)", neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown,
NF`` without a header.
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceSet
from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET, FERPLUS

FOLDERS = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
SIDE_PX = 48
_VOTE_COLUMNS = len(FERPLUS) + 2  # and unknown, NF
_TO_AFFECTNET = [FERPLUS.index(name) for name in AFFECTNET]


def load_ferplus(root: str | Path, split: str) -> FaceSet:
    """Read one split with the usual 8-class majority protocol.

    Single votes count as none. A face is dropped when its majority is unknown or NF, or when no vote is left. The
    distribution is that of the remaining votes over the eight emotions.

    Args:
        root: the folder that holds FER2013Train, FER2013Valid, FER2013Test.
        split: 'train' (Training), 'valid' (PublicTest) or 'test' (PrivateTest).

    Raises:
        EmotionError: the folder, its label.csv or one of its faces is missing or malformed.
    """
    if split not in FOLDERS:
        raise EmotionError(f"unknown FER+ split {split!r}: use one of {', '.join(FOLDERS)}")
    folder = Path(root) / FOLDERS[split]
    table = folder / "label.csv"
    if not table.is_file():
        raise EmotionError(f"no FER+ data: {table} is missing (expected {FOLDERS[split]}/label.csv with its faces)")
    faces, votes, names = [], [], []
    with table.open(newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            name, counts = _parse(row, table, number)
            if not _is_kept(counts):
                continue
            image = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
            if image is None or image.shape != (SIDE_PX, SIDE_PX):
                found = "missing or not an image" if image is None else f"{image.shape[1]}x{image.shape[0]}"
                raise EmotionError(f"{folder / name}: expected a {SIDE_PX}x{SIDE_PX} face, found {found}")
            faces.append(image)
            votes.append(counts[: len(FERPLUS)])
            names.append(name)
    if not faces:
        raise EmotionError(f"{table} lists no usable face")
    counts = np.array(votes, np.float32)
    majority = np.array([AFFECTNET.index(FERPLUS[i]) for i in counts.argmax(1)], np.int64)
    distributions = (counts / counts.sum(1, keepdims=True))[:, _TO_AFFECTNET]
    return FaceSet(np.stack(faces).astype(np.uint8), distributions, majority, tuple(names))


def _parse(row: list[str], table: Path, number: int) -> tuple[str, NDArray[np.int64]]:
    """Name and votes of one row, votes of 1 set to 0."""
    try:
        if len(row) != 2 + _VOTE_COLUMNS:
            raise ValueError
        counts = np.array([int(v) for v in row[2:]])
    except ValueError:
        raise EmotionError(
            f"{table}, line {number}: expected name, box and {_VOTE_COLUMNS} votes, got {','.join(row)[:80]!r}"
        ) from None
    return row[0], np.where(counts > 1, counts, 0)


def _is_kept(counts: NDArray[np.int64]) -> bool:
    return bool(counts.max() > 0 and counts.argmax() < len(FERPLUS) and counts[: len(FERPLUS)].max() > 0)
