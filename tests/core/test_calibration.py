"""Probabilities that can be believed, for faces of people who feel otherwise than those in the data."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.evaluation.calibrate import MAX_LOSS, fit_calibration, fit_temperature
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.ensemble import EnsembleOutput, softmax
from emotion_core.store.calibration import Calibration, parse_prior
from emotion_core.store.card import ModelCard

LABELS = ("neutral", "happy", "sad")
LEARNED = (0.7, 0.2, 0.1)


def answers(temperature: float = 1.0, n: int = 40000):
    """Classes drawn from the probabilities that a network would say if it did not exaggerate."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (n, 3)) + np.log(LEARNED)
    truth = (softmax(logits).cumsum(1) > rng.random((n, 1))).argmax(1)
    return EnsembleOutput.from_arrays(logits * temperature, None), truth


def test_bayes_rule_by_hand():
    said = EnsembleOutput.from_arrays(np.log([[0.5, 0.3, 0.2]]), None)
    calibration = Calibration(2.0, LEARNED, "ferplus", (0.5, 0.3, 0.2))
    expected = np.sqrt([0.5, 0.3, 0.2]) * np.array([0.5, 0.3, 0.2]) / np.array(LEARNED)
    got = said.calibrated(calibration.temperature, calibration.offsets("", LABELS)).probabilities[0]
    np.testing.assert_allclose(got, expected / expected.sum(), rtol=1e-9)
    as_learned = said.calibrated(1.0, calibration.offsets("learned", LABELS)).probabilities[0]
    np.testing.assert_allclose(as_learned, [0.5, 0.3, 0.2], rtol=1e-9)
    uniform = said.calibrated(1.0, calibration.offsets("uniform", LABELS)).probabilities[0]
    ratio = np.array([0.5, 0.3, 0.2]) / np.array(LEARNED)
    np.testing.assert_allclose(uniform, ratio / ratio.sum(), rtol=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.8])
def test_the_temperature_of_an_exaggerating_network_is_found(temperature):
    output, truth = answers(temperature)
    assert fit_temperature(output, truth, np.zeros(3)) == pytest.approx(temperature, rel=0.04)


def test_the_prior_costs_no_more_than_it_may_and_finds_rare_classes_more_often():
    output, truth = answers(1.4)
    calibration, steps = fit_calibration(output, truth, LEARNED, "ferplus")
    assert steps[0].strength == 0
    said = output.calibrated(calibration.temperature, calibration.offsets("", LABELS)).probabilities.argmax(1)
    assert 100 * (said == truth).mean() >= steps[0].accuracy - MAX_LOSS - 1e-9
    recall = np.mean([(said[truth == c] == c).mean() for c in range(3)])
    assert 100 * recall > steps[0].macro_recall + 1
    assert calibration.prior[0] < LEARNED[0] and calibration.prior[2] > LEARNED[2]
    assert calibration.learned == LEARNED and calibration.data == "ferplus"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("uniform", "uniform"),
        ("learned", "learned"),
        ("ferplus", "learned"),
        ("2 1 1", (0.5, 0.25, 0.25)),
        ("[0.2, 0.2, 0.4]", (0.25, 0.25, 0.5)),
    ],
)
def test_what_a_user_may_say(text, expected):
    got = parse_prior(text, LABELS, "ferplus")
    assert got == (pytest.approx(expected) if isinstance(expected, tuple) else expected)


@pytest.mark.parametrize("text", ["1 2", "0 1 1", "-1 1 1", "nan 1 1", "inf 1 1", "mostly sad", "raf_db"])
def test_what_a_user_may_not_say(text):
    with pytest.raises(EmotionError, match="expected uniform, learned, ferplus, or 3 positive numbers"):
        parse_prior(text, LABELS, "ferplus")


@pytest.mark.parametrize(
    "entry",
    [
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"learned": [0.5, 0.5, 0.0], "prior": [0.3, 0.3, 0.4]},
        {"learned": [0.5, 0.3, 0.1], "prior": [0.3, 0.3, 0.4]},
        {"learned": [0.5, 0.5], "prior": [0.3, 0.3, 0.4]},
        {"learned": [0.5, 0.5], "prior": [0.5, 0.5]},
        {"heat": 3},
    ],
)
def test_a_card_with_a_wrong_calibration_is_refused(entry):
    card = Classifier.load("esr_compact").card
    with pytest.raises(EmotionError, match="bad model card"):
        replace(card, calibration=entry)


def test_a_card_of_the_first_release_has_none_and_stays_as_it_is():
    card = replace(Classifier.load("esr_compact").card, calibration={})
    assert "calibration" not in card.to_dict()
    assert ModelCard.from_json(json.dumps(card.to_dict())) == replace(card, sha256=card.sha256)


def test_a_model_answers_as_its_card_and_its_user_say(tmp_path):
    onnx_file = pytest.importorskip("emotion_core.export.onnx_file")
    from emotion_core.store.finding import find_model

    path = tmp_path / "mine.onnx"
    onnx_file.copy_model(find_model("esr_compact"), path)
    learned = tuple(np.array([8, 6, 4, 4, 2, 1, 2, 1]) / 28)
    prior = tuple(np.array([6, 6, 4, 4, 2, 2, 2, 2]) / 28)
    onnx_file.change_card(path, calibration={"temperature": 1.5, "learned": learned, "data": "ferplus", "prior": prior})
    face = np.random.default_rng(0).random((2, 1, 48, 48)).astype(np.float32)
    model = Classifier(path)
    raw = model.uncalibrated(face).branch_probabilities
    expected = raw ** (1 / 1.5) * np.array(prior) / np.array(learned)
    expected = (expected / expected.sum(2, keepdims=True)).mean(1)
    np.testing.assert_allclose(model(face).probabilities, expected, rtol=1e-6)
    uniform = raw ** (1 / 1.5) / np.array(learned)
    uniform = (uniform / uniform.sum(2, keepdims=True)).mean(1)
    np.testing.assert_allclose(Classifier(path, prior="uniform")(face).probabilities, uniform, rtol=1e-6)
    with pytest.raises(EmotionError, match="expected uniform"):
        Classifier(path, prior="1 2 3")


def test_a_model_that_nobody_calibrated_takes_no_prior(tmp_path):
    onnx_file = pytest.importorskip("emotion_core.export.onnx_file")
    from emotion_core.store.finding import find_model

    path = tmp_path / "mine.onnx"
    onnx_file.copy_model(find_model("esr_compact"), path)
    onnx_file.change_card(path, calibration={})
    Classifier(path, prior="learned")
    with pytest.raises(EmotionError, match="the prior cannot be changed"):
        Classifier(path, prior="uniform")


def test_members_of_an_ensemble_get_the_prior_in_their_own_order(tmp_path):
    onnx_file = pytest.importorskip("emotion_core.export.onnx_file")
    from emotion_core.store.ensemble import EnsembleCard, new_member
    from emotion_core.store.finding import find_model

    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    labels = Classifier.load("esr_compact").card.labels
    order = [3, 0, 1, 2, 7, 6, 5, 4]
    learned = np.array([8, 6, 4, 4, 2, 1, 2, 1]) / 28
    for path, places in ((first, range(8)), (second, order)):
        onnx_file.copy_model(find_model("esr_compact"), path)
        own = tuple(learned[list(places)])
        calibration = {"temperature": 1.0, "learned": own, "data": "ferplus", "prior": own}
        onnx_file.change_card(path, labels=tuple(labels[i] for i in places), calibration=calibration)
    card = EnsembleCard("both", (new_member(first, tmp_path / "both.json"), new_member(second, tmp_path / "both.json")))
    card.write(tmp_path / "both.json")
    prior = "1 2 3 4 5 6 7 8"
    face = np.random.default_rng(0).random((1, 1, 48, 48)).astype(np.float32)
    both = Classifier.load(tmp_path / "both.json", prior=prior)(face).branch_probabilities[0]
    alone = Classifier(first, prior=prior)(face).probabilities[0]
    np.testing.assert_allclose(both[0], alone, atol=1e-6)
    # The second says the same of the classes in its own order, and the prior must follow the labels.
    raw = Classifier(second).uncalibrated(face).branch_probabilities[0]
    expected = raw * np.arange(1, 9)[order] / learned[order]
    expected = (expected / expected.sum(1, keepdims=True)).mean(0)
    np.testing.assert_allclose(both[1][order], expected, atol=1e-6)
