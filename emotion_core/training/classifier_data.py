"""What a plain classifier asks of its network and its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from emotion_core.errors import EmotionError
from emotion_core.models.registry import inputs_of, outputs_of, read_entry
from emotion_core.store.card import LOGITS, Input


def with_classes(entry: Mapping[str, Any], count: int) -> dict[str, Any]:
    """A card's entry for the same network with so many classes; raises EmotionError when it takes no other number."""
    _, config = read_entry(entry, "model")
    if config.num_classes == count:
        return dict(entry)
    changed = {**entry, "num_classes": count}
    if read_entry(changed, "model")[1].num_classes != count:
        raise EmotionError(f"the network has {config.num_classes} classes, the data {count}")
    return changed


def only_input(model: nn.Module) -> Input:
    """What a network takes; raises EmotionError when it takes several things, or gives no scores of classes."""
    inputs = inputs_of(model)
    if len(inputs) != 1 or not any(output.kind == LOGITS for output in outputs_of(model)):
        names = ", ".join(item.name for item in inputs)
        raise EmotionError(f"a plain classifier has one input and gives logits, this network takes {names}")
    return inputs[0]


def classes_of(data: Any) -> NDArray[np.int64]:
    """(N,) the class of each sample; raises EmotionError when the dataset has anything else."""
    targets = np.asarray(data.targets)
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise EmotionError(
            f"a classifier learns classes, the data has targets {targets.dtype} of shape {targets.shape}"
        )
    return targets.astype(np.int64)


def as_distributions(targets: NDArray[Any], labels: Sequence[str]) -> NDArray[np.float32]:
    """(N, classes) float32, rows sum to 1, of classes or distributions; raises EmotionError for anything else."""
    if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
        return np.eye(len(labels), dtype=np.float32)[targets]
    if targets.ndim != 2 or targets.shape[1] != len(labels) or not np.allclose(targets.sum(1), 1, atol=1e-3):
        raise EmotionError(
            f"a classifier learns classes (N,) or label distributions (N, {len(labels)}), the data has targets "
            f"{targets.dtype} of shape {targets.shape}"
        )
    return targets.astype(np.float32)
