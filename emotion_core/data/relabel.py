"""Two things with the same classes in another order, brought together by the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceDataset, FaceSet
from emotion_core.errors import EmotionError
from emotion_core.labels import match_labels


def order_of(labels: Sequence[str], wanted: Sequence[str], who: str, whose: str) -> NDArray[np.int64]:
    """Where each wanted label stands among ``labels``: (K,) indices, with which columns are put into the wanted order.

    Words that mean the same are the same label, see ``emotion_core.labels.ALIASES``.

    Args:
        who, whose: what the labels and the wanted ones belong to, for the message, such as 'the validation faces'.

    Raises:
        EmotionError: the names are not the same.
    """
    places = match_labels(labels, wanted)
    if len(labels) != len(wanted) or None in places:
        raise EmotionError(f"{who} must have the same labels as {whose}: {', '.join(labels)}; {', '.join(wanted)}")
    return np.array(places, np.int64)


def relabelled(data: FaceDataset, wanted: Sequence[str], who: str, whose: str) -> FaceDataset:
    """The same faces with their classes counted in another order; the data itself when that is its own.

    Args:
        wanted: the names of ``data.labels``, in any order.
        who, whose: see ``order_of``.

    Raises:
        EmotionError: the names are not the same.
    """
    order = order_of(data.labels, wanted, who, whose)
    if tuple(data.labels) == tuple(wanted):
        return data
    if isinstance(data, FaceSet):
        return replace(
            data,
            distributions=np.ascontiguousarray(data.distributions[:, order]),
            classes=np.argsort(order)[data.classes],
            labels=tuple(wanted),
        )
    return _Relabelled(data, tuple(wanted), np.argsort(order))


class _Relabelled(FaceDataset):
    """A view; ``new`` holds the new index of each old class."""

    def __init__(self, data: FaceDataset, labels: tuple[str, ...], new: NDArray[np.int64]) -> None:
        self.data, self.labels = data, labels
        self._targets = new[data.targets]

    @property
    def targets(self) -> NDArray[Any]:
        """(N,) int64."""
        return self._targets

    def face(self, index: int) -> NDArray[np.uint8]:
        """As the dataset has it."""
        return self.data.face(index)

    def stored(self, index: int) -> bytes:
        """As the dataset has it."""
        return self.data.stored(index)
