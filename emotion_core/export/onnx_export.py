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
from numpy.typing import NDArray
from torch import nn

from emotion_core.errors import EmotionError
from emotion_core.export.onnx_file import check_target, save_onnx
from emotion_core.models.registry import named_outputs
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.ensemble import softmax
from emotion_core.store.card import AFFECT, LOGITS, Input, ModelCard

OPSET = 17
TOLERANCE = 1e-3
"""Largest allowed difference between torch and ONNX Runtime, relative to the largest output."""


def export_onnx(model: nn.Module, card: ModelCard, path: str | Path, fold_constants: bool = True) -> ModelCard:
    """Write ``path`` and the card beside it, after comparing the exported network with the original by value.

    The batch size stays free, the batch normalisations are folded into the convolutions.

    Args:
        model: a network of the registry.
        card: its description.
        path: the file to write, ending in .onnx. An older one is replaced only when everything went well.
        fold_constants: compute what does not depend on the input at export rather than when the file is loaded.

    Returns:
        The card with the sha256 of the file.

    Raises:
        EmotionError: the results differ, the card does not fit, or the path cannot be written.
    """
    check_target(path)
    model = model.eval()
    if card.precision != "float32":  # the card of a smaller copy, whose figures are not those of this file
        card = replace(card, precision="float32", results=())
    # With a batch of one, exporters take the number for a constant.
    example = tuple(torch.from_numpy(batch) for batch in random_inputs(card.inputs, 2).values())
    names = [item.name for item in card.inputs], [item.name for item in card.outputs]
    with tempfile.TemporaryDirectory(prefix="emotion-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        temporary = Path(folder) / "network.onnx"
        torch.onnx.export(
            model,
            example,
            str(temporary),
            input_names=names[0],
            output_names=names[1],
            dynamic_axes={name: {0: "batch"} for name in (*names[0], *names[1])},
            opset_version=OPSET,
            do_constant_folding=fold_constants,
            dynamo=False,
        )
        network = onnx.load(str(temporary))
    onnx.checker.check_model(network)
    return save_onnx(network, card, path, lambda classifier: compare(model, classifier))


@torch.no_grad()
def compare(model: nn.Module, classifier: Classifier, count: int = 3, seed: int = 0) -> float:
    """Largest difference of all outputs on random inputs, logits after softmax, relative to the largest value.

    Raises:
        EmotionError: it exceeds TOLERANCE.
    """
    card = classifier.card
    inputs = random_inputs(card.inputs, count, seed)
    found = classifier.run(inputs)
    result = model.eval()(*(torch.from_numpy(batch) for batch in inputs.values()))
    expected = {name: value.numpy() for name, value in named_outputs(card.outputs, result).items()}
    worst = 0.0
    for output in card.outputs:
        if output.kind == AFFECT and not card.affect:
            continue
        ours: NDArray[np.floating] = found[output.name]
        theirs: NDArray[np.floating] = expected[output.name]
        if output.kind == LOGITS:
            ours, theirs = softmax(ours), softmax(theirs)
        worst = max(worst, float(np.abs(ours - theirs).max() / max(1.0, float(np.abs(theirs).max()))))
    if not worst <= TOLERANCE:
        raise EmotionError(f"the exported network differs from the original by {worst:.2e}, more than {TOLERANCE:.0e}")
    return worst


def random_inputs(inputs: tuple[Input, ...], count: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """A batch of noise for each input: uniform over the value range of pictures, standard normal for sound."""
    rng = np.random.default_rng(seed)
    batches: dict[str, NDArray[np.float32]] = {}
    for item in inputs:
        shape = (count, *item.shape)
        if item.shows_faces:
            low, high = item.value_range
            batches[item.name] = rng.random(shape, np.float32) * np.float32(high - low) + np.float32(low)
        else:
            batches[item.name] = rng.standard_normal(shape, np.float32)
    return batches
