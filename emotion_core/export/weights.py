"""Reading and writing the weights of networks, as data only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from emotion_core.errors import EmotionError
from emotion_core.models.registry import build
from emotion_core.store.card import METADATA_KEY, ModelCard, card_path
from emotion_core.store.files import atomic_write, check_writable, sha256
from emotion_core.store.metadata import SEAL_KEY, UNSEALED, read_card, read_metadata, seal


def save_network(model: nn.Module, card: ModelCard, path: str | Path, half: bool = False) -> None:
    """Write weights as safetensors with the card inside, and a copy of the card as JSON beside them.

    Args:
        half: store weights as float16, which halves the file; ``load_network`` gives float32 again.

    Raises:
        EmotionError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    if half:
        tensors = {name: t.half() if t.ndim > 1 else t for name, t in tensors.items()}
    metadata = {METADATA_KEY: replace(card, sha256="").to_json(), SEAL_KEY: UNSEALED}
    with _writing(path):
        copy = card_copy_path(path)
        data = seal(safetensors.torch.save(tensors, metadata))
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
        write_card_copy(card, path, copy)


def card_copy_path(path: str | Path) -> Path:
    """Where the JSON for people goes that belongs to a weights file; decided, and tried, before that is written.

    ``model.onnx`` and ``model.safetensors`` share the name ``model.json``, and the last one written has it. It is
    ``model.onnx.json`` where somebody else's file or a folder has that name, or where weights beside the model carry
    no card inside: those of the first release have it in ``model.json`` alone, and what cannot be read may be such.

    Raises:
        EmotionError: both names are taken, or the copy cannot be written.
    """
    path = Path(path)
    shared, own = card_path(path), path.with_name(f"{path.name}.json")
    for copy in (own,) if _has_foreign_weights(path) else (shared, own):
        if not os.path.lexists(copy) or _is_card(copy):
            check_writable(copy)
            return copy
    raise EmotionError(f"{own} is in the way: expected nothing there, or a model card to replace; give another name")


def write_card_copy(card: ModelCard, path: str | Path, copy: Path) -> ModelCard:
    """Write the JSON for people, at the path from ``card_copy_path``; returns the card with the file's sha256."""
    card = replace(card, sha256=sha256(path))
    with atomic_write(copy) as temporary:
        temporary.write_text(card.to_json(), encoding="utf-8")
    return card


def _has_foreign_weights(path: Path) -> bool:
    """Whether safetensors lie beside a model that have no card inside."""
    weights = path.with_suffix(".safetensors")
    if path == weights or not os.path.lexists(weights):
        return False
    try:
        return METADATA_KEY not in read_metadata(weights)
    except EmotionError:
        return True


def _is_card(path: Path) -> bool:
    try:
        ModelCard.from_json(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError, RecursionError, EmotionError):
        return False
    return True


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


def load_network(path: str | Path) -> tuple[nn.Module, ModelCard]:
    """Read what ``save_network`` wrote.

    Returns:
        The network on the CPU in evaluation mode, weights in float32, and its card.

    Raises:
        EmotionError: the file is missing or damaged, or weights and card do not belong together.
    """
    path = Path(path)
    card = read_card(path)
    try:
        tensors = _load_file(path)
    except Exception as error:  # safetensors raises its own class for a damaged file
        raise EmotionError(f"{path} is not a readable safetensors file ({error}): get it again") from None
    return build_network(card.architecture, tensors, path), card


def _load_file(path: Path) -> dict[str, torch.Tensor]:
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:  # safetensors takes no such name
        return safetensors.torch.load(path.read_bytes())
    return safetensors.torch.load_file(str(path))  # which maps the file instead of reading it twice


def build_network(
    architecture: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], source: str | Path
) -> nn.Module:
    """The network of a card's architecture entry; the given tensors become its weights and are not copied.

    Raises:
        EmotionError: they do not belong together.
    """
    with _Unfilled():
        model = build(architecture, source)
    # A file may hold float16, the network computes in float32.
    whole = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    try:
        model.load_state_dict(whole, assign=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise EmotionError(
            f"{source}: the weights do not fit the architecture in the card ({' '.join(lines)[:200]})"
        ) from None
    return model.eval()


class _Unfilled(TorchFunctionMode):
    """Within it the weights of new networks are not drawn: others follow, and memory that is not written costs none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        drawing = getattr(func, "__module__", "") == nn.init.__name__
        if drawing or func in (torch.Tensor.uniform_, torch.Tensor.normal_):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
