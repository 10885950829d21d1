"""From trained torch networks to ONNX files with a card."""

from __future__ import annotations

import logging
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import onnx
import torch
from torch import nn

from emotion_core.export.blocked import blocked
from emotion_core.export.onnx_file import check_target, save_onnx
from emotion_core.export.spread import spread
from emotion_core.export.verify import check_same, probes
from emotion_core.models.registry import named_outputs
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.card import ModelCard

OPSET = 17


def export_onnx(model: nn.Module, card: ModelCard, path: str | Path, fold_constants: bool = True) -> ModelCard:
    """Write ``path`` and the card beside it, after comparing the exported network with the original by value.

    The batch size stays free, the batch normalisations are folded into the convolutions, and an EfficientFace
    (``blocked``) and transposed convolutions (``spread``) are written as ONNX Runtime computes them fastest.

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
    example = tuple(torch.from_numpy(batch) for batch in probes(card.inputs, 2).values())
    names = [item.name for item in card.inputs], [item.name for item in card.outputs]
    with tempfile.TemporaryDirectory(prefix="emotion-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        temporary = Path(folder) / "network.onnx"
        torch.onnx.export(
            spread(blocked(model)),
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
def compare(model: nn.Module, classifier: Classifier, count: int = 9, seed: int = 0) -> float:
    """How much an exported network differs from the original, see ``check_same``; raises as that does."""
    card = classifier.card
    inputs = probes(card.inputs, count, seed)
    result = model.eval()(*(torch.from_numpy(batch) for batch in inputs.values()))
    expected = {name: value.numpy() for name, value in named_outputs(card.outputs, result).items()}
    return check_same(expected, classifier.run(inputs), card)
