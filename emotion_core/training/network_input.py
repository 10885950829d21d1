"""A dataset of faces as a network takes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from emotion_core.data.dataset import FaceDataset, FaceSet
from emotion_core.store.card import Input
from emotion_core.vision.crop import fit_faces


class NetworkInput(Dataset):
    """The faces of a dataset in the size, colours and value range of a network's input.

    Args:
        data: faces; not copied.
        face_input: what the network takes, of kind 'face'.
        targets: (N, ...) what is learned, when not the dataset's own.
    """

    def __init__(self, data: FaceDataset, face_input: Input, targets: NDArray[Any] | None = None) -> None:
        self.data, self.face_input = data, face_input
        self.labels = data.labels
        self.targets = data.targets if targets is None else targets

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[Tensor, Any]:
        """(channels, height, width) float32, and the target; an index with a seed gives that view of the face."""
        number = index[0] if isinstance(index, tuple) else index
        face = self.data.view(*index) if isinstance(index, tuple) else self.data.face(number)
        return torch.from_numpy(fit_faces(face[None], self.face_input)[0]), self.targets[number]

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        return (self[i] for i in range(len(self)))

    def stored(self, index: int) -> bytes:
        """As the dataset has it."""
        return self.data.stored(index)


def distributions(data: FaceDataset) -> NDArray[np.float32] | None:
    """The label distributions of a dataset, (N, K), where it has any."""
    return data.distributions if isinstance(data, FaceSet) else None
