"""Smaller and faster copies of an exported network: int8 for CPUs, float16 for GPUs, and half the space for any.

int8 is static: the ranges of all activations are measured on given samples, in batches whose extremes are averaged, as
a single unusual face would otherwise cost everyone else resolution. Convolutions and what lies between them compute in
integers, one scale a channel for the weights; the classifiers stay float32. Weights use seven bits, since the 16-bit
sums of CPUs without VNNI would otherwise saturate.

ONNX Runtime computes recurrent layers on CPUs in float32 only. Weights stored as float16 save them nothing but space:
they are turned back once, when the file is loaded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from emotion_core.data.dataset import FaceDataset
from emotion_core.data.subset import balanced_indices
from emotion_core.errors import EmotionError
from emotion_core.export.onnx_export import export_onnx
from emotion_core.export.onnx_file import check_target, save_onnx
from emotion_core.export.verify import check_same, probes
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.card import PRECISIONS, ModelCard
from emotion_core.store.metadata import read_card

_INTEGER_OPERATORS = ("Conv", "Add", "Mul", "Relu", "MaxPool")
_CALIBRATION_BATCH = 32
_LEAST_HALVED = 1024  # values in a tensor that is worth a node of its own
_JUDGED = 16  # samples on which a copy is compared with its source


def export_as(
    precision: str,
    model: nn.Module,
    card: ModelCard,
    path: str | Path,
    calibration: FaceDataset | Mapping[str, NDArray[np.float32]] | None = None,
    fold_constants: bool = True,
    half: bool = False,
) -> ModelCard:
    """Export a torch network in one of ``PRECISIONS``; see ``export_onnx``, ``convert_float16``, ``quantize_int8``.

    Args:
        calibration: training faces of all classes, for int8, of which some hundred are used; or samples for each input
            as ``quantize_int8`` takes them.
        half: of float32, store the weights in half the space, see ``store_half``.

    Raises:
        EmotionError: another precision, no calibration faces, or the export differs from torch.
    """
    if precision not in PRECISIONS:
        raise EmotionError(f"unknown precision {precision!r}: use one of {', '.join(PRECISIONS)}")
    if half and precision != "float32":
        raise EmotionError(f"half the space is for float32, got {precision}: its weights are small already")
    check_target(path)
    if precision == "float32" and not half:
        return export_onnx(model, card, path, fold_constants)
    if precision == "int8" and calibration is None:
        raise EmotionError("int8 needs training faces of all classes to measure ranges on, got none")
    with tempfile.TemporaryDirectory(prefix="emotion-") as folder:
        exact = Path(folder) / "float32.onnx"
        export_onnx(model, card, exact, fold_constants)
        if half:
            return store_half(exact, path)
        if precision == "float16" or calibration is None:
            return convert_float16(exact, path)
        samples = calibration if isinstance(calibration, Mapping) else calibration_samples(calibration, card)
        return quantize_int8(exact, samples, path)


def quantize_int8(source: str | Path, samples: Mapping[str, NDArray[np.float32]], path: str | Path) -> ModelCard:
    """Write an int8 copy of an exported network.

    Args:
        source: the float32 ONNX file, with its card.
        samples: for each input of the card (N, *shape) float32 from the training data, some hundred of all classes.
        path: the file to write, ending in .onnx; an older one is replaced when all went well.

    Returns:
        The card of the copy; its results are empty, they have to be measured anew.

    Raises:
        EmotionError: the source is not an exported float32 network, or the samples do not fit it.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    card = _float32_card(source)
    for item in card.inputs:
        batch = samples.get(item.name, np.empty(0))
        if batch.shape[1:] != item.shape or not len(batch) or not np.isfinite(batch).all():
            wanted = ", ".join(map(str, item.shape))
            raise EmotionError(f"calibration needs finite {item.name} of shape (N, {wanted}), got {batch.shape}")
    if not any(np.ptp(samples[item.name], axis=0).max() > 0 for item in card.inputs):
        raise EmotionError("calibration needs samples that differ, those given are all alike")

    def write(folder: Path) -> onnx.ModelProto:
        out = folder / "int8.onnx"
        with _quiet():
            quantize_static(
                str(source),
                str(out),
                _Samples(samples),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_INTEGER_OPERATORS),
                nodes_to_exclude=_float_nodes(onnx.load(str(source))),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"CalibMovingAverage": True},
            )
        return onnx.load(str(out))

    judged = {name: values[:_JUDGED] for name, values in samples.items()}
    return _write(write, source, judged, replace(card, precision="int8", results=()), path)


def convert_float16(source: str | Path, path: str | Path) -> ModelCard:
    """Write a float16 copy of an exported network; inputs and outputs stay float32. See ``quantize_int8``."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    card = _float32_card(source)

    def write(folder: Path) -> onnx.ModelProto:
        with _quiet():
            return convert_float_to_float16(onnx.load(str(source)), keep_io_types=True)

    return _write(write, source, probes(card.inputs, _JUDGED), replace(card, precision="float16", results=()), path)


def store_half(source: str | Path, path: str | Path) -> ModelCard:
    """Write a copy whose matrices are stored as float16, and which computes in float32. See ``quantize_int8``.

    The card's results stay where rounding changed no weight, as in a network that was saved in half the space.
    """
    card, network = _float32_card(source), onnx.load(str(source))
    casts, is_exact = [], True
    for tensor in network.graph.initializer:
        values = numpy_helper.to_array(tensor)
        is_matrix = sum(side > 1 for side in values.shape) > 1  # others are few, and add up
        if values.dtype == np.float32 and is_matrix and values.size >= _LEAST_HALVED:
            name, halved = tensor.name, values.astype(np.float16)
            is_exact = is_exact and np.array_equal(halved.astype(np.float32), values)
            tensor.CopyFrom(numpy_helper.from_array(halved, f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *network.graph.node]
    del network.graph.node[:]
    network.graph.node.extend(nodes)
    onnx.checker.check_model(network)
    card = card if is_exact else replace(card, results=())
    return _write(lambda _: network, source, probes(card.inputs, _JUDGED), card, path)


def calibration_samples(
    data: FaceDataset, card: ModelCard, count: int = 512, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Samples to measure ranges on: at most about ``count``, as many of each class, as the network takes them.

    Returns:
        {name of each input: (N, *shape) float32}.

    Raises:
        EmotionError: the dataset holds nothing that the network takes.
    """
    per_class = -(-count // max(1, len(np.unique(data.targets)) if data.targets.ndim == 1 else 4))
    chosen = balanced_indices(data.targets, per_class, np.random.default_rng(seed))
    samples = [data.sample(int(i), card.inputs) for i in chosen]
    names = [item.name for item in card.inputs]
    return {name: np.stack(batch) for name, batch in zip(names, zip(*samples, strict=True), strict=True)}


class _Samples:
    """Hands the calibration samples out batch by batch, as ONNX Runtime asks for them."""

    def __init__(self, samples: Mapping[str, NDArray[np.float32]]) -> None:
        self._samples, self._next = samples, 0

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        part = slice(self._next, self._next + _CALIBRATION_BATCH)
        self._next = part.stop
        batch = {name: np.ascontiguousarray(values[part], np.float32) for name, values in self._samples.items()}
        return batch if all(map(len, batch.values())) else None


def _float32_card(source: str | Path) -> ModelCard:
    card = read_card(source)
    if card.precision != "float32":
        raise EmotionError(f"{source} is {card.precision} already: start from the float32 export of the network")
    return card


def _float_nodes(network: onnx.ModelProto) -> list[str]:
    """Nodes that must not become integers: everything before the first convolution, which scales each face."""
    names = [node.name for node in network.graph.node]
    kinds = [node.op_type for node in network.graph.node]
    if "Conv" not in kinds:
        raise EmotionError("the network has no convolutions, and nothing else computes in int8 here: use float32")
    return names[: kinds.index("Conv")]


def _write(
    make: Callable[[Path], onnx.ModelProto],
    source: str | Path,
    samples: Mapping[str, NDArray[np.float32]],
    card: ModelCard,
    path: str | Path,
) -> ModelCard:
    """Make the copy, compare it with its source on the samples, and write it."""

    def check(copy: Classifier) -> None:
        check_same(_answers(Classifier(source), samples), _answers(copy, samples), card)

    with tempfile.TemporaryDirectory(prefix="emotion-") as folder:
        return save_onnx(make(Path(folder)), card, path, check)


def _answers(network: Classifier, samples: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """All outputs, sample by sample: a batch of clips would take gigabytes."""
    count = len(next(iter(samples.values())))
    answers = [network.run({name: values[i : i + 1] for name, values in samples.items()}) for i in range(count)]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's tools give advice through the root logger and by printing."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        logging.disable(disabled)
