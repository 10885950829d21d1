"""How far figures would vary if other faces had been drawn: the bootstrap.

Efron, Tibshirani: An Introduction to the Bootstrap. 1993.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES, LEVEL, BINS = 1000, 0.95, 15


@dataclass(frozen=True)
class Interval:
    """A figure in percent, and the percentile interval around it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def to_list(self) -> list[float]:
        """Value, low, high, rounded to two digits."""
        return [round(self.value, 2), round(self.low, 2), round(self.high, 2)]


@dataclass(frozen=True)
class Figures:
    """Of N answers: accuracy, mean recall of the classes that occur, and expected calibration error over 15 bins."""

    n: int
    accuracy: Interval
    macro_recall: Interval
    calibration_error: Interval

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        names = ("accuracy", "macro_recall", "calibration_error")
        return {"n": self.n, **{name: getattr(self, name).to_list() for name in names}}


def figures(
    truth: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    seed: int = 0,
    resamples: int = RESAMPLES,
    groups: NDArray[np.int64] | None = None,
) -> Figures:
    """Measure answers.

    Args:
        truth: (N,) class of each.
        probabilities: (N, classes).
        seed: of the resampling.
        resamples: how many.
        groups: (N,) numbers from 0 of what is drawn as a whole, such as a photo about which several were asked; by
            default each answer is drawn for itself.

    Raises:
        ValueError: there are no answers, or not as many as truths.
    """
    if not len(truth) or len(truth) != len(probabilities):
        raise ValueError(f"need equal, positive counts, got {len(truth)} and {len(probabilities)}")
    predicted = probabilities.argmax(1)
    correct = (predicted == truth).astype(np.float64)
    confidence = probabilities[np.arange(len(truth)), predicted].astype(np.float64)
    places = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)

    def measure(weights: NDArray[np.float64]) -> tuple[float, float, float]:
        right = weights * correct
        occurring = np.bincount(truth, weights, probabilities.shape[1])
        recall = np.bincount(truth, right, probabilities.shape[1])[occurring > 0] / occurring[occurring > 0]
        gaps = np.bincount(places, right, BINS) - np.bincount(places, weights * confidence, BINS)
        return float(right.sum() / weights.sum()), float(recall.mean()), float(np.abs(gaps).sum() / weights.sum())

    rng = np.random.default_rng(seed)
    group = np.arange(len(truth)) if groups is None else groups
    count = int(group.max()) + 1
    times = (np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(resamples))
    drawn = [measure(drawn_times[group].astype(np.float64)) for drawn_times in times]
    low, high = np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0) * 100
    values = measure(np.ones(len(truth)))
    return Figures(
        len(truth), *(Interval(100 * v, float(a), float(b)) for v, a, b in zip(values, low, high, strict=True))
    )
