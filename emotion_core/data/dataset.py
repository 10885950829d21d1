"""What every dataset of faces offers, whether it lies in memory or is read from disk face by face."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET
from emotion_core.store.card import FACE, Input
from emotion_core.vision.crop import check_faces, fit_faces

if TYPE_CHECKING:
    from typing_extensions import Self


class FaceDataset(ABC):
    """Faces with one target each; also a map-style dataset for ``torch.utils.data.DataLoader``.

    Attributes:
        labels: names of the classes.
        targets: (N,) int64 classes, or (N, 2) float32 valence and arousal in [-1, 1].
    """

    labels: tuple[str, ...]

    @property
    @abstractmethod
    def targets(self) -> NDArray[Any]:
        """(N,) int64 or (N, 2) float32."""

    @abstractmethod
    def face(self, index: int) -> NDArray[np.uint8]:
        """The face as it is stored, (S, S) grey or (S, S, 3) BGR; raises EmotionError when it cannot be read."""

    def view(self, index: int, seed: int) -> NDArray[np.uint8]:
        """The face as an epoch of a training sees it; large pictures may give another part of them for each seed."""
        return self.face(index)

    @property
    def protocols(self) -> dict[str, NDArray[np.int64]]:
        """Indices of the faces that count under each of the protocols in use for this dataset, the usual one first;
        empty where there is only one way to measure."""
        return {}

    def stored(self, index: int) -> bytes:
        """What decides the face, for telling it from others: its pixels, or the file that they are read from."""
        face = self.face(index)
        return f"{face.shape}".encode() + face.tobytes()

    def sample(self, index: int, inputs: Sequence[Input]) -> tuple[NDArray[np.float32], ...]:
        """One sample as a network takes it, an array for each of its inputs, of that input's shape; an ensemble has an
        input for each size and colour in which its members take the same face.

        Raises:
            EmotionError: the network takes anything else than single faces, or the face cannot be read.
        """
        if not inputs or any(item.kind != FACE for item in inputs):
            kinds = ", ".join(item.kind for item in inputs)
            raise EmotionError(f"the network takes {kinds}, and this dataset holds single faces")
        face = self.face(index)[None]
        return tuple(fit_faces(face, item)[0] for item in inputs)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], Any]:
        """The face as (C, S, S) float32 in [0, 1], and its target; IndexError past the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"face {index} of {len(self)}")
        face = self.face(index % len(self))
        planes = face[None] if face.ndim == 2 else face.transpose(2, 0, 1)
        return np.ascontiguousarray(planes, np.float32) / np.float32(255), self.targets[index]

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], Any]]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True)
class FaceSet(FaceDataset):
    """Small faces in memory, with label distributions.

    Attributes:
        faces: (N, S, S) uint8 grey, or (N, S, S, 3) BGR.
        distributions: (N, K) float32, each row sums to 1, in ``labels`` order.
        classes: (N,) int64, index of each face's label.
        names: file name of each face.
        labels: names of the columns of ``distributions``.

    Raises:
        EmotionError: these do not belong together.
    """

    faces: NDArray[np.uint8]
    distributions: NDArray[np.float32]
    classes: NDArray[np.int64]
    names: tuple[str, ...]
    labels: tuple[str, ...] = AFFECTNET

    def __post_init__(self) -> None:
        check_faces(self.faces)
        count, classes = len(self.faces), np.asarray(self.classes)
        if classes.shape != (count,) or classes.dtype.kind not in "iu":
            raise EmotionError(f"{count} faces need classes ({count},) int64, got {classes.dtype} {classes.shape}")
        if count and not 0 <= classes.min() <= classes.max() < len(self.labels):
            raise EmotionError(
                f"classes must lie in 0..{len(self.labels) - 1} for {len(self.labels)} labels, "
                f"got {classes.min()}..{classes.max()}"
            )
        if np.shape(self.distributions) != (count, len(self.labels)):
            raise EmotionError(
                f"{count} faces of {len(self.labels)} labels need distributions ({count}, {len(self.labels)}), "
                f"got {np.shape(self.distributions)}"
            )

    @property
    def targets(self) -> NDArray[np.int64]:
        """The classes."""
        return self.classes

    def face(self, index: int) -> NDArray[np.uint8]:
        """One face."""
        return self.faces[index]

    def taken(self, indices: NDArray[np.integer[Any]]) -> Self:
        """Some of the faces, in the order of the indices."""
        changed: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                changed[item.name] = value[indices]
        return replace(self, **changed, names=tuple(self.names[index] for index in indices))

    def joined(self, other: Self) -> Self:
        """These faces, then those; raises EmotionError when their labels differ."""
        if self.labels != other.labels:
            raise EmotionError(f"faces of other labels cannot be joined: {self.labels} and {other.labels}")
        changed: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                changed[item.name] = np.concatenate([value, getattr(other, item.name)])
        return replace(self, **changed, names=self.names + other.names)
