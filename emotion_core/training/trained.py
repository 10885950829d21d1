"""Networks that were trained before, to start from, and what the classes of any network are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emotion_core.errors import EmotionError
from emotion_core.export.backbone_files import BACKBONES, start_from_backbone
from emotion_core.export.face_recognition_files import start_from_face_recognition
from emotion_core.export.weights import load_network
from emotion_core.models.face_resnet import FaceResnet
from emotion_core.models.registry import entry_of, inputs_of, named_outputs, outputs_of
from emotion_core.store.card import LOGITS, Input, ModelCard
from emotion_core.store.metadata import read_card
from emotion_core.training.label_start import start_by_labels

log = logging.getLogger(__name__)


def load_any_start(path: str | Path, model: nn.Module, labels: Sequence[str]) -> ModelCard | str:
    """Put weights into a network: those of a whole network like it, or into one of the zoo those of its layers alone.

    Args:
        path: a ``.safetensors`` of this library, which may know other classes, see ``start_by_labels``; for networks of
            the zoo also other people's weights, see ``export.backbone_files``; for a face_resnet also the published
            face recognition weights, see ``export.face_recognition_files``.
        labels: of the network where the file does not know the same ones.

    Returns:
        The file's card, whose labels are now those of the network; or in words which layers were taken over, when its
        classifier is another one.

    Raises:
        EmotionError: see ``load_start`` and ``start_from_backbone``.
    """
    if Path(path).suffix == ".safetensors":
        card = read_card(path)
        given, wanted = card.architecture, entry_of(model)
        same = all(given.get(key) == wanted.get(key) for key in ("type", "network", "num_classes"))
        if not isinstance(model, BACKBONES) and len(card.labels) != len(labels) and given["type"] == wanted["type"]:
            check_same_input(card.inputs, inputs_of(model), f"{path} cannot be the start")
            return start_by_labels(path, model, labels)
        if same or not isinstance(model, BACKBONES):
            return load_start(path, model)
    if isinstance(model, FaceResnet):
        taken: Any = start_from_face_recognition(model, path)
    else:
        taken = start_from_backbone(model, path)
    log.info("%s: %s", path, taken)
    return str(taken)


def load_start(path: str | Path, model: nn.Module) -> ModelCard:
    """Put the weights of a file into a network of the same architecture; dropout and the like may differ.

    Returns:
        The file's card.

    Raises:
        EmotionError: the file is missing or damaged, or holds a network of another type, input or size.
    """
    network, card = load_network(path)
    check_same_input(card.inputs, inputs_of(model), f"{path} cannot be the start")
    entry, wanted = entry_of(network), entry_of(model)
    if entry["type"] != wanted["type"]:
        raise EmotionError(f"{path} cannot be the start: it is of another architecture, {entry['type']}")
    try:
        model.load_state_dict(network.state_dict())
    except RuntimeError:
        differing = [name for name in wanted if entry.get(name) != wanted[name]]
        raise EmotionError(
            f"{path} cannot be the start: it is a network of another architecture than the one to train "
            f"(other {', '.join(differing)})"
        ) from None
    return card


def check_same_input(given: Sequence[Input], wanted: Sequence[Input], what: str) -> None:
    """Raise EmotionError, beginning with ``what``, when two networks do not take the same."""

    def essence(inputs: Sequence[Input]) -> list[tuple[Any, ...]]:
        return [(i.kind, i.shape, i.colour, i.value_range, i.sample_rate_hz, i.features) for i in inputs]

    if essence(given) != essence(wanted):
        raise EmotionError(f"{what}: it takes {_in_words(given)}; here it would get {_in_words(wanted)}")


def _in_words(inputs: Sequence[Input]) -> str:
    return " and ".join(
        f"{i.kind} {'x'.join(map(str, i.shape))} {i.colour} {list(i.value_range) if i.colour else ''}".strip()
        for i in inputs
    )


@torch.no_grad()
def class_probabilities(network: nn.Module, batch: Tensor) -> Tensor:
    """Probabilities (N, classes) on the CPU of a network in eval mode; of an ensemble the mean over its members."""
    network.eval()
    logits = class_logits(network, network(batch)).float().cpu()
    probabilities = logits.softmax(-1)
    return probabilities.mean(1) if probabilities.ndim == 3 else probabilities


def class_logits(network: nn.Module, output: Any) -> Tensor:
    """The scores before softmax among what a network of the registry gave: (N, classes) or (N, members, classes)."""
    outputs = outputs_of(network)
    name = next(item.name for item in outputs if item.kind == LOGITS)
    return named_outputs(outputs, output)[name]
