"""ImageNet, for networks that start from it: a folder of pictures for each of 1,000 classes.

    Russakovsky et al.: ImageNet Large Scale Visual Recognition Challenge. IJCV 2015. https://arxiv.org/abs/1409.0575

``root/train/n01440764/*.JPEG`` and ``root/val/n01440764/*.JPEG``, as torchvision reads it; the classes are the names of
the folders. An epoch sees another part of every picture; validation sees its middle.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.folder import FolderDataset, class_names, load_folder, read_picture, resize_square
from emotion_core.errors import EmotionError
from emotion_core.store.files import user_path

FOLDERS = {"train": "train", "valid": "val"}
SIDE_PX = 224
_MIDDLE = 224 / 256  # of the shorter side, which validation sees
_AREA, _RATIO = (0.08, 1.0), 4 / 3  # of the part that an epoch sees, as in Szegedy et al. (CVPR 2015)
_TRIES = 10


class ImageNet(FolderDataset):
    """Pictures of ``side`` pixels; made by ``load_imagenet``."""

    def face(self, index: int) -> NDArray[np.uint8]:
        """The middle of a picture, (side, side, 3) BGR; raises EmotionError when it is missing or damaged."""
        image = self._picture(index)
        return self._cut(image, *_middle(image.shape[:2]))

    def view(self, index: int, seed: int) -> NDArray[np.uint8]:
        """Some part of a picture, (side, side, 3) BGR, by the seed: 8 to 100 % of its area, 3:4 to 4:3."""
        image = self._picture(index)
        return self._cut(image, *_part(image.shape[:2], np.random.default_rng([seed, index])))

    def stored(self, index: int) -> bytes:
        """Name and size of the file: to read all of them would take hours."""
        path = self.root / self.names[index]
        try:
            return f"{self.names[index]} {path.stat().st_size}".encode()
        except OSError as error:
            raise EmotionError(f"cannot read {path}: {error.strerror}") from None

    def _picture(self, index: int) -> NDArray[np.uint8]:
        return read_picture(self.root / self.names[index])

    def _cut(self, image: NDArray[np.uint8], top: int, left: int, height: int, width: int) -> NDArray[np.uint8]:
        return resize_square(image[top : top + height, left : left + width], self.side or SIDE_PX)


def load_imagenet(root: str | Path, split: str, side: int = SIDE_PX) -> ImageNet:
    """List the pictures of a split.

    Args:
        root: holds the folders train and val.
        split: 'train' or 'valid'.
        side: of the pictures, in pixels.

    Raises:
        EmotionError: there is no such folder or picture, val has a class that train has not, or its pictures are not
            sorted into classes.
    """
    if split not in FOLDERS:
        raise EmotionError(f"unknown ImageNet split {split!r}: use one of {', '.join(FOLDERS)}")
    folder = user_path(root) / FOLDERS[split]
    if folder.is_dir() and not any(path.is_dir() for path in folder.iterdir()):
        raise EmotionError(f"{folder} holds no folders of classes: sort its pictures into them first, as in train")
    train = user_path(root) / FOLDERS["train"]
    found = load_folder(folder, class_names(train) if train.is_dir() else None)
    return ImageNet(found.root, found.names, found.targets, found.labels, side)


def _middle(shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, left, height and width of the square in the middle."""
    side = max(1, round(min(shape) * _MIDDLE))
    return (shape[0] - side) // 2, (shape[1] - side) // 2, side, side


def _part(shape: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random part; the middle where none fits after a few tries."""
    for _ in range(_TRIES):
        area = shape[0] * shape[1] * rng.uniform(*_AREA)
        ratio = math.exp(rng.uniform(-math.log(_RATIO), math.log(_RATIO)))
        height, width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < height <= shape[0] and 0 < width <= shape[1]:
            top, left = rng.integers(0, shape[0] - height + 1), rng.integers(0, shape[1] - width + 1)
            return int(top), int(left), height, width
    return _middle(shape)
