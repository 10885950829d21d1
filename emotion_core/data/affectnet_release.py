"""AffectNet as it is handed out today: faces that are cut out already, and annotations in NumPy's files.

``train_set`` and ``val_set`` each hold ``images/N.jpg``, about 224 x 224, and ``annotations/N_exp.npy``, ``N_val.npy``,
``N_aro.npy`` and ``N_lnd.npy``: one number each as text or number, and the landmarks, which nobody reads here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from emotion_core.errors import EmotionError

SETS = ("", "train_set", "val_set")
"""Folders by the index of the set; the unlabelled one is not handed out."""

_EXPRESSION = re.compile(r"(\d+)_exp\.npy")


def find_release(path: Path, set_index: int, name: str) -> Path | None:
    """Where ``name``, 'images' or 'annotations', lies below a folder of the release; None where it does not.

    Args:
        path: the folder itself, that of the set, or the one that holds both sets.
    """
    inside = [path / SETS[set_index] / name] if SETS[set_index] else []
    for folder in (path, path / name, *inside):
        if folder.name == name and folder.is_dir():
            return folder
    return None


def is_release(annotations: Path | None) -> bool:
    """Whether a folder holds annotations of the release."""
    if annotations is None:
        return False
    with os.scandir(annotations) as entries:
        return any(_EXPRESSION.fullmatch(entry.name) for entry in entries)


def release_rows(annotations: Path) -> Iterator[tuple[int, tuple[float, float, float] | None]]:
    """The number of each picture, in order, with expression, valence and arousal; None where a file is malformed.

    Raises:
        EmotionError: the folder cannot be read.
    """
    try:
        numbers = sorted(
            int(found[1]) for entry in os.scandir(annotations) if (found := _EXPRESSION.fullmatch(entry.name))
        )
    except OSError as error:
        raise EmotionError(f"{annotations} cannot be read: {error.strerror or error}") from None
    for number in numbers:
        values = [_number(annotations / f"{number}_{kind}.npy") for kind in ("exp", "val", "aro")]
        expression, valence, arousal = values
        if expression is None or valence is None or arousal is None:
            yield number, None
        else:
            yield number, (expression, valence, arousal)


def _number(path: Path) -> float | None:
    """The one number in a file; None where there is another thing, or nothing."""
    try:
        found = np.load(path, allow_pickle=False)
        return float(found.reshape(())) if found.size == 1 else None
    except (OSError, ValueError, EOFError):
        return None
