"""A saved audiovisual network: ``model_weights.pt`` and ``metadata.json``, the two files that OpenDR writes.

Here the metadata holds the network's card, so that nothing has to be known to load it. That of OpenDR holds nothing of
the network; such a folder is read too, with what its weights tell and the learner's settings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from emotion_core.errors import EmotionError
from emotion_core.export.audiovisual_files import load_audiovisual
from emotion_core.export.torch_file import read_state
from emotion_core.export.weights import build_network, save_tensors
from emotion_core.models.audiovisual import Audiovisual, AudiovisualConfig
from emotion_core.store.card import ModelCard
from emotion_core.store.files import atomic_write

WEIGHTS, METADATA = "model_weights.pt", "metadata.json"


def save_folder(model: nn.Module, card: ModelCard, folder: Path, exported: str | None) -> None:
    """Write both files.

    Args:
        exported: name of the exported network beside them, None without.
    """
    config = card.architecture
    save_tensors({name: tensor.cpu() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
    metadata = {
        "framework": "pytorch",
        "model_paths": [WEIGHTS],
        "format": "pt",
        "has_data": False,
        "inference_params": {
            "num_class": config["num_classes"],
            "seq_length": config["frames"],
            "fusion": config["fusion"],
            "num_heads": config["heads"],
            "labels": list(card.labels),
        },
        "optimized": exported is not None,
        "optimizer_info": {} if exported is None else {"format": "onnx", "model_path": exported},
        "card": card.to_dict(),
    }
    with atomic_write(folder / METADATA) as temporary:
        temporary.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")


def load_folder(folder: Path, config: AudiovisualConfig) -> tuple[Audiovisual, ModelCard | None]:
    """Read both files.

    Args:
        config: what neither weights nor metadata of OpenDR tell.

    Returns:
        The network in evaluation mode, and its card where the metadata has one.

    Raises:
        EmotionError: a file is missing or damaged, or they do not belong together.
    """
    metadata = _read_metadata(folder / METADATA)
    paths = metadata.get("model_paths")
    # Only a name: what a downloaded file says must not lead out of its folder.
    name = Path(paths[0]).name if isinstance(paths, list) and paths and isinstance(paths[0], str) else WEIGHTS
    if "card" not in metadata:
        return load_audiovisual(folder / name, config), None
    card = ModelCard.from_json(json.dumps(metadata["card"]), folder / METADATA)
    model = build_network(card.architecture, read_state(folder / name), folder / name)
    if not isinstance(model, Audiovisual):
        raise EmotionError(f"{folder} holds a network of type {card.architecture['type']}, expected audiovisual")
    return model, card


def _read_metadata(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise EmotionError(f"{path} is missing: expected a folder with {METADATA} and {WEIGHTS}, as save() writes it")
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(metadata, dict):
            raise ValueError("expected an object")
        return metadata
    except ValueError as error:
        raise EmotionError(f"{path} is no metadata of a network ({error})") from None
