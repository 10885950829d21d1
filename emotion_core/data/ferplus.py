"""FER+: the faces of FER2013 with the votes of ten taggers each.

    Barsoum, Zhang, Canton Ferrer, Zhang: Training Deep Networks for Facial Expression Recognition with
    Crowd-Sourced Label Distribution. ICMI 2016. https://arxiv.org/abs/1608.01041

Reads two layouts:

- pictures: ``FER2013Train``, ``FER2013Valid`` and ``FER2013Test`` with a ``label.csv`` each, whose rows are ``name,
  "(x0, y0, x1, y1)", neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF`` without a
  header;
- tables: ``fer2013.csv`` with the faces and ``fer2013new.csv`` with the votes, row by row.

Where both are there, the pictures are read.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.data import fer2013
from emotion_core.data.dataset import FaceSet
from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET, FERPLUS
from emotion_core.store.files import user_path

FOLDERS = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
FACES_FILE, VOTES_FILE = fer2013.FILE, "fer2013new.csv"
VOTE_NAMES = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
"""The votes as the official files name and order them; the first eight are those of ``labels.FERPLUS``."""
SIDE_PX = 48
PLURALITY, MAJORITY = "plurality", "majority"
PROTOCOLS = (PLURALITY, MAJORITY)
_TO_AFFECTNET = [FERPLUS.index(name) for name in AFFECTNET]


class _Face(NamedTuple):
    name: str
    pixels: NDArray[np.uint8]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class FerPlus(FaceSet):
    """The faces of one split in memory: (N, 48, 48) uint8 grey, in AffectNet order.

    Attributes:
        is_majority: (N,) bool, whether more than half of the votes that count go to the face's label.
    """

    is_majority: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))

    @property
    def protocols(self) -> dict[str, NDArray[np.int64]]:
        """See ``load_ferplus``; the published figures are mostly of the majority."""
        majority = np.flatnonzero(self.is_majority)
        if len(majority) == len(self):
            return {MAJORITY: majority}
        return {PLURALITY: np.arange(len(self)), MAJORITY: majority}


def load_ferplus(root: str | Path, split: str, protocol: str = PLURALITY) -> FerPlus:
    """Read one split with its eight classes.

    Single votes count as none. 'plurality': the class with the most votes is the label, and a face is dropped when
    that is unknown or NF, or when no vote is left. 'majority', as FER+'s own code does it: that class must also hold
    more than half of the remaining votes. On a tie the first class in FER+'s order wins. The distribution is that of
    the remaining votes over the eight emotions.

    Args:
        root: the folder that holds FER2013Train, FER2013Valid, FER2013Test, or fer2013.csv and fer2013new.csv.
        split: 'train' (Training), 'valid' (PublicTest) or 'test' (PrivateTest).
        protocol: which faces count, one of PROTOCOLS.

    Raises:
        EmotionError: the folder, a table or one of its faces is missing or malformed, or the two tables do not
            belong together.
    """
    if protocol not in PROTOCOLS:
        raise EmotionError(f"unknown FER+ protocol {protocol!r}: use one of {', '.join(PROTOCOLS)}")
    if split not in FOLDERS:
        raise EmotionError(f"unknown FER+ split {split!r}: use one of {', '.join(FOLDERS)}")
    root = user_path(root)
    has_pictures = any((root / folder).is_dir() for folder in FOLDERS.values())
    if not has_pictures and ((root / FACES_FILE).is_file() or (root / VOTES_FILE).is_file()):
        source, kept = root / VOTES_FILE, list(_from_tables(root / FACES_FILE, root / VOTES_FILE, split))
    else:
        source = root / FOLDERS[split] / "label.csv"
        kept = list(_from_pictures(source, FOLDERS[split]))
    if not kept:
        raise EmotionError(f"{source} lists no usable face")
    votes = np.stack([face.counts for face in kept])
    is_majority = 2 * votes.max(1) > votes.sum(1)
    if protocol == MAJORITY:
        kept, votes = [face for face, ok in zip(kept, is_majority, strict=True) if ok], votes[is_majority]
        is_majority = is_majority[is_majority]
        if not kept:
            raise EmotionError(f"{source} lists no face with a majority")
    counts = votes[:, : len(FERPLUS)].astype(np.float32)
    labels = np.array([AFFECTNET.index(FERPLUS[i]) for i in counts.argmax(1)], np.int64)
    distributions = (counts / counts.sum(1, keepdims=True))[:, _TO_AFFECTNET]
    faces = np.stack([face.pixels for face in kept]).astype(np.uint8, copy=False)
    return FerPlus(faces, distributions, labels, tuple(face.name for face in kept), is_majority=is_majority)


def _from_pictures(table: Path, expected: str) -> Iterator[_Face]:
    """The kept faces of one folder."""
    if not table.is_file():
        raise EmotionError(
            f"no FER+ data: {table} is missing (expected {expected}/label.csv with its faces, "
            f"or {FACES_FILE} and {VOTES_FILE})"
        )
    with table.open(newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            counts = _votes(row[2:], table, number)
            if not _is_kept(counts):
                continue
            path = table.parent / row[0]
            image = _grey(path)
            if image is None or image.shape != (SIDE_PX, SIDE_PX):
                found = "missing or not an image" if image is None else f"{image.shape[1]}x{image.shape[0]}"
                raise EmotionError(f"{path}: expected a {SIDE_PX}x{SIDE_PX} face, found {found}")
            yield _Face(row[0], np.asarray(image, np.uint8), counts)


def _grey(path: Path) -> NDArray[np.uint8] | None:
    """By content: OpenCV crashes on a path that is not UTF-8."""
    content = path.read_bytes() if path.is_file() else b""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE) if content else None
    return None if image is None else np.asarray(image, np.uint8)


def _from_tables(faces: Path, votes: Path, split: str) -> Iterator[_Face]:
    """The kept faces of one split; the two tables list the same faces in the same order."""
    advice = f"the two files do not belong together: get the original {FACES_FILE} of 35,887 rows, and its {VOTES_FILE}"
    labels = _read_votes(votes)
    number = -1
    for number, row in enumerate(fer2013.csv_rows(faces)):
        if number >= len(labels):
            continue
        usage, name, counts = labels[number]
        if usage != row.usage:
            raise EmotionError(f"row {number + 1} has Usage {row.usage} in {faces} and {usage} in {votes}: {advice}")
        if usage == fer2013.USAGES[split] and _is_kept(counts):
            yield _Face(name or fer2013.face_name(number), fer2013.decode_pixels(row, faces), counts)
    if number + 1 != len(labels):
        raise EmotionError(f"{faces} has {number + 1} rows and {votes} has {len(labels)}: {advice}")


def _read_votes(table: Path) -> list[tuple[str, str, NDArray[np.int64]]]:
    """Usage, name of the picture (empty where it shows no face) and votes of every row."""
    rows = []
    for line, (usage, name, *votes) in fer2013.table_rows(table, ("Usage", "Image name", *VOTE_NAMES)):
        rows.append((usage.strip(), name.strip(), _votes(votes, table, line)))
    return rows


def _votes(fields: list[str], table: Path, line: int) -> NDArray[np.int64]:
    """(10,) votes in the order of ``VOTE_NAMES``, votes of 1 set to 0."""
    try:
        if len(fields) != len(VOTE_NAMES):
            raise ValueError
        counts = np.array([int(field) for field in fields], np.int64)
    except ValueError:
        raise EmotionError(
            f"{table}, line {line}: expected {len(VOTE_NAMES)} votes, got {','.join(fields)[:80]!r}"
        ) from None
    return np.where(counts > 1, counts, 0)


def _is_kept(counts: NDArray[np.int64]) -> bool:
    return bool(counts.max() > 0 and counts.argmax() < len(FERPLUS) and counts[: len(FERPLUS)].max() > 0)
