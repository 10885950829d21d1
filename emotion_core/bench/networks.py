"""The networks that a benchmark measures: found by name, and written once for each backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_core.bench.measure import SEED
from emotion_core.errors import EmotionError
from emotion_core.store.card import COLOURS, ModelCard, card_path
from emotion_core.store.finding import find_model, model_names

if TYPE_CHECKING:
    from emotion_core.models.esr import Esr

_CALIBRATION_FACES = 16


@dataclass
class BenchNetwork:
    """A network to measure: with its weights, or of a configuration alone."""

    name: str
    card: ModelCard
    weights: Path | None = None

    def build(self) -> Esr:
        """The network in eval mode."""
        from emotion_core.export.weights import load_network

        return _random_network(self.card, self.name) if self.weights is None else load_network(self.weights)[0]


def prepare_network(network: BenchNetwork, backends: Sequence[str], folder: Path) -> tuple[dict[str, Path], int]:
    """Write a file for each backend, all with the same weights; returns them and the number of parameters."""
    import numpy as np

    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.export.quantize import convert_float16, quantize_int8
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
        shape = (_CALIBRATION_FACES, card.channels, card.input_size, card.input_size)
        quantize_int8(exact, np.random.default_rng(SEED).random(shape, np.float32), files["int8"])
    return files, sum(parameter.numel() for parameter in model.parameters())


def find_network(name: str) -> BenchNetwork:
    """A model by name or path, or a preset; raises EmotionError naming those that exist."""
    from emotion_core.export.weights import load_network
    from emotion_core.labels import AFFECTNET
    from emotion_core.models.esr import PRESETS
    from emotion_core.runtime.session import FaceClassifier

    path = Path(name).expanduser()
    if name in PRESETS and name not in model_names():
        config = PRESETS[name]
        colour, architecture = COLOURS[config.in_channels], {"type": "esr", **config.to_dict()}
        return BenchNetwork(name, ModelCard(name, architecture, config.input_size, config.in_channels, AFFECTNET,
                                        "random weights", colour=colour, affect="random"))  # fmt: skip
    if path.suffix != ".safetensors":
        if path.suffix != ".onnx" and name not in model_names():
            known = ", ".join(dict.fromkeys((*model_names(), *PRESETS)))
            raise EmotionError(
                f"unknown model {name!r}: use the path of an .onnx or .safetensors file or one of {known}"
            )
        path = find_model(name)
        weights = path.with_suffix(".safetensors")
        if not (weights.is_file() and card_path(path).is_file()):
            card = FaceClassifier(path).card
            _random_network(card, path)
            return BenchNetwork(name, card)
        path = weights
    return BenchNetwork(name, load_network(path)[1], path)


def _random_network(card: ModelCard, source: str | Path) -> Esr:
    """A network of the card's architecture, always with the same weights; raises EmotionError when it is no ESR."""
    import torch

    from emotion_core.models.esr import Esr, EsrConfig

    settings = dict(card.architecture)
    if (kind := settings.pop("type", None)) != "esr":
        raise EmotionError(f"{source}: unknown architecture {kind!r}, expected 'esr'")
    try:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(SEED)
            return Esr(EsrConfig.from_dict(settings)).eval()
    except ValueError as error:
        raise EmotionError(f"{source}: its card describes no network ({error})") from None
