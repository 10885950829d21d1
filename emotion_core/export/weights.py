"""Reading and writing the weights of networks, as data only."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from emotion_core.errors import EmotionError
from emotion_core.models.esr import Base, Branch, Esr, EsrConfig
from emotion_core.store.card import ModelCard, card_path
from emotion_core.store.files import atomic_write

BASE_FILE = "Net-Base-Shared_Representations.pt"
BRANCH_FILE = "Net-Branch_{}.pt"


def save_network(model: Esr, card: ModelCard, path: str | Path, half: bool = False) -> None:
    """Write weights as safetensors and the card as JSON beside them, both whole or not at all.

    Args:
        half: store weights as float16, which halves the file; ``load_network`` gives float32 again.

    Raises:
        EmotionError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    if half:
        tensors = {name: t.half() if t.ndim > 1 else t for name, t in tensors.items()}
    with _writing(path), atomic_write(path) as temporary, atomic_write(card_path(path)) as card_file:
        safetensors.torch.save_file(tensors, str(temporary))
        card_file.write_text(card.to_json())


def save_tensors(state: Any, path: str | Path) -> None:
    """``torch.save`` that leaves a whole file or the old one; raises EmotionError when the disk is full."""
    with _writing(path), atomic_write(path) as temporary:
        torch.save(state, temporary)


@contextlib.contextmanager
def _writing(path: str | Path) -> Iterator[None]:
    """One clear error for all the ways in which torch and safetensors report that a file cannot be written."""
    try:
        yield
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise EmotionError(f"{path} could not be written ({reason}): nothing was changed") from None


def load_network(path: str | Path) -> tuple[Esr, ModelCard]:
    """Read what ``save_network`` wrote.

    Raises:
        EmotionError: a file is missing or damaged, or weights and card do not belong together.
    """
    path = Path(path)
    for file in (path, card_path(path)):
        if not file.is_file():
            raise EmotionError(f"{file} is missing: expected a .safetensors file and the .json card beside it")
    card = ModelCard.from_json(card_path(path).read_text(), card_path(path))
    try:
        tensors = safetensors.torch.load_file(str(path))
    except Exception as error:  # safetensors raises its own class for a damaged file
        raise EmotionError(f"{path} is not a readable safetensors file ({error}): get it again") from None
    return build_network(card.architecture, tensors, path), card


def build_network(architecture: dict[str, Any], tensors: dict[str, torch.Tensor], source: str | Path) -> Esr:
    """The network of a card's architecture entry with the given weights; raises EmotionError when they disagree."""
    settings = dict(architecture)
    if (kind := settings.pop("type", None)) != "esr":
        raise EmotionError(f"{source}: unknown architecture {kind!r}, expected 'esr'")
    try:
        model = Esr(EsrConfig.from_dict(settings))
        model.load_state_dict(tensors)
    except (ValueError, RuntimeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise EmotionError(
            f"{source}: the weights do not fit the architecture in the card ({' '.join(lines)[:200]})"
        ) from None
    return model.eval()


def load_original(
    folder: str | Path,
    config: EsrConfig | None = None,
    base_file: str = BASE_FILE,
    branch_file: str = BRANCH_FILE,
) -> Esr:
    """Read the files that the authors of ESR published: one for the base, one for each branch, no metadata.

    Args:
        folder: holds ``Net-Base-Shared_Representations.pt`` and ``Net-Branch_1.pt`` and so on.
        config: the network; by default the published one with as many branches as there are files.
        base_file, branch_file: names of the files, ``{}`` stands for the branch's number from 1.

    Raises:
        EmotionError: a file is missing, damaged, or belongs to another network.
    """
    folder = Path(folder)
    if config is None:
        count = 0
        while (folder / branch_file.format(count + 1)).is_file():
            count += 1
        if not count:
            raise EmotionError(f"{folder} holds no {branch_file.format(1)}: expected the folder of a published ESR")
        config = EsrConfig(branches=count)
    model = Esr(config)
    parts: list[tuple[str, Base | Branch]] = [(base_file, model.base)]
    parts += [(branch_file.format(i), branch) for i, branch in enumerate(model.branches(), 1)]
    for name, part in parts:
        path = folder / name
        if not path.is_file():
            raise EmotionError(f"{path} is missing: an ESR with {config.branches} branches needs it")
        try:
            part.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # torch raises pickle, zip and runtime errors for damaged or foreign files
            reason = " ".join(str(error).split())[:160]
            raise EmotionError(f"{path} is damaged or belongs to another network ({reason})") from None
    return model.eval()


def architecture_of(model: Esr) -> dict[str, Any]:
    """The entry for a card, from which ``build_network`` makes the same network."""
    return json.loads(json.dumps({"type": "esr", **asdict(model.config)}))
