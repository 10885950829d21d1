"""Linear discriminant analysis, in closed form, for a classifier on many statistics of few recordings.

    Fisher: The use of multiple measurements in taxonomic problems. Annals of Eugenics 7 (1936).

The directions in which the recordings vary most are kept, and what varies within a class is drawn towards a sphere; so
a few thousand statistics of a few hundred recordings do. How far the scores are to be trusted comes from groups
(speakers) that each part of them did not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from emotion_core.errors import EmotionError

Array = NDArray[np.floating]
_TEMPERATURES = np.geomspace(0.05, 20.0, 121)
_PARTS = 4


@dataclass(frozen=True)
class Discriminant:
    """Scores before softmax: ``values @ weights.T + bias``, weights (classes, size), bias (classes,)."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def __call__(self, values: Array) -> NDArray[np.float64]:
        """(N, size) -> (N, classes)."""
        return values @ self.weights.T + self.bias


def fit_discriminant(values: Array, classes: NDArray[np.int64], kept: int, shrink: float) -> Discriminant:
    """Tell classes apart that are normally distributed, all with the same covariance, and equally likely.

    Args:
        values: (N, size).
        classes: (N,) in 0 to K - 1, each at least once.
        kept: directions of the largest variance that are looked at; fewer where there are fewer.
        shrink: what is added to the variance of each direction within a class, as a share of their mean.

    Raises:
        EmotionError: a class has no recording.
    """
    values = np.asarray(values, np.float64)
    if not np.bincount(classes).all() or len(np.bincount(classes)) < 2:
        raise EmotionError("every class needs a recording to learn from, and there must be two of them")
    mean = values.mean(0)
    directions = _principal(values - mean, kept)
    low = (values - mean) @ directions
    means = np.stack([low[classes == k].mean(0) for k in range(int(classes.max()) + 1)])
    inside = low - means[classes]
    covariance = inside.T @ inside / len(low)
    covariance += shrink * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    low_weights = np.linalg.solve(covariance, means.T).T
    weights = low_weights @ directions.T
    return Discriminant(weights, -0.5 * (low_weights * means).sum(1) - weights @ mean)


def fit_copies(copies: Sequence[Array], classes: NDArray[np.int64], kept: int, shrink: float) -> Discriminant:
    """The mean of several classifiers: on recordings as they are, and on those together with each changed copy of them.

    Args:
        copies: the recordings as they are (N, size), and changed ones in the same order.
    """
    parts = [copies[:1], *([copies[0], copy] for copy in copies[1:])]
    fitted = [fit_discriminant(np.concatenate(p), np.tile(classes, len(p)), kept, shrink) for p in parts]
    return Discriminant(np.mean([one.weights for one in fitted], 0), np.mean([one.bias for one in fitted], 0))


def calibrated(
    copies: Sequence[Array], classes: NDArray[np.int64], groups: NDArray[np.int64], kept: int, shrink: float
) -> Discriminant:
    """``fit_copies``, with the scores divided by the temperature that fits groups that were not learned from.

    Guo et al.: On Calibration of Modern Neural Networks. ICML 2017.

    Args:
        groups: (N,) who each recording is of; where they are too few to leave some out, the scores stay as they are.
    """
    fitted = fit_copies(copies, classes, kept, shrink)
    parts = np.unique(groups, return_inverse=True)[1] % _PARTS
    scores, truths = [], []
    for part in np.unique(parts):
        seen = parts != part
        if len(np.unique(classes[seen])) == len(np.unique(classes)):
            one = fit_copies([copy[seen] for copy in copies], classes[seen], kept, shrink)
            scores += [one(copy[~seen]) for copy in copies]
            truths += [classes[~seen]] * len(copies)
    if not scores:
        return fitted
    said, truth = np.concatenate(scores), np.concatenate(truths)
    losses = [_loss(said / temperature, truth) for temperature in _TEMPERATURES]
    best = _TEMPERATURES[int(np.argmin(losses))]
    return replace(fitted, weights=fitted.weights / best, bias=fitted.bias / best)


def _principal(centred: NDArray[np.float64], kept: int) -> NDArray[np.float64]:
    """(size, kept) orthonormal directions of the largest variance."""
    count, size = centred.shape
    kept = min(kept, size, count - 1)
    if count >= size:
        return eigh(centred.T @ centred, subset_by_index=(size - kept, size - 1))[1]
    variances, vectors = eigh(centred @ centred.T, subset_by_index=(count - kept, count - 1))
    return centred.T @ vectors / np.sqrt(np.maximum(variances, 1e-9 * variances[-1]))


def _loss(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Mean cross-entropy."""
    shifted = scores - scores.max(1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(truth)), truth]).mean())
