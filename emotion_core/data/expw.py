"""ExpW: 91,793 faces in photos from the web, with their boxes and one of seven emotions each.

    Zhang, Luo, Loy, Tang: From Facial Expression Recognition to Interpersonal Relation Prediction. International
    Journal of Computer Vision 126 (2018). http://mmlab.ie.cuhk.edu.hk/projects/socialrelation/index.html

Reads ``label/label.lst`` (or ``label.lst``), whose lines are the name of the photo, the number of the face in it, its
box as top, left, right and bottom in pixels, the detector's confidence, and the class; and the photos in
``image/origin`` (or ``origin``).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceDataset
from emotion_core.data.folder import read_bytes
from emotion_core.data.lines import numbered_lines
from emotion_core.errors import EmotionError
from emotion_core.media.pictures import read_picture
from emotion_core.store.files import user_path
from emotion_core.types import Box, Face
from emotion_core.vision.crop import crop_face

LABELS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""In the order of the list, which counts from 0."""

SPLITS = {"train": "8 of 10 photos, by their names", "valid": "1 of 10 photos", "test": "1 of 10 photos"}
SIDE_PX = 96
_LISTS, _PHOTOS = ("label/label.lst", "label.lst"), ("image/origin", "origin")
_FIELDS = "name face top left right bottom confidence class"


class Listed(NamedTuple):
    """A line of the list: the photo's name, the face's box in its pixels, and its class."""

    name: str
    box: Box
    label: int


class ExpW(FaceDataset):
    """The faces of one split, cut out of the photos as they are read; made by ``load_expw``.

    Attributes:
        folder: of the photos.
        faces: what the list says of each.
    """

    labels = LABELS

    def __init__(self, folder: Path, faces: Sequence[Listed]) -> None:
        self.folder, self.faces = folder, tuple(faces)
        self._targets = np.array([face.label for face in faces], np.int64)

    @property
    def targets(self) -> NDArray[np.int64]:
        """(N,) int64, index of each face's class in ``labels``."""
        return self._targets

    def face(self, index: int) -> NDArray[np.uint8]:
        """(96, 96, 3) uint8 BGR: a square around the box's middle, as large as the box; raises EmotionError with the
        path when the photo cannot be read."""
        listed = self.faces[index]
        stored = read_picture(self.folder / listed.name)
        return crop_face(stored.image, Face(listed.box.scaled(1 / stored.scale)), SIDE_PX, 1.0)

    def stored(self, index: int) -> bytes:
        """The photo's file, and where the face is in it."""
        listed = self.faces[index]
        return f"{listed.box} {SIDE_PX} ".encode() + read_bytes(self.folder / listed.name)


def load_expw(root: str | Path, split: str) -> ExpW:
    """List one split.

    The publishers part nothing. Here the names of the photos do, by their checksums: all faces of a photo are in one
    split, which stays the same when other photos are missing.

    Args:
        root: the folder that holds the list and the photos, see the module.
        split: one of SPLITS.

    Raises:
        EmotionError: a file is missing, a line of the list malformed, or there is no face of the split.
    """
    root = user_path(root)
    if split not in SPLITS:
        raise EmotionError(f"unknown ExpW split {split!r}: use one of {', '.join(SPLITS)}")
    table, photos = (_first(root, names) for names in (_LISTS, _PHOTOS))
    faces = [_parse(line, f"{table}, line {number}") for number, line in numbered_lines(table)]
    chosen = [face for face in faces if split_of(face.name) == split]
    if not chosen:
        raise EmotionError(f"{table} lists {len(faces)} faces and none of the split {split}")
    return ExpW(photos, chosen)


def split_of(name: str) -> str:
    """The split of a photo, by its name."""
    return {0: "test", 1: "valid"}.get(zlib.crc32(name.encode()) % 10, "train")


def _first(root: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (root / name).exists():
            return root / name
    raise EmotionError(f"no ExpW data: expected {' or '.join(names)} in {root}")


def _parse(line: str, where: str) -> Listed:
    fields = line.split()
    try:
        name, _, *numbers, label = fields
        top, left, right, bottom, confidence = map(float, numbers)
        if not math.isfinite(confidence) or "/" in name:
            raise ValueError("no confidence")
        return Listed(name, Box(left, top, right - left, bottom - top), _class(label))
    except (ValueError, IndexError):  # a BadValue of the box is a ValueError, too
        raise EmotionError(
            f"{where}: expected {_FIELDS!r} with a class of 0 to {len(LABELS) - 1}, got {line[:80]!r}"
        ) from None


def _class(text: str) -> int:
    if text not in map(str, range(len(LABELS))):
        raise ValueError(text)
    return int(text)
