"""The bundled weights: the torch file and the exported one are the same network."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from emotion_core.export.weights import load_network  # noqa: E402
from emotion_core.runtime.session import FaceClassifier  # noqa: E402
from emotion_core.store.finding import BUNDLED  # noqa: E402


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.safetensors")), ids=lambda path: path.stem)
def test_both_files_give_the_same_values(path):
    model, card = load_network(path)
    classifier = FaceClassifier.load(path.stem)
    assert classifier.card.architecture == card.architecture
    faces = np.random.default_rng(0).random((16, card.channels, card.input_size, card.input_size), np.float32)
    output = classifier(faces)
    with torch.no_grad():
        expected = model(torch.from_numpy(faces))
    # Integers round: single probabilities may be a few hundredths off, on the mean over branches less.
    tolerance = {"float32": 1e-3, "float16": 5e-3, "int8": 0.1}[classifier.card.precision]
    probabilities = expected.logits.softmax(-1).numpy()
    np.testing.assert_allclose(output.branch_probabilities, probabilities, atol=tolerance)
    assert np.abs(output.probabilities - probabilities.mean(1)).mean() < tolerance / 5
    np.testing.assert_allclose(output.branch_affect, expected.affect, atol=tolerance)
