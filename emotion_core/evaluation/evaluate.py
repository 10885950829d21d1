"""Measuring a model on a dataset, whatever runs the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceDataset
from emotion_core.errors import EmotionError
from emotion_core.evaluation.metrics import Agreement, Classification, agreement, classification
from emotion_core.labels import share_labels
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.card import Input

Network = Callable[..., EnsembleOutput]
"""Takes one array (N, *shape) float32 for each input that its card describes."""
COMBINATIONS = ("mean", "vote")


class Sampled(Protocol):
    """Anything that gives samples as a network takes them, such as a FaceDataset."""

    def __len__(self) -> int: ...

    def sample(self, index: int, inputs: Sequence[Input]) -> tuple[NDArray[np.float32], ...]:
        """An array for each input, of its shape."""
        ...


class Labelled(Protocol):
    """Samples with a class each, of whatever kind."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        ...

    @property
    def targets(self) -> NDArray[Any]:
        """(N,) int64."""
        ...


@dataclass(frozen=True)
class CategoryResult:
    """How well an ensemble and each of its members tell the classes apart; percentages.

    Attributes:
        ensemble: of the combined answer.
        branch_accuracy: of each member alone.
        labels: names of the classes, in the dataset's order: those that model and dataset share.
        combination: 'mean' of the members' probabilities, or their plurality 'vote'.
        only_model, only_data: labels that the other side lacks. The model's were not allowed as answers, faces of the
            dataset's were left out.
        left_out: number of those faces.
    """

    ensemble: Classification
    branch_accuracy: tuple[float, ...]
    labels: tuple[str, ...]
    combination: str
    only_model: tuple[str, ...] = ()
    only_data: tuple[str, ...] = ()
    left_out: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, rounded to two digits; the recall of a class that never occurs is None."""
        return {
            **self.ensemble.to_dict(self.labels),
            "combination": self.combination,
            "branch_accuracy": [round(value, 2) for value in self.branch_accuracy],
            "left_out": {"model": list(self.only_model), "data": list(self.only_data), "faces": self.left_out},
        }


@dataclass(frozen=True)
class AffectResult:
    """How well an ensemble and each of its branches tell valence and arousal."""

    valence: Agreement
    arousal: Agreement
    branch_rmse: tuple[tuple[float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, rounded to four digits."""
        values = {
            name: {key: round(getattr(part, key), 4) for key in ("rmse", "ccc", "pearson")}
            for name, part in (("valence", self.valence), ("arousal", self.arousal))
        }
        return {
            "n": self.valence.n,
            **values,
            "branch_rmse": [{"valence": round(v, 4), "arousal": round(a, 4)} for v, a in self.branch_rmse],
        }


def run_network(
    network: Network,
    data: Sampled,
    inputs: Input | Sequence[Input],
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> EnsembleOutput:
    """What a network says about every sample of a dataset.

    Args:
        inputs: the network's, as its card describes them; the dataset brings its samples into their form.
        on_progress: called with the number of samples done.

    Raises:
        EmotionError: the dataset is empty, holds nothing that the network takes, or a sample cannot be read.
    """
    if not hasattr(data, "sample") or not hasattr(data, "__len__"):
        raise EmotionError(
            f"expected a dataset to evaluate on, got {type(data).__name__}: open_dataset or load_folder gives one"
        )
    if not len(data):
        raise EmotionError("there is nothing to evaluate: the dataset is empty")
    if batch_size < 1:
        raise EmotionError(f"batch_size must be at least 1, got {batch_size}")
    inputs = (inputs,) if isinstance(inputs, Input) else tuple(inputs)
    outputs = []
    for start in range(0, len(data), batch_size):
        indices = range(start, min(start + batch_size, len(data)))
        samples = [data.sample(i, inputs) for i in indices]
        outputs.append(network(*(np.stack(batch) for batch in zip(*samples, strict=True))))
        if on_progress is not None:
            on_progress(indices.stop)
    return EnsembleOutput.concatenate(outputs)


def evaluate_categories(
    output: EnsembleOutput,
    data: Labelled,
    labels: Sequence[str],
    combination: str = "mean",
    indices: NDArray[np.int64] | None = None,
) -> CategoryResult:
    """Compare with the classes of a dataset, on the labels that both know.

    Args:
        output: what ``run_network`` gave for this dataset.
        labels: the network's, in its order; matched with the dataset's by ``share_labels``.
        combination: 'mean' or 'vote'.
        indices: the faces that count; by default all.

    Raises:
        EmotionError: network and dataset share fewer than two labels, or no face has one of them.
    """
    if combination not in COMBINATIONS:
        raise EmotionError(f"unknown combination {combination!r}: use one of {', '.join(COMBINATIONS)}")
    truth = np.asarray(data.targets)
    if truth.ndim != 1:
        raise EmotionError("the dataset has valence and arousal in place of classes: use the dimensional evaluation")
    shared = share_labels(labels, data.labels)
    if len(shared.names) < 2:
        raise EmotionError(
            f"model and data share {len(shared.names)} labels, expected two or more: "
            f"the model has {', '.join(labels)}; the data has {', '.join(data.labels)}"
        )
    place = np.full(len(data.labels), -1)
    place[list(shared.data)] = np.arange(len(shared.names))
    chosen = np.arange(len(truth)) if indices is None else indices
    known = chosen[place[truth[chosen]] >= 0]
    if not len(known):
        raise EmotionError(f"no face of the data has one of the model's labels {', '.join(labels)}")
    answer = output.restricted(known, shared.model)
    probabilities, targets = answer.probabilities, place[truth[known]]
    predicted = answer.votes if combination == "vote" else probabilities.argmax(1)
    confidence = probabilities[np.arange(len(predicted)), predicted]
    hits = answer.branch_probabilities.argmax(2) == targets[:, None]
    return CategoryResult(
        classification(targets, predicted, confidence, shared.names),
        tuple(100 * float(share) for share in hits.mean(0)),
        shared.names,
        combination,
        shared.only_model,
        shared.only_data,
        len(chosen) - len(known),
    )


def evaluate_protocols(
    output: EnsembleOutput, data: FaceDataset, labels: Sequence[str], combination: str = "mean"
) -> dict[str, CategoryResult]:
    """``evaluate_categories`` under each protocol of the dataset, the usual one first; "" where it has only one."""
    if not data.protocols:
        return {"": evaluate_categories(output, data, labels, combination)}
    return {
        name: evaluate_categories(output, data, labels, combination, indices)
        for name, indices in data.protocols.items()
    }


def evaluate_affect(output: EnsembleOutput, data: FaceDataset) -> AffectResult:
    """Compare with the valence and arousal of a dataset.

    Raises:
        EmotionError: the dataset has classes only, or the network no valence and arousal.
    """
    truth = np.asarray(data.targets)
    if truth.ndim != 2 or truth.shape[1] != 2:
        raise EmotionError("the dataset has classes in place of valence and arousal: use the categorical evaluation")
    if np.isnan(output.branch_affect).any():
        raise EmotionError("the model has no valence and arousal")
    return AffectResult(
        agreement(truth[:, 0], output.affect[:, 0]),
        agreement(truth[:, 1], output.affect[:, 1]),
        tuple(_pairs(np.sqrt(((output.branch_affect - truth[:, None]) ** 2).mean(0)))),
    )


def _pairs(values: NDArray[np.floating]) -> Iterator[tuple[float, float]]:
    return ((float(v), float(a)) for v, a in values)
