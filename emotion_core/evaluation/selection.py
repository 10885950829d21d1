"""Which of several models make the best ensemble."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_TINY = 1e-12


def choose_members(
    probabilities: Sequence[NDArray[np.floating]], truth: NDArray[np.int64], most: int | None = None
) -> list[int]:
    """Greedy forward selection by the accuracy of the sum of probabilities.

    The best model begins; then the one comes in that raises the accuracy most, as long as one does. Of models that are
    equally accurate the one of the lower cross-entropy counts as better.

    Caruana, Niculescu-Mizil, Crew, Ksikes: Ensemble Selection from Libraries of Models. ICML 2004 (there with
    repetition).

    Args:
        probabilities: (N, classes) of each model, of the same samples: validation data, never those it is measured on.
        truth: (N,) class indices.
        most: members at most; None for all.

    Returns:
        Indices of the models, in the order in which they came in.
    """
    chosen: list[int] = []
    total = np.zeros(np.shape(probabilities[0]))
    best = -1.0
    while len(chosen) < (len(probabilities) if most is None else most):
        tried = {i: _worth(total + p, truth) for i, p in enumerate(probabilities) if i not in chosen}
        found = max(tried, key=lambda i: tried[i])
        if tried[found][0] <= best:
            break
        best = tried[found][0]
        chosen.append(found)
        total = total + probabilities[found]
    return chosen


def _worth(total: NDArray[np.floating], truth: NDArray[np.int64]) -> tuple[float, float]:
    """Accuracy, and mean logarithm of what the truth is given."""
    given = total[np.arange(len(truth)), truth] / np.maximum(total.sum(1), _TINY)
    return float((total.argmax(1) == truth).mean()), float(np.log(np.maximum(given, _TINY)).mean())
