"""RAF-DB, its basic part: faces from the web with one of seven emotions each, by some forty annotators a face.

    Li, Deng, Du: Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the Wild.
    CVPR 2017. http://www.whdeng.cn/RAF/model1.html

Reads ``EmoLabel/list_patition_label.txt``, whose lines are ``train_00001.jpg 5``, and the aligned faces beside it,
``Image/aligned/train_00001_aligned.jpg``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emotion_core.data.folder import FolderDataset
from emotion_core.data.lines import numbered_lines
from emotion_core.errors import EmotionError
from emotion_core.store.files import user_path

LABELS = ("surprise", "fear", "disgust", "happy", "sad", "anger", "neutral")
"""In the order of the list, which counts from 1."""

TABLE, FACES = Path("EmoLabel/list_patition_label.txt"), Path("Image/aligned")
SIDE_PX = 100
SPLITS = {"train": "train but for every tenth face", "valid": "every tenth face of train", "test": "test"}
_EACH = 10


def load_rafdb(root: str | Path, split: str) -> FolderDataset:
    """List one split.

    The publishers part the faces in train and test only: what is validated on is every tenth face of train, and is not
    learned from.

    Args:
        root: the folder ``basic``, or the one that holds it.
        split: one of SPLITS.

    Returns:
        (100, 100, 3) BGR faces, read from disk one by one.

    Raises:
        EmotionError: a file is missing, a line of the list malformed, or there is no face of the split.
    """
    root = user_path(root)
    if split not in SPLITS:
        raise EmotionError(f"unknown RAF-DB split {split!r}: use one of {', '.join(SPLITS)}")
    root = root / "basic" if (root / "basic").is_dir() else root
    table, faces = root / TABLE, root / FACES
    for path in (table, faces):
        if not path.exists():
            raise EmotionError(f"no RAF-DB data: {path} is missing (expected {TABLE} and {FACES} in {root})")
    found = {"train": 0, "test": 0}
    names: list[str] = []
    targets: list[int] = []
    for number, line in numbered_lines(table):
        name, label = _parse(line, f"{table}, line {number}")
        part = name.split("_")[0]
        found[part] += 1
        is_valid = part == "train" and found[part] % _EACH == 0
        if split == ("valid" if is_valid else part):
            names.append(name.replace(".jpg", "_aligned.jpg"))
            targets.append(label)
    if not names:
        raise EmotionError(f"{table} lists no face of the split {split}")
    return FolderDataset(faces, tuple(names), np.array(targets, np.int64), LABELS, SIDE_PX)


def _parse(line: str, where: str) -> tuple[str, int]:
    """Name and class of a line."""
    name, _, label = line.strip().partition(" ")
    known = name.startswith(("train_", "test_")) and name.endswith(".jpg") and "/" not in name
    if not known or label.strip() not in map(str, range(1, len(LABELS) + 1)):
        raise EmotionError(
            f"{where}: expected a name and a class of 1 to {len(LABELS)} such as 'train_00001.jpg 5', got {line[:60]!r}"
        )
    return name, int(label) - 1
