"""A folder with one folder of pictures a class, read face by face from disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceDataset
from emotion_core.errors import EmotionError
from emotion_core.media import pictures
from emotion_core.media.frames import IMAGE_SUFFIXES
from emotion_core.store.files import user_path


class FolderDataset(FaceDataset):
    """Faces in ``root/<class name>/*.{jpg,png,...}``; made by ``load_folder``.

    Attributes:
        root: the folder.
        names: path of each face below ``root``.
        side: faces are resized to this many pixels a side, whatever their shape; None leaves them as they are, and
            then only faces of one size make a batch.
        grey: faces are (S, S) grey instead of (S, S, 3) BGR.
    """

    def __init__(
        self, root: Path, names: tuple[str, ...], targets: NDArray[np.int64], labels: tuple[str, ...],
        side: int | None = None, grey: bool = False,
    ) -> None:  # fmt: skip
        if side is not None and side < 1:
            raise EmotionError(f"expected faces of at least 1 pixel a side, got {side}")
        self.root, self.names, self.labels, self.side, self.grey = root, names, labels, side, grey
        self._targets = targets

    @property
    def targets(self) -> NDArray[np.int64]:
        """(N,) int64, index of each face's class in ``labels``."""
        return self._targets

    def face(self, index: int) -> NDArray[np.uint8]:
        """One face; raises EmotionError with its path when it is missing or damaged."""
        image = read_picture(self.root / self.names[index])
        if self.grey:
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        return image if self.side is None else resize_square(image, self.side)

    def stored(self, index: int) -> bytes:
        """The picture's file, and how it is read: a photo takes far longer to decode than to read."""
        return f"{self.side} {self.grey} ".encode() + read_bytes(self.root / self.names[index])

    def class_counts(self) -> dict[str, int]:
        """Number of faces of every label."""
        counts = np.bincount(self._targets, minlength=len(self.labels))
        return dict(zip(self.labels, counts.tolist(), strict=True))


def load_folder(
    root: str | Path, labels: Sequence[str] | None = None, side: int | None = None, grey: bool = False
) -> FolderDataset:
    """List the pictures of a folder of classes; hidden files and what is no picture are left out.

    Args:
        root: holds one folder a class, named as the class.
        labels: order of the classes; a label may lack its folder or have an empty one, a folder must not lack its
            label. By default the sorted names of the folders, each of which holds a picture.
        side: see ``FolderDataset``.
        grey: see ``FolderDataset``.

    Raises:
        EmotionError: there is no such folder, no class or no picture in it, a folder that is no label, or, without
            ``labels``, one without a picture.
    """
    root = user_path(root)
    classes = class_names(root)
    order = classes if labels is None else tuple(labels)
    if len(set(order)) != len(order):
        raise EmotionError(f"the labels {', '.join(order)} name a class twice")
    names: list[str] = []
    targets: list[int] = []
    for folder in (root / name for name in classes):
        if folder.name not in order:
            raise EmotionError(f"{folder} is not a known class: expected {', '.join(order)}")
        found = sorted(
            f"{folder.name}/{path.name}"
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        )
        if not found and labels is None:
            raise EmotionError(f"the class {folder} holds no image ({' '.join(IMAGE_SUFFIXES)}): add some or remove it")
        names += found
        targets += [order.index(folder.name)] * len(found)
    if not names:
        raise EmotionError(f"{root} holds no image: none of its classes has one ({' '.join(IMAGE_SUFFIXES)})")
    return FolderDataset(root, tuple(names), np.array(targets, np.int64), order, side, grey)


def class_names(root: Path) -> tuple[str, ...]:
    """The sorted names of the folders in a folder of classes; raises EmotionError when there is none."""
    if not root.is_dir():
        raise EmotionError(f"{root} is not a folder: expected one that holds a folder of pictures for each class")
    names = tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if not names:
        raise EmotionError(f"{root} holds no image: expected a folder of pictures for each class in it")
    return names


def read_picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR; raises EmotionError with the path when it is missing or damaged."""
    return pictures.read_picture(path).image


def read_bytes(path: Path) -> bytes:
    """What a file holds; raises EmotionError with the path when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise EmotionError(f"cannot read {path}: {error.strerror}") from None


def resize_square(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(side, side) or (side, side, 3); averages what it shrinks, and distorts what is not square."""
    if image.shape[:2] == (side, side):
        return image
    method = cv2.INTER_AREA if max(image.shape[:2]) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=method), np.uint8)
