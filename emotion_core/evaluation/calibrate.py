"""Temperature and prior of a model, fitted to answers about faces that it did not learn from.

The prior goes from the shares in the data towards equal ones: each share to the power of 1 - a. As a grows, rare
classes are found more often and common ones less. Chosen is the a with the best mean recall of the classes at which the
accuracy is not yet worse by more than ``MAX_LOSS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.calibration import Calibration

MAX_LOSS = 0.5
"""Points of accuracy that a prior may cost."""
STRENGTHS = tuple(round(step * 0.025, 3) for step in range(25))
_LEAST, _MOST, _HALVINGS = 0.2, 5.0, 16


@dataclass(frozen=True)
class Step:
    """What a strength gives, with the temperature that goes with it: accuracy and mean recall in percent."""

    strength: float
    temperature: float
    accuracy: float
    macro_recall: float


def fit_calibration(
    output: EnsembleOutput, truth: NDArray[np.int64], learned: Sequence[float], data: str
) -> tuple[Calibration, list[Step]]:
    """Fit both.

    Args:
        output: answers about faces that were not learned from, not calibrated.
        truth: (N,) their classes.
        learned: share of each class in the data that was learned from.
        data: name of these data.

    Returns:
        The calibration, and what each strength gives.
    """
    shares = np.asarray(learned, np.float64)
    steps = []
    for strength in STRENGTHS:
        offsets = -strength * np.log(shares)
        temperature = fit_temperature(output, truth, offsets)
        predicted = output.calibrated(temperature, offsets).probabilities.argmax(1)
        steps.append(Step(strength, temperature, *_rates(predicted, truth, len(shares))))
    allowed = [step for step in steps if step.accuracy >= steps[0].accuracy - MAX_LOSS]
    chosen = max(allowed, key=lambda step: (step.macro_recall, -step.strength))
    expected = shares ** (1 - chosen.strength)
    expected = expected / expected.sum()
    return Calibration(
        round(chosen.temperature, 4),
        tuple(round(float(share), 6) for share in shares / shares.sum()),
        data,
        tuple(round(float(share), 6) for share in expected),
    ), steps


def fit_temperature(output: EnsembleOutput, truth: NDArray[np.int64], offsets: NDArray[np.float64]) -> float:
    """The temperature at which the classes are most likely, given the offsets of a prior."""
    rows = np.arange(len(truth))

    def loss(temperature: float) -> float:
        said = output.calibrated(temperature, offsets).probabilities[rows, truth]
        return float(-np.log(np.maximum(said, 1e-12)).mean())

    # The loss has one minimum: the worse outer third is left out again and again.
    low, high = np.log(_LEAST), np.log(_MOST)
    for _ in range(_HALVINGS):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if loss(float(np.exp(left))) < loss(float(np.exp(right))) else (left, high)
    return float(np.exp((low + high) / 2))


def _rates(predicted: NDArray[np.int64], truth: NDArray[np.int64], classes: int) -> tuple[float, float]:
    hits = np.bincount(truth[predicted == truth], minlength=classes)
    occurring = np.bincount(truth, minlength=classes)
    recall = hits[occurring > 0] / occurring[occurring > 0]
    return 100 * float((predicted == truth).mean()), 100 * float(recall.mean())
