"""FER+ in five parts, each tested by networks that learned from the other four: a yardstick that nothing was chosen by.

Training and PublicTest are parted together, in the order of FER2013. A fifth of PublicTest shows a photo that Training
shows, too; faces of one photo stay in one fold, see ``training.near_duplicates``. The folds are a table in this
package, so that figures of different days can be compared; ``benchmarks/ferplus_folds.py`` made it.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.ferplus import FerPlus, load_ferplus
from emotion_core.errors import EmotionError

COUNT = 5
TABLE = "ferplus_folds.txt"
"""A digit for each row of fer2013.csv, the fold of its face; a letter, a for 1, where a face of PublicTest shows a
photo that Training shows, too; '-' where the face has no label."""
_LETTERS = str.maketrans("abcde", "12345")
_STEM, _SUFFIX = "fer", ".png"


def load_all(root: str | Path) -> tuple[FerPlus, NDArray[np.int64]]:
    """The faces of Training and PublicTest, and the fold of each, counted from 1.

    Raises:
        EmotionError: see ``load_ferplus``; or a face has a name that the table does not know.
    """
    faces = load_ferplus(root, "train").joined(load_ferplus(root, "valid"))
    folds = "".join(_entries(faces, root)).translate(_LETTERS)
    return faces, np.array(list(folds), np.int64)


def load_fresh(root: str | Path) -> FerPlus:
    """The faces of PublicTest whose photos Training does not show: for a network that learned from Training.

    Raises:
        EmotionError: see ``load_all``.
    """
    faces = load_ferplus(root, "valid")
    return faces.taken(np.flatnonzero([entry.isdecimal() for entry in _entries(faces, root)]))


def load_fold(root: str | Path, fold: int) -> tuple[FerPlus, FerPlus]:
    """The faces to learn from, and those of one fold, counted from 1; raises EmotionError, see ``load_all``."""
    if not 1 <= fold <= COUNT:
        raise EmotionError(f"FER+ has folds 1 to {COUNT}, got {fold}")
    faces, folds = load_all(root)
    return faces.taken(np.flatnonzero(folds != fold)), faces.taken(np.flatnonzero(folds == fold))


def _entries(faces: FerPlus, root: str | Path) -> list[str]:
    """What the table has for each face."""
    table, entries = read_table(), []
    for name in faces.names:
        number = name.removeprefix(_STEM).removesuffix(_SUFFIX)
        entry = table[int(number)] if number.isdecimal() and int(number) < len(table) else "-"
        if entry == "-":
            raise EmotionError(f"{root}: no fold is known of the face {name!r}, expected a name such as fer0000000.png")
        entries.append(entry)
    return entries


def read_table() -> str:
    """The fold of each row of fer2013.csv, without the lines that tell about the table."""
    lines = files("emotion_core.data").joinpath(TABLE).read_text().splitlines()
    return "".join(line for line in lines if not line.startswith("#"))


def write_table(path: str | Path, names: tuple[str, ...], folds: NDArray[np.int64], shared: NDArray[np.bool_]) -> None:
    """Write such a table of faces with these names and folds, counted from 1; of ``shared`` ones letters."""
    numbers = [int(name.removeprefix(_STEM).removesuffix(_SUFFIX)) for name in names]
    row = np.full(max(numbers) + 1, "-")
    row[numbers] = np.where(shared, np.array(list("abcde"))[folds - 1], folds.astype(str))
    text = "".join(row)
    lines = [text[start : start + 100] for start in range(0, len(text), 100)]
    Path(path).write_text("\n".join(["# Folds of FER+, see ferplus_folds.py", *lines, ""]))
