"""Figures that say how good a classifier is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import BadValue


@dataclass(frozen=True)
class Classification:
    """Results over N samples; percentages unless said otherwise.

    Attributes:
        n: number of samples.
        accuracy: share of correct labels.
        macro_f1: mean F1 over the classes that occur among truths or predictions, each counting the same.
        recall: of each class, NaN where it never occurs.
        precision: of each class, NaN where it is never predicted.
        f1: of each class, NaN where it neither occurs nor is predicted.
        confusion: (classes, classes) counts, rows are truths, columns predictions.
        calibration_error: expected calibration error over 15 equal bins of confidence (Guo et al., ICML 2017).
        reliability: (15, 3), of each of these bins the share of the samples, their mean confidence and their accuracy,
            as shares of 1; the latter two are NaN where it is empty.
    """

    n: int
    accuracy: float
    macro_f1: float
    recall: dict[str, float]
    confusion: NDArray[np.int64]
    calibration_error: float
    precision: dict[str, float]
    f1: dict[str, float]
    reliability: NDArray[np.float64]

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """JSON-ready, rounded to two digits; None stands for NaN."""
        return {
            "n": self.n,
            "accuracy": round(self.accuracy, 2),
            "macro_f1": round(self.macro_f1, 2),
            "calibration_error": round(self.calibration_error, 2),
            "recall": _rounded(self.recall),
            "precision": _rounded(self.precision),
            "f1": _rounded(self.f1),
            "confusion": {"labels": list(labels), "rows": self.confusion.tolist()},
        }


def classification(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    confidence: NDArray[np.floating],
    labels: Sequence[str],
) -> Classification:
    """Compare predictions with truths.

    Args:
        truth, predicted: (N,) class indices.
        confidence: (N,) probability in [0, 1] of the predicted class.
        labels: names of the classes.

    Raises:
        BadValue: there is nothing to compare, the counts differ, or a value is out of range.
    """
    truth, predicted, confidence = (_vector(values) for values in (truth, predicted, confidence))
    if not len(truth) or not len(truth) == len(predicted) == len(confidence):
        raise BadValue(f"need equal, positive counts, got {len(truth)}, {len(predicted)}, {len(confidence)}")
    count = len(labels)
    for name, values in (("truth", truth), ("predicted", predicted)):
        if values.dtype.kind not in "iu" or not 0 <= values.min() <= values.max() < count:
            raise BadValue(f"{name} must hold class indices in 0..{count - 1}, got {values.dtype} {values[:5]}")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise BadValue("confidence must hold probabilities in [0, 1], got others or NaN: do not give percent")
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    hits, actual, chosen = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    f1 = _shares(2 * hits, actual + chosen, labels)
    bins = _reliability(truth == predicted, np.asarray(confidence, np.float64))
    return Classification(
        n=len(truth),
        accuracy=100 * float(hits.sum() / len(truth)),
        macro_f1=float(np.nanmean(list(f1.values()))),
        recall=_shares(hits, actual, labels),
        confusion=confusion,
        calibration_error=100 * float(np.nansum(bins[:, 0] * np.abs(bins[:, 2] - bins[:, 1]))),
        precision=_shares(hits, chosen, labels),
        f1=f1,
        reliability=bins,
    )


def _vector(values: Any) -> NDArray[Any]:
    """(N,) numbers, of an array or a list."""
    try:
        found = np.asarray(values)
    except ValueError:  # rows of different lengths
        raise BadValue(f"need one number a sample, shape (N,), got {values!r:.60}") from None
    if found.ndim != 1 or found.dtype.kind not in "biuf":
        raise BadValue(f"need one number a sample, shape (N,), got {found.dtype} of shape {found.shape}")
    return found


def _shares(parts: NDArray[np.integer], wholes: NDArray[np.integer], labels: Sequence[str]) -> dict[str, float]:
    """In percent, NaN of nothing."""
    pairs = zip(labels, parts, wholes, strict=True)
    return {name: 100 * float(part / whole) if whole else float("nan") for name, part, whole in pairs}


def _rounded(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if value != value else round(value, 2) for name, value in values.items()}


@dataclass(frozen=True)
class Agreement:
    """How well predicted values agree with annotated ones.

    Attributes:
        n: number of samples.
        rmse: root of the mean squared error, in the unit of the values.
        ccc: Lin's concordance correlation coefficient: 1 for equal values, 0 for unrelated ones.
        pearson: correlation coefficient; 0 where one side does not vary.
    """

    n: int
    rmse: float
    ccc: float
    pearson: float


def agreement(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> Agreement:
    """Compare values.

    Lin: A concordance correlation coefficient to evaluate reproducibility. Biometrics 45 (1989).

    Args:
        truth, predicted: (N,) finite values.

    Raises:
        BadValue: there is nothing to compare, the counts differ, or a value is not finite.
    """
    a, b = (np.asarray(_vector(values), np.float64) for values in (truth, predicted))
    if a.shape != b.shape or not len(a):
        raise BadValue(f"need equal, positive counts, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise BadValue("need finite values, got NaN or infinity: leave such samples out")
    covariance = float(((a - a.mean()) * (b - b.mean())).mean())
    spread = float(a.std() * b.std())
    distance = float(a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    return Agreement(
        n=len(a),
        rmse=float(np.sqrt(((a - b) ** 2).mean())),
        ccc=2 * covariance / distance if distance > 0 else 1.0,
        pearson=covariance / spread if spread > 0 else 0.0,
    )


def _reliability(correct: NDArray[np.bool_], confidence: NDArray[np.float64], bins: int = 15) -> NDArray[np.float64]:
    """See ``Classification.reliability``."""
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    rows = np.full((bins, 3), np.nan)
    rows[:, 0] = np.bincount(index, minlength=bins) / len(index)
    for b in np.unique(index):
        rows[b, 1:] = confidence[index == b].mean(), correct[index == b].mean()
    return rows
