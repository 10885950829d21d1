"""Clips: a face in successive frames, what is heard with it, and an emotion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.relabel import order_of
from emotion_core.errors import EmotionError
from emotion_core.store.card import FACE_CLIP, SOUND, Input

AUDIOVISUAL = "audiovisual"
MODES = (AUDIOVISUAL, "onlyaudio", "onlyvideo", "noisyaudio", "noisyvideo")
"""How clips are measured: as they are; the clip is zero; the sound is zero; the sound, or the clip, is noise of mean 0
and variance 1."""


PER_VOICE = 20
"""Faces to each voice, where pairs of both are measured, see ``data.pairs``."""


class ClipDataset(ABC):
    """Clips with one class each; also a map-style dataset for ``torch.utils.data.DataLoader``.

    Attributes:
        labels: names of the classes.
        targets: (N,) int64 classes.
    """

    labels: tuple[str, ...]

    @property
    @abstractmethod
    def targets(self) -> NDArray[np.int64]:
        """(N,) int64."""

    @abstractmethod
    def sound(self, index: int) -> NDArray[np.float32]:
        """Features of the sound, (coefficients, steps) float32."""

    @abstractmethod
    def clip(self, index: int) -> NDArray[Any]:
        """(3, frames, height, width) BGR, uint8 or floats in [0, 1]."""

    def sample(self, index: int, inputs: Sequence[Input]) -> tuple[NDArray[np.float32], ...]:
        """Clip and sound as a network takes them.

        Raises:
            EmotionError: the network takes anything else, or the sample does not fit it.
        """
        seen, heard = check_inputs(inputs)
        sound, clip, _ = self[index]
        return fit_clip(clip, seen), fit_sound(sound, heard)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[Any], int]:
        """Sound, clip and class, in the order of OpenDR's datasets; IndexError past the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        index %= len(self)
        return self.sound(index), self.clip(index), int(self.targets[index])

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[Any], int]]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True)
class ClipSet(ClipDataset):
    """Clips in memory.

    Attributes:
        sounds: (N, coefficients, steps) float32.
        clips: (N, 3, frames, height, width) BGR, uint8 or floats in [0, 1].
        classes: (N,) int64, index of each one's label.
        labels: names of the classes.
    """

    sounds: NDArray[np.float32]
    clips: NDArray[Any]
    classes: NDArray[np.int64]
    labels: tuple[str, ...]

    @property
    def targets(self) -> NDArray[np.int64]:
        """The classes."""
        return self.classes

    def sound(self, index: int) -> NDArray[np.float32]:
        """Of one."""
        return self.sounds[index]

    def clip(self, index: int) -> NDArray[Any]:
        """Of one."""
        return self.clips[index]


def as_clips(data: Any, labels: Sequence[str]) -> ClipDataset:
    """Any dataset whose items are (sound, clip, class) as clips with named classes.

    Args:
        data: a ClipDataset, which is returned as it is; or anything with a length and such items, whose parts are
            arrays, tensors, whole numbers, or objects that hold these in ``data``, as OpenDR's do. Where it has no
            ``targets``, all of it is read once to know the classes.
        labels: names of the classes, where the dataset has none.

    Raises:
        EmotionError: items of another form, or a class without a label.
    """
    return data if isinstance(data, ClipDataset) else _Foreign(data, tuple(getattr(data, "labels", labels)))


def relabelled_clips(data: ClipDataset, wanted: Sequence[str], who: str, whose: str) -> ClipDataset:
    """The same clips with their classes counted in another order; see ``relabel.relabelled``."""
    order = order_of(data.labels, wanted, who, whose)
    return data if tuple(data.labels) == tuple(wanted) else _Relabelled(data, tuple(wanted), np.argsort(order))


class _Relabelled(ClipDataset):
    """A view; ``new`` holds the new index of each old class."""

    def __init__(self, data: ClipDataset, labels: tuple[str, ...], new: NDArray[np.int64]) -> None:
        self.data, self.labels = data, labels
        self._targets = new[data.targets]

    @property
    def targets(self) -> NDArray[np.int64]:
        """(N,) int64."""
        return self._targets

    def sound(self, index: int) -> NDArray[np.float32]:
        """As the dataset has it."""
        return self.data.sound(index)

    def clip(self, index: int) -> NDArray[Any]:
        """As the dataset has it."""
        return self.data.clip(index)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[Any], int]:
        """From one reading."""
        sound, clip, _ = self.data[index]
        return sound, clip, int(self._targets[index])


class _Foreign(ClipDataset):
    def __init__(self, data: Any, labels: tuple[str, ...]) -> None:
        if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
            raise EmotionError(f"expected a dataset with a length and items, got {type(data).__name__}")
        self.data, self.labels = data, labels
        found = getattr(data, "targets", None)
        targets = _plain(found) if found is not None else [_plain(self._item(i)[2]) for i in range(len(data))]
        self._targets = np.asarray(targets).reshape(-1)
        if len(self._targets) and not np.issubdtype(self._targets.dtype, np.integer):
            raise EmotionError(f"expected classes as whole numbers, got {self._targets.dtype}")
        self._targets = self._targets.astype(np.int64)
        if len(self._targets) and not 0 <= self._targets.min() <= self._targets.max() < len(labels):
            raise EmotionError(
                f"expected classes 0 to {len(labels) - 1} ({', '.join(labels)}), "
                f"got {self._targets.min()} to {self._targets.max()}"
            )

    def _item(self, index: int) -> tuple[Any, Any, Any]:
        item = self.data[index]
        if not isinstance(item, (tuple, list)) or len(item) != 3:
            raise EmotionError(f"expected items (sound, clip, class), item {index} is {type(item).__name__}")
        return item[0], item[1], item[2]

    @property
    def targets(self) -> NDArray[np.int64]:
        """(N,) int64."""
        return self._targets

    def sound(self, index: int) -> NDArray[np.float32]:
        """Of one."""
        return np.asarray(_plain(self._item(index)[0]))

    def clip(self, index: int) -> NDArray[Any]:
        """Of one."""
        return np.asarray(_plain(self._item(index)[1]))

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[Any], int]:
        """Both parts of an item from one reading."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        sound, clip, _ = self._item(index % len(self))
        return np.asarray(_plain(sound)), np.asarray(_plain(clip)), int(self._targets[index])


def _plain(value: Any) -> Any:
    """The array in a tensor, or in an object that holds it."""
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    if isinstance(value, (np.ndarray, np.generic, int, list, tuple)):
        return value
    return _plain(value.data) if hasattr(value, "data") else value


def check_inputs(inputs: Sequence[Input]) -> tuple[Input, Input]:
    """Clip and sound among a network's inputs; raises EmotionError for a network that takes anything else."""
    if [item.kind for item in inputs] != [FACE_CLIP, SOUND]:
        kinds = ", ".join(item.kind for item in inputs)
        raise EmotionError(f"expected a network that takes a clip and a sound, in this order, this one takes {kinds}")
    return inputs[0], inputs[1]


def fit_sound(sound: Any, item: Input) -> NDArray[np.float32]:
    """Features of a sound as a network takes them.

    Args:
        sound: an array, a tensor, or an object that holds one in ``data``.
        item: the network's input.

    Returns:
        (*item.shape,) float32.

    Raises:
        EmotionError: another shape, or values that are no finite numbers.
    """
    values = np.asarray(_plain(sound))
    _check(values, item)
    return values.astype(np.float32)


def fit_clip(clip: Any, item: Input) -> NDArray[np.float32]:
    """A clip as a network takes it.

    Args:
        clip: (3, frames, height, width) uint8 or floats in [0, 1]: an array, a tensor, or an object that holds one in
            ``data``.
        item: the network's input.

    Returns:
        (*item.shape,) float32 in the input's value range.

    Raises:
        EmotionError: another shape, type or range, or NaN.
    """
    values = np.asarray(_plain(clip))
    _check(values, item)
    if values.dtype == np.uint8:
        values = values.astype(np.float32) / np.float32(255)
    elif not (values.min() >= 0.0 and values.max() <= 1.0) or not np.issubdtype(values.dtype, np.floating):
        raise EmotionError(
            f"expected {item.name} as uint8 or floats in [0, 1], got {values.dtype} from {values.min():g} to "
            f"{values.max():g}: divide by 255, or give uint8"
        )
    low, high = (np.float32(bound) for bound in item.value_range)
    return values.astype(np.float32) * (high - low) + low


def _check(values: NDArray[Any], item: Input) -> None:
    if values.shape != item.shape:
        raise EmotionError(f"expected {item.name} of shape {item.shape}, got {values.shape}")
    if not np.issubdtype(values.dtype, np.number):
        raise EmotionError(f"expected numbers in {item.name}, got {values.dtype}")
    if not np.isfinite(values).all():
        raise EmotionError(f"expected finite numbers in {item.name}, got NaN or infinity")
