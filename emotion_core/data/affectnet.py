"""AffectNet: a million faces from the web, with an emotion each and with valence and arousal.

    Mollahosseini, Hasani, Mahoor: AffectNet: A Database for Facial Expression, Valence, and Arousal Computing in the
    Wild. IEEE Transactions on Affective Computing 10 (2019). https://arxiv.org/abs/1708.03985

Reads what ``emotion_core.data.affectnet_prepare`` wrote: 96 x 96 pictures, 500 a folder, named as the authors of the
ESR networks name them: id, label, 1000 x valence and 1000 x arousal (``0000000s7s-653s653.jpg``).
"""

from __future__ import annotations

import copy
import os
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceDataset
from emotion_core.data.folder import read_bytes, read_picture
from emotion_core.data.subset import QUADRANTS, balanced_indices, quadrants
from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET
from emotion_core.store.files import user_path

FOLDERS = ("Training_Unlabeled", "Training_Labeled", "Validation")
"""Where each set lies, by its index: 0 unlabelled (automatically annotated), 1 training, 2 validation."""

SIDE_PX = 96
NAME_PATTERN = re.compile(r"(\d{7,})s([0-7])s(-?\d+)s(-?\d+)\.jpg")

_Prepared = TypeVar("_Prepared", bound="PreparedAffectNet")


def set_folder(set_index: int) -> str:
    """Where a set lies, by its index; raises EmotionError for another one."""
    if set_index not in range(len(FOLDERS)):
        raise EmotionError(f"unknown AffectNet set {set_index!r}: use 0 unlabelled, 1 training or 2 validation")
    return FOLDERS[set_index]


def numbered_folders(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The numbered folders of a set in their order, each with the sorted names of its files."""
    for name in sorted(
        (entry.name for entry in os.scandir(folder) if entry.name.isdecimal() and entry.is_dir()), key=int
    ):
        yield name, sorted(entry.name for entry in os.scandir(folder / name))


class PreparedAffectNet(FaceDataset):
    """The prepared faces of one set, listed once and read from disk one by one; base of the two datasets.

    Args:
        idx_set: 0 unlabelled (with its automatic annotations), 1 training, 2 validation.
        max_loaded_images_per_label: use a balanced subset of up to so many faces of each class, in random order;
            None uses all faces in the order of their ids.
        transforms: applied to each face, (3, 96, 96) float32 BGR in [0, 1], when an item is read.
        is_norm_by_mean_std: must be False: the ESR networks take faces in [0, 1] as they are.
        base_path_to_affectnet: the folder that ``prepare_affectnet`` wrote into.
        seed: decides the balanced subset.

    Attributes:
        names: path of each face below the folder of the set.
        skipped: files in the set's folders that are not named as a prepared face.

    Raises:
        EmotionError: an unknown set, normalisation is asked for, or there is no prepared face.
    """

    def __init__(
        self,
        idx_set: int,
        max_loaded_images_per_label: int | None = None,
        transforms: Callable[[NDArray[np.float32]], Any] | None = None,
        is_norm_by_mean_std: bool = False,
        base_path_to_affectnet: str | Path = "./data/AffectNet",
        *,
        seed: int = 0,
    ) -> None:
        if is_norm_by_mean_std:
            raise EmotionError(
                "expected is_norm_by_mean_std=False: the published networks take unnormalised faces in [0, 1]; "
                "normalise in transforms if yours needs it"
            )
        self.labels = AFFECTNET
        self.folder = user_path(base_path_to_affectnet) / set_folder(idx_set)
        self.transforms, self.max_loaded_images_per_label = transforms, max_loaded_images_per_label
        self._all_names, self._classes, self._affect, self.skipped = self._list()
        if not self._all_names:
            raise EmotionError(
                f"{self.folder} holds no prepared AffectNet face: run `emotion prepare affectnet` first, also for the "
                "release with train_set/images and train_set/annotations"
            )
        self._draw(seed)

    def _list(self) -> tuple[list[str], NDArray[np.int64], NDArray[np.float32], int]:
        names, values, skipped = [], [], 0
        for name, files in numbered_folders(self.folder) if self.folder.is_dir() else ():
            for file in files:
                match = NAME_PATTERN.fullmatch(file)
                fields = [int(group) for group in match.groups()[1:]] if match else None
                if fields is None or max(map(abs, fields[1:])) > 1000:
                    skipped += 1
                    continue
                names.append(f"{name}/{file}")
                values.append(fields)
        table = np.array(values, np.int64).reshape(-1, 3)
        return names, table[:, 0], (table[:, 1:] / 1000).astype(np.float32), skipped

    @property
    @abstractmethod
    def _all_targets(self) -> NDArray[Any]:
        """Targets of all listed faces."""

    def _draw(self, seed: int) -> None:
        targets, most = self._all_targets, self.max_loaded_images_per_label
        indices = np.arange(len(targets))
        if most is not None:
            indices = balanced_indices(targets, most, np.random.default_rng(seed))
        self._targets = targets[indices]
        self.names = tuple(self._all_names[i] for i in indices)

    def resample(self: _Prepared, seed: int) -> _Prepared:
        """The same set with a fresh balanced subset; equal to this one when there is no limit a class."""
        other = copy.copy(self)
        other._draw(seed)
        return other

    @property
    def targets(self) -> NDArray[Any]:
        """(N,) int64 classes or (N, 2) float32 valence and arousal."""
        return self._targets

    def face(self, index: int) -> NDArray[np.uint8]:
        """(96, 96, 3) uint8 BGR; raises EmotionError with the path when it is missing, damaged or of another size."""
        path = self.folder / self.names[index]
        image = read_picture(path)
        height, width = image.shape[:2]
        if (height, width) != (SIDE_PX, SIDE_PX):
            raise EmotionError(f"{path}: expected a {SIDE_PX}x{SIDE_PX} face, found {width}x{height}: prepare it again")
        return image

    def stored(self, index: int) -> bytes:
        """The face's file."""
        return read_bytes(self.folder / self.names[index])

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The transformed face and its target; IndexError past the end."""
        face, target = super().__getitem__(index)
        return (face if self.transforms is None else self.transforms(face)), target


class AffectNetCategorical(PreparedAffectNet):
    """AffectNet with one of eight emotions a face; for the arguments see ``PreparedAffectNet``."""

    @property
    def _all_targets(self) -> NDArray[np.int64]:
        return self._classes

    def class_counts(self) -> dict[str, int]:
        """Number of faces of every label."""
        counts = np.bincount(self._targets, minlength=len(self.labels))
        return dict(zip(self.labels, counts.tolist(), strict=True))


class AffectNetDimensional(PreparedAffectNet):
    """AffectNet with valence and arousal; its classes are the quadrants of their plane.

    For the arguments see ``PreparedAffectNet``: ``max_loaded_images_per_label`` counts the faces of a quadrant.
    """

    @property
    def _all_targets(self) -> NDArray[np.float32]:
        return self._affect

    def class_counts(self) -> dict[str, int]:
        """Number of faces in every quadrant of the valence-arousal plane."""
        counts = np.bincount(quadrants(self._targets), minlength=len(QUADRANTS))
        return dict(zip(QUADRANTS, counts.tolist(), strict=True))
