"""A copy of an exported network in half the space: weights stored as float16, everything computed in float32.

ONNX Runtime computes recurrent layers on CPUs in float32 only, so float16 saves nothing but space there. It turns the
weights back once, when it loads the file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from emotion_core.export.onnx_file import save_onnx
from emotion_core.store.card import ModelCard
from emotion_core.store.metadata import read_card

_LEAST = 1024  # values in a tensor that is worth a node of its own


def store_half(source: str | Path, path: str | Path) -> ModelCard:
    """Write the copy.

    Args:
        source: an exported network with its card.
        path: the file to write, ending in .onnx; an older one is replaced when all went well.

    Returns:
        The card of the copy; its results are empty, they have to be measured anew.

    Raises:
        EmotionError: the source is no exported network, or the path cannot be written.
    """
    card, network = read_card(source), onnx.load(str(source))
    casts = []
    for tensor in network.graph.initializer:
        values = numpy_helper.to_array(tensor)
        is_matrix = sum(side > 1 for side in values.shape) > 1  # others are few, and add up
        if values.dtype == np.float32 and is_matrix and values.size >= _LEAST:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *network.graph.node]
    del network.graph.node[:]
    network.graph.node.extend(nodes)
    onnx.checker.check_model(network)
    return save_onnx(network, replace(card, results=()), path)
