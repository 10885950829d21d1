"""Measuring a model on a dataset, whatever runs the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceDataset
from emotion_core.errors import EmotionError
from emotion_core.evaluation.metrics import Agreement, Classification, agreement, classification
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.vision.crop import resize_faces

Network = Callable[[NDArray[np.float32]], EnsembleOutput]
"""Takes faces (N, channels, S, S) float32 in [0, 1]."""
COMBINATIONS = ("mean", "vote")


@dataclass(frozen=True)
class CategoryResult:
    """How well an ensemble and each of its branches tell the classes apart; percentages.

    Attributes:
        ensemble: of the combined answer.
        branch_accuracy: of each branch alone.
        labels: names of the classes, in the dataset's order.
        combination: 'mean' of the branches' probabilities, or their plurality 'vote'.
    """

    ensemble: Classification
    branch_accuracy: tuple[float, ...]
    labels: tuple[str, ...]
    combination: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, rounded to two digits; the recall of a class that never occurs is None."""
        result = self.ensemble
        return {
            "n": result.n,
            "combination": self.combination,
            "accuracy": round(result.accuracy, 2),
            "macro_f1": round(result.macro_f1, 2),
            "branch_accuracy": [round(value, 2) for value in self.branch_accuracy],
            "calibration_error": round(result.calibration_error, 2),
            "recall": {name: None if r != r else round(r, 2) for name, r in result.recall.items()},
            "confusion": {"labels": list(self.labels), "rows": result.confusion.tolist()},
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
    data: FaceDataset,
    size: int,
    channels: int,
    batch_size: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> EnsembleOutput:
    """What a network says about every face of a dataset.

    Args:
        size, channels: of the network's input; faces of another size are resized.
        on_progress: called with the number of faces done.

    Raises:
        EmotionError: the dataset is empty or one of its faces cannot be read.
    """
    if not len(data):
        raise EmotionError("there is no face to evaluate: the dataset is empty")
    outputs = []
    for start in range(0, len(data), batch_size):
        indices = range(start, min(start + batch_size, len(data)))
        outputs.append(network(np.concatenate([resize_faces(data.face(i)[None], size, channels) for i in indices])))
        if on_progress is not None:
            on_progress(indices.stop)
    return EnsembleOutput.concatenate(outputs)


def evaluate_categories(
    output: EnsembleOutput, data: FaceDataset, labels: Sequence[str], combination: str = "mean"
) -> CategoryResult:
    """Compare with the classes of a dataset.

    Args:
        output: what ``run_network`` gave for this dataset.
        labels: the network's, in its order; the dataset's names must be the same in any order.
        combination: 'mean' or 'vote'.

    Raises:
        EmotionError: network and dataset have other labels.
    """
    if combination not in COMBINATIONS:
        raise EmotionError(f"unknown combination {combination!r}: use one of {', '.join(COMBINATIONS)}")
    if set(labels) != set(data.labels):
        raise EmotionError(f"the model has the labels {', '.join(labels)}; the data has {', '.join(data.labels)}")
    order = np.array([data.labels.index(name) for name in labels])
    truth = np.asarray(data.targets)
    if truth.ndim != 1:
        raise EmotionError("the dataset has valence and arousal in place of classes: use the dimensional evaluation")
    probabilities = output.probabilities
    chosen = output.votes if combination == "vote" else probabilities.argmax(1)
    confidence = probabilities[np.arange(len(chosen)), chosen]
    hits = order[output.branch_probabilities.argmax(2)] == truth[:, None]
    return CategoryResult(
        classification(truth, order[chosen], confidence, data.labels),
        tuple(100 * float(share) for share in hits.mean(0)),
        tuple(data.labels),
        combination,
    )


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
