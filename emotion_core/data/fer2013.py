"""FER2013: 35,887 grey faces of 48 x 48 pixels with one of seven labels each.

    Goodfellow et al.: Challenges in Representation Learning: A report on three machine learning contests.
    ICONIP 2013. https://arxiv.org/abs/1307.0414

Reads ``fer2013.csv``, or ``icml_face_data.csv`` as Kaggle calls it later, with the columns ``emotion`` (0 to 6 in
FER2013 order), ``pixels`` (2,304 numbers in [0, 255], separated by spaces) and ``Usage``, in any order; or, without
``Usage``, ``train.csv``, ``val.csv`` and ``test.csv``, as the Residual Masking Network's authors split it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceSet
from emotion_core.errors import EmotionError
from emotion_core.labels import FER2013
from emotion_core.store.files import user_path

FILE = "fer2013.csv"
WHOLE_FILES = (FILE, "icml_face_data.csv")
SPLIT_FILES = {"train": "train.csv", "valid": "val.csv", "test": "test.csv"}
USAGES = {"train": "Training", "valid": "PublicTest", "test": "PrivateTest"}
SIDE_PX = 48
_STEM = "fer"
_VALUES = {str(value): value for value in range(256)}  # looking a number up is faster than int()


class CsvRow(NamedTuple):
    """One face of fer2013.csv, not yet decoded; ``line`` counts from 1."""

    line: int
    emotion: str
    pixels: str
    usage: str


def load_fer2013(root_or_csv: str | Path, split: str) -> FaceSet:
    """Read one split.

    Args:
        root_or_csv: one of WHOLE_FILES, or the folder that holds one of them or SPLIT_FILES.
        split: 'train' (Training), 'valid' (PublicTest) or 'test' (PrivateTest).

    Returns:
        (N, 48, 48) grey faces; the distributions are one-hot over the seven labels of ``labels.FER2013``; a name is
        ``fer`` and the number of the row, or of a file that holds one split ``train``, ``val`` or ``test`` and that.

    Raises:
        EmotionError: the file is missing or malformed, or has no face of the split.
    """
    if split not in USAGES:
        raise EmotionError(f"unknown FER2013 split {split!r}: use one of {', '.join(USAGES)}")
    table, stem = _table(user_path(root_or_csv), split)
    faces, classes, names = [], [], []
    for number, row in enumerate(csv_rows(table) if stem == _STEM else _split_rows(table, split)):
        if row.usage != USAGES[split]:
            continue
        if row.emotion not in map(str, range(len(FER2013))):
            raise EmotionError(f"{table}, line {row.line}: expected an emotion of 0 to 6, got {row.emotion[:40]!r}")
        faces.append(decode_pixels(row, table))
        classes.append(int(row.emotion))
        names.append(face_name(number, stem))
    if not faces:
        raise EmotionError(f"{table} holds no face with Usage {USAGES[split]}")
    majority = np.array(classes, np.int64)
    return FaceSet(np.stack(faces), np.eye(len(FER2013), dtype=np.float32)[majority], majority, tuple(names), FER2013)


def _table(path: Path, split: str) -> tuple[Path, str]:
    """The file that holds a split, and what its faces' names begin with."""
    if not path.is_dir():
        return path, _STEM
    names = (*WHOLE_FILES, SPLIT_FILES[split])
    for name in names:
        if (path / name).is_file():
            return path / name, _STEM if name in WHOLE_FILES else Path(name).stem
    raise EmotionError(f"no FER2013 data: {path} holds none of {', '.join(names)}")


def csv_rows(table: Path) -> Iterator[CsvRow]:
    """All rows of fer2013.csv; raises EmotionError as ``table_rows``, and for an unknown Usage."""
    for line, (emotion, pixels, usage) in table_rows(table, ("emotion", "pixels", "Usage")):
        row = CsvRow(line, emotion.strip(), pixels, usage.strip())
        if row.usage not in USAGES.values():
            known = ", ".join(USAGES.values())
            raise EmotionError(f"{table}, line {line}: expected a Usage of {known}, got {row.usage[:40]!r}")
        yield row


def _split_rows(table: Path, split: str) -> Iterator[CsvRow]:
    """All rows of a file that holds one split."""
    for line, (emotion, pixels) in table_rows(table, ("emotion", "pixels")):
        yield CsvRow(line, emotion.strip(), pixels, USAGES[split])


def table_rows(table: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Line, counted from 1, and the named columns of every row of a table with a header.

    Raises:
        EmotionError: the file, one of the columns or a field is missing, or it is no CSV file.
    """
    if not table.is_file():
        raise EmotionError(f"no FER2013 data: {table} is missing (expected columns {','.join(columns)})")
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in columns if name not in header]
            if missing:
                raise EmotionError(f"{table} has no column {', '.join(missing)}: expected {','.join(columns)}")
            wanted = [header.index(name) for name in columns]
            for row in reader:
                if row and len(row) != len(header):
                    raise EmotionError(
                        f"{table}, line {reader.line_num}: expected {len(header)} fields, got {len(row)}"
                    )
                if row:
                    yield reader.line_num, [row[i] for i in wanted]
        except (csv.Error, UnicodeDecodeError) as error:
            raise EmotionError(f"{table}, line {reader.line_num + 1}: not a CSV file ({error})") from None


def decode_pixels(row: CsvRow, table: Path) -> NDArray[np.uint8]:
    """(48, 48) uint8; raises EmotionError unless there are 2,304 whole numbers in [0, 255]."""
    try:
        pixels = np.frombuffer(bytes(map(_VALUES.__getitem__, row.pixels.split())), np.uint8)
    except KeyError:
        raise EmotionError(f"{table}, line {row.line}: expected pixels of 0 to 255, separated by spaces") from None
    if pixels.size != SIDE_PX**2:
        raise EmotionError(f"{table}, line {row.line}: expected {SIDE_PX**2} pixels, got {pixels.size}")
    return pixels.reshape(SIDE_PX, SIDE_PX)


def face_name(number: int, stem: str = _STEM) -> str:
    """What FER+ calls the picture of a row, counted from 0."""
    return f"{stem}{number:07d}.png"
