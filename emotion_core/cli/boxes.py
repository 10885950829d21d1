"""Boxes of faces that somebody else found: the file of ``emotion infer --boxes``."""

from __future__ import annotations

import csv
from pathlib import Path

from emotion_core.errors import EmotionError
from emotion_core.store.files import user_path
from emotion_core.types import Box, Face

COLUMNS = ("source", "x", "y", "width", "height")


class Boxes:
    """The boxes of each picture, from a CSV file with a header: COLUMNS, in pixels of the picture as it is shown.

    A row without numbers says that nobody is in its picture. Other columns are left alone, except ``frame``, which is 0
    or empty: a picture has one.

    Raises:
        EmotionError: the file cannot be read, lacks a column, or has a row that is no box.
    """

    def __init__(self, path: str) -> None:
        self._path = user_path(path)
        self._faces: dict[str, list[Face]] = {}
        try:
            with self._path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)
                if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                    raise EmotionError(
                        f"--boxes {path}: expected a header with {','.join(COLUMNS)}, and no {missing[0]} is in it"
                    )
                for row in reader:
                    self._add(row, reader.line_num)
        except OSError as error:
            raise EmotionError(f"--boxes {path} cannot be read: {error.strerror or error}") from None
        except (UnicodeDecodeError, csv.Error) as error:
            raise EmotionError(f"--boxes {path}: expected CSV in UTF-8, got something else ({error})") from None

    def of(self, source: str) -> list[Face]:
        """The faces of a picture, told by its name as the command got it, by the path from the file's folder, or by
        its name alone; raises EmotionError where the file does not tell of it."""
        if source in self._faces:
            return self._faces[source]
        here = Path(source).absolute()
        for name, faces in self._faces.items():
            if (self._path.parent / name).absolute() == here:
                return faces
        if here.name in self._faces:
            return self._faces[here.name]
        raise EmotionError(f"{source}: no row of --boxes {self._path} is about it")

    def _add(self, row: dict[str, str], line: int) -> None:
        faces = self._faces.setdefault(row["source"] or "", [])
        numbers = [(row[name] or "").strip() for name in COLUMNS[1:]]
        if (row.get("frame") or "0").strip() not in ("0", ""):
            raise EmotionError(f"--boxes {self._path}, line {line}: expected frame 0 of a picture, got {row['frame']}")
        if not any(numbers):
            return
        try:
            faces.append(Face(Box(*map(float, numbers))))
        except ValueError as error:  # EmotionError of a bad box among them
            raise EmotionError(
                f"--boxes {self._path}, line {line}: expected x,y,width,height in pixels, got {','.join(numbers)} "
                f"({error})"
            ) from None
