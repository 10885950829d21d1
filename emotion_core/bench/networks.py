"""The networks that a benchmark measures: found by name, and written once for each backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_core.bench.measure import SEED
from emotion_core.errors import EmotionError
from emotion_core.store.card import AFFECT, LOGITS, ModelCard
from emotion_core.store.files import is_file
from emotion_core.store.finding import find_model, model_names
from emotion_core.store.metadata import read_card

if TYPE_CHECKING:
    from torch import nn

_CALIBRATION_SAMPLES = 16


@dataclass
class BenchNetwork:
    """A network to measure: with its weights, or of a configuration alone."""

    name: str
    card: ModelCard
    weights: Path | None = None

    def build(self) -> nn.Module:
        """The network in eval mode; without weights always with the same random ones."""
        from emotion_core.export.weights import load_network
        from emotion_core.models.registry import build

        if self.weights is None:
            return _without_zeros(build(self.card.architecture, self.name, seed=SEED))
        return load_network(self.weights)[0]


def prepare_network(network: BenchNetwork, backends: Sequence[str], folder: Path) -> tuple[dict[str, Path], int]:
    """Write a file for each backend, all with the same weights; returns them and the number of parameters."""
    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.export.quantize import convert_float16, quantize_int8
    from emotion_core.export.verify import probes
    from emotion_core.export.weights import save_network

    model, card = network.build(), network.card
    files = {name: folder / f"{name}.{'safetensors' if name == 'eager' else 'onnx'}" for name in backends}
    exact = folder / "onnx.onnx"
    if set(backends) - {"eager"}:
        export_onnx(model, card, exact)
    if "eager" in files:
        save_network(model, card, files["eager"])
    if "float16" in files:
        convert_float16(exact, files["float16"])
    if "int8" in files:
        quantize_int8(exact, probes(card.inputs, _CALIBRATION_SAMPLES, SEED), files["int8"])
    return files, sum(parameter.numel() for parameter in model.parameters())


def find_network(name: str) -> BenchNetwork:
    """A model by name or path, or a preset; raises EmotionError naming those that exist."""
    from emotion_core.models.registry import preset, preset_names, read_entry

    path = Path(name)
    if name in preset_names() and name not in model_names():
        return BenchNetwork(name, _random_card(preset(name), name))
    if path.suffix == ".safetensors":
        return BenchNetwork(name, read_card(path), path)
    if path.suffix != ".onnx" and name not in model_names():
        known = ", ".join(dict.fromkeys((*model_names(), *preset_names())))
        raise EmotionError(f"unknown model {name!r}: use the path of an .onnx or .safetensors file or one of {known}")
    path = find_model(name)
    weights = path.with_suffix(".safetensors")
    if is_file(weights):
        return BenchNetwork(name, read_card(weights), weights)
    card = read_card(path)
    read_entry(card.architecture, path)
    return BenchNetwork(name, card)


def _without_zeros(model: nn.Module) -> nn.Module:
    """The network as it would be after a step of training.

    Normalisations that begin at zero leave equal weights and biases in many layers. An exported file has those once for
    all, which makes it smaller, and the layers that share them do not become integers, which makes it slower.
    """
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(SEED)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            if not module.weight.any():
                nn.init.ones_(module.weight)
            if not module.bias.any():
                nn.init.normal_(module.bias, std=0.1, generator=generator)
    return model


def _random_card(entry: dict[str, object], name: str) -> ModelCard:
    """A card for a network with random weights; its classes have no names."""
    from emotion_core.models.registry import describe, read_entry

    architecture, config = read_entry(entry, name)
    outputs = architecture.outputs(config)
    classes = next(output.shape[-1] for output in outputs if output.kind == LOGITS)
    affect = "random" if any(output.kind == AFFECT for output in outputs) else ""
    return describe(entry, name, tuple(f"class {i}" for i in range(classes)), "random weights", affect=affect)
