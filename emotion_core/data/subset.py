"""Parts of a dataset: a view by indices, and subsets with as many faces of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceDataset
from emotion_core.errors import EmotionError

QUADRANTS = (
    "valence >= 0, arousal >= 0",
    "valence < 0, arousal >= 0",
    "valence < 0, arousal < 0",
    "valence >= 0, arousal < 0",
)
"""The quadrants of the valence-arousal plane, counted against the clock; zero counts as positive."""


class Subset(FaceDataset):
    """Some faces of another dataset, which is neither copied nor changed.

    Args:
        dataset: where the faces come from.
        indices: (M,) integers in [0, len(dataset)), in the order of the view; an index may come twice.

    Raises:
        EmotionError: an index is no whole number or lies outside the dataset.
    """

    def __init__(self, dataset: FaceDataset, indices: Sequence[int] | NDArray[np.integer[Any]]) -> None:
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or (len(chosen) and not np.issubdtype(chosen.dtype, np.integer)):
            raise EmotionError(f"a subset needs a list of whole numbers, got {chosen.dtype} of shape {chosen.shape}")
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(dataset):
            raise EmotionError(
                f"a subset of {len(dataset)} faces needs indices in 0..{len(dataset) - 1}, "
                f"got {chosen.min()}..{chosen.max()}"
            )
        self.dataset, self.indices = dataset, chosen.astype(np.int64)
        self.labels = dataset.labels
        self._targets = dataset.targets[self.indices]

    @property
    def targets(self) -> NDArray[Any]:
        """(M,) int64 or (M, 2) float32, those of the chosen faces."""
        return self._targets

    def face(self, index: int) -> NDArray[np.uint8]:
        """The face as the dataset stores it."""
        return self.dataset.face(int(self.indices[index]))

    def stored(self, index: int) -> bytes:
        """As the dataset has it."""
        return self.dataset.stored(int(self.indices[index]))

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], Any]:
        """The item as the dataset gives it, with its transforms; IndexError past the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"face {index} of {len(self)}")
        return self.dataset[int(self.indices[index])]


def quadrants(affect: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Index into ``QUADRANTS`` for (N, 2) valence and arousal; (N,) int64."""
    valence, arousal = affect[:, 0] < 0, affect[:, 1] < 0
    return np.where(arousal, np.where(valence, 2, 3), np.where(valence, 1, 0)).astype(np.int64)


def balanced_indices(targets: NDArray[Any], per_class: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw up to ``per_class`` faces of every class without repetition, and shuffle them together.

    Args:
        targets: (N,) integer classes, or (N, 2) float valence and arousal, whose classes are the quadrants.
        per_class: most faces of one class; a class with fewer gives all it has.
        rng: decides which faces, and their order.

    Returns:
        (M,) int64 indices.

    Raises:
        EmotionError: targets of another shape or kind, or ``per_class`` below 1.
    """
    if per_class < 1:
        raise EmotionError(f"a balanced subset needs at least 1 face a class, got {per_class}")
    if targets.ndim == 2 and targets.shape[1] == 2:
        targets = quadrants(targets)
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise EmotionError(
            f"expected (N,) integer classes or (N, 2) valence and arousal, got {targets.dtype} of shape {targets.shape}"
        )
    drawn = [rng.permutation(np.flatnonzero(targets == c))[:per_class] for c in np.unique(targets)]
    return rng.permutation(np.concatenate(drawn)) if drawn else np.empty(0, np.int64)
