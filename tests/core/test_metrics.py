from __future__ import annotations

import numpy as np
import pytest

from emotion_core.evaluation.metrics import agreement, classification

LABELS = ("a", "b", "c", "never")


def test_known_result():
    truth = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 1, 1, 1, 0])
    result = classification(truth, predicted, np.full(6, 0.8), LABELS)
    assert result.n == 6
    assert result.accuracy == pytest.approx(100 * 4 / 6)
    # F1: a 2*2/(3+3), b 2*2/(2+3), c 0; the class that never occurs does not count
    assert result.macro_f1 == pytest.approx(100 * (4 / 6 + 4 / 5 + 0) / 3)
    assert result.recall["a"] == pytest.approx(200 / 3)
    assert np.isnan(result.recall["never"])
    assert result.confusion.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert result.calibration_error == pytest.approx(100 * (0.8 - 4 / 6))


def test_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    result = classification(truth, predicted, rng.random(200), LABELS)
    assert result.accuracy == pytest.approx(100 * metrics.accuracy_score(truth, predicted))
    assert result.macro_f1 == pytest.approx(100 * metrics.f1_score(truth, predicted, average="macro"))


def test_perfectly_calibrated():
    confidence = np.full(1000, 0.7)
    hits = np.arange(1000) < 700
    result = classification(np.zeros(1000, np.int64), np.where(hits, 0, 1), confidence, LABELS)
    assert result.calibration_error == pytest.approx(0, abs=1e-9)


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ValueError, match="positive counts"):
        classification(np.array([], int), np.array([], int), np.array([]), LABELS)


def test_agreement_of_known_values():
    truth = np.array([0.0, 1.0, 2.0, 3.0])
    same = agreement(truth, truth)
    assert (same.n, same.rmse, same.ccc, same.pearson) == (4, 0, pytest.approx(1), pytest.approx(1))
    shifted = agreement(truth, truth + 1)
    # variances 1.25, means 1 apart: 2 * 1.25 / (1.25 + 1.25 + 1)
    assert (shifted.rmse, shifted.pearson) == (pytest.approx(1), pytest.approx(1))
    assert shifted.ccc == pytest.approx(2.5 / 3.5)
    assert agreement(truth, -truth).pearson == pytest.approx(-1)
    constant = agreement(truth, np.ones(4))
    assert (constant.ccc, constant.pearson) == (0, 0)
    with pytest.raises(ValueError, match="equal, positive"):
        agreement(truth, truth[:2])
