"""From trained torch networks to ONNX files with a card."""

from __future__ import annotations

import logging
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch

from emotion_core.errors import EmotionError
from emotion_core.export.onnx_file import save_onnx
from emotion_core.models.esr import Esr
from emotion_core.runtime.session import FaceClassifier
from emotion_core.store.card import ModelCard

OPSET = 17
TOLERANCE = 1e-3
"""Largest allowed difference between torch and ONNX Runtime, relative to the largest output."""


def export_onnx(model: Esr, card: ModelCard, path: str | Path, fold_constants: bool = True) -> ModelCard:
    """Write ``path`` and the card beside it, after comparing the exported network with the original by value.

    The batch size stays free, the batch normalisations are folded into the convolutions.

    Args:
        model: the network.
        card: its description; the hash is filled in.
        path: the file to write, ending in .onnx. An older one is replaced only when everything went well.
        fold_constants: compute what does not depend on the input at export rather than when the file is loaded.

    Returns:
        The card with the sha256 of the file.

    Raises:
        EmotionError: the results differ, the card does not fit, or the path does not end in .onnx.
    """
    model = model.eval()
    if card.precision != "float32":  # the card of a smaller copy, whose figures are not those of this file
        card = replace(card, precision="float32", results=())
    config = model.config
    example = torch.rand(2, config.in_channels, config.input_size, config.input_size)
    with tempfile.TemporaryDirectory(prefix="emotion-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        temporary = Path(folder) / "network.onnx"
        torch.onnx.export(
            model,
            (example,),
            str(temporary),
            input_names=["faces"],
            output_names=["logits", "affect"],
            dynamic_axes={name: {0: "batch"} for name in ("faces", "logits", "affect")},
            opset_version=OPSET,
            do_constant_folding=fold_constants,
            dynamo=False,
        )
        network = onnx.load(str(temporary))
    onnx.checker.check_model(network)
    return save_onnx(network, card, path, lambda classifier: compare(model, classifier))


@torch.no_grad()
def compare(model: Esr, classifier: FaceClassifier, count: int = 3, seed: int = 0) -> float:
    """Largest difference of the branches' probabilities and affect on random faces.

    Raises:
        EmotionError: it exceeds TOLERANCE.
    """
    config = model.config
    shape = (count, config.in_channels, config.input_size, config.input_size)
    faces = np.random.default_rng(seed).random(shape, np.float32)
    output = classifier(faces)
    expected = model.eval()(torch.from_numpy(faces))
    pairs = [(output.branch_probabilities, expected.logits.softmax(-1))]
    if classifier.card.affect:
        pairs.append((output.branch_affect, expected.affect))
    worst = max(float(np.abs(a - b.numpy()).max() / max(1.0, float(b.abs().max()))) for a, b in pairs)
    if not worst <= TOLERANCE:
        raise EmotionError(f"the exported network differs from the original by {worst:.2e}, more than {TOLERANCE:.0e}")
    return worst
