"""What AffectNet says of its pictures: the rows of its tables, or the files of the release without tables."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from emotion_core.data.affectnet_release import release_rows
from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET

COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip
"""The columns of AffectNet's tables; a table without a header has them in this order."""

IMAGES = (".jpg", ".jpeg", ".png")
"""Suffixes of pictures of the release."""

NOT_AN_EMOTION, NO_AFFECT = "not an emotion", "no valence/arousal"
OUTSIDE, UNREADABLE, MISSING = "box outside the image", "unreadable image", "missing image"
MALFORMED = "malformed row"
REASONS = (NOT_AN_EMOTION, NO_AFFECT, OUTSIDE, UNREADABLE, MISSING, MALFORMED)
_NO_EMOTIONS = range(len(AFFECTNET), 11)  # none, uncertain, no face
_EXAMPLES = 5
Bounds: TypeAlias = "tuple[float, float, float, float]"
_NAME = "%07ds%ds%ds%d.jpg"


class Row(NamedTuple):
    """A usable row: its number, its picture, the box in pixels (None for all of it), the label, and affect in
    thousandths."""

    number: int
    file: str
    box: Bounds | None
    label: int
    valence: int
    arousal: int

    @property
    def name(self) -> str:
        """Of the face's file."""
        return _NAME % (self.number, self.label, self.valence, self.arousal)


class Skips:
    """Rows without a face, counted by reason, with some examples of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, reason: str, number: int, what: str) -> None:
        """Count one; ``what`` is shown."""
        self.counts[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            readable = what[:120].encode(errors="replace").decode()
            examples.append(f"row {number}: {readable}")


def read_release(annotations: Path, images: Path, skips: Skips) -> tuple[list[Row], int]:
    """As ``read_table``, of the release without tables."""
    rows, total = [], 0
    suffixes = {name.stem: name.suffix for name in images.iterdir() if name.suffix.lower() in IMAGES}
    for number, values in release_rows(annotations):
        total += 1
        file = f"{number}{suffixes.get(str(number), '.jpg')}"
        row = MALFORMED if values is None else _checked(number, file, None, *values)
        if isinstance(row, str):
            skips.add(row, number, file)
        else:
            rows.append(row)
    return rows, total


def read_table(table: Path, skips: Skips) -> tuple[list[Row], int]:
    """The rows that name a face, and the number of all rows."""
    if not table.is_file():
        raise EmotionError(f"no AffectNet annotations: {table} is missing")
    rows, number = [], -1
    with table.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.reader(file)
        try:
            first = next(reader, None)
            if first is None:
                raise EmotionError(f"{table} is empty: expected columns {','.join(COLUMNS)}")
            columns = _columns(first, table)
            lines = reader if columns is not None else chain([first], reader)
            where = columns or {name: i for i, name in enumerate(COLUMNS)}
            for number, line in enumerate(line for line in lines if line):
                row = _parse(line, where, number)
                if isinstance(row, str):
                    skips.add(row, number, ",".join(line))
                else:
                    rows.append(row)
        except csv.Error as error:
            raise EmotionError(f"{table}, line {reader.line_num}: not a CSV file ({error})") from None
    return rows, number + 1


def _columns(first: list[str], table: Path) -> dict[str, int] | None:
    """Where the columns are according to a header, or None when the first line is a row already."""
    names = [name.strip() for name in first]
    is_row = len(names) >= len(COLUMNS) and any(map(_is_number, (*names[1:5], *names[6:9])))
    if is_row and not set(names) & set(COLUMNS):
        return None
    missing = [name for name in COLUMNS if name not in names and name != "facial_landmarks"]
    if missing:
        raise EmotionError(f"{table} has no column {', '.join(missing)}: expected {','.join(COLUMNS)}")
    return {name: names.index(name) for name in COLUMNS if name in names}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse(line: list[str], where: dict[str, int], number: int) -> Row | str:
    """The row, or why it has no face."""
    try:
        expression = float(line[where["expression"]])
        if expression in _NO_EMOTIONS:  # such rows have nothing else
            return NOT_AN_EMOTION
        valence, arousal = (float(line[where[name]]) for name in ("valence", "arousal"))
        if valence <= -2 or arousal <= -2:
            return NO_AFFECT
        x, y, width, height = (float(line[where[name]]) for name in COLUMNS[1:5])
        file = line[where[COLUMNS[0]]].strip()
    except (ValueError, IndexError):
        return MALFORMED
    return _checked(number, file, (x, y, width, height), expression, valence, arousal)


def _checked(
    number: int, file: str, box: Bounds | None, expression: float, valence: float, arousal: float
) -> Row | str:
    """The row of what was read, or why it has no face."""
    if expression in _NO_EMOTIONS:
        return NOT_AN_EMOTION
    if expression not in range(len(AFFECTNET)):
        return MALFORMED
    if valence <= -2 or arousal <= -2:
        return NO_AFFECT
    if not (file and abs(valence) <= 1 and abs(arousal) <= 1):
        return MALFORMED
    if box is not None and not (np.isfinite(box).all() and box[2] > 0 and box[3] > 0):
        return MALFORMED
    return Row(number, file, box, int(expression), round(1000 * valence), round(1000 * arousal))
