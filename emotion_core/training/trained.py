"""Networks that were trained before: to start from, or as teachers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emotion_core.data.relabel import order_of
from emotion_core.errors import EmotionError
from emotion_core.export.backbone_files import BACKBONES, start_from_backbone
from emotion_core.export.weights import load_network
from emotion_core.models.registry import entry_of, inputs_of, named_outputs, outputs_of
from emotion_core.store.card import FACE, LOGITS, Input, ModelCard
from emotion_core.store.metadata import read_card
from emotion_core.training.fingerprint import of_weights

log = logging.getLogger(__name__)


def load_any_start(path: str | Path, model: nn.Module) -> ModelCard | str:
    """Put weights into a network: those of a whole network like it, or into one of the zoo those of its layers alone.

    Args:
        path: a ``.safetensors`` of this library; for networks of the zoo also one that knows other classes, and other
            people's weights, see ``export.backbone_files``.

    Returns:
        The file's card, whose labels are now those of the network; or in words which layers were taken over, when its
        classifier is another one.

    Raises:
        EmotionError: see ``load_start`` and ``start_from_backbone``.
    """
    if Path(path).suffix == ".safetensors":
        given, wanted = read_card(path).architecture, entry_of(model)
        same = all(given.get(key) == wanted.get(key) for key in ("type", "network", "num_classes"))
        if same or not isinstance(model, BACKBONES):
            return load_start(path, model)
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


class Teachers:
    """Trained networks whose mean probabilities are mixed into the targets.

    Args:
        paths: ``.safetensors`` of any architecture, with the same input as the network to train and the same labels in
            any order.

    Attributes:
        hashes: of each one's weights and labels; None for a file that is gone, which an interrupted training does not
            need again.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = [Path(path) for path in paths]
        self.hashes = [_hash(path) if path.is_file() else None for path in self.paths]

    def __bool__(self) -> bool:
        return bool(self.paths)

    def teach(
        self,
        targets: Tensor,
        weight: float,
        batches: Callable[[], Iterable[Tensor]],
        inputs: Sequence[Input],
        labels: Sequence[str],
        device: torch.device,
    ) -> tuple[Tensor, list[dict[str, Any]]]:
        """Mix what they say into the targets; of a face they are asked for its mirror image too.

        Args:
            targets: (samples, classes) distributions.
            weight: share of what the teachers say.
            batches: gives batches (N, *shape) as the network to train takes them, all samples in their order.
            inputs: of the network to train.
            labels: of the targets.
            device: where they compute.

        Returns:
            The mixed targets, with the mean probabilities over teachers and views, and how each teacher was trained.

        Raises:
            EmotionError: a file is missing, or holds a network with another input or other labels.
        """
        total, trained = torch.zeros(()), []
        views = (False, True) if all(item.kind == FACE for item in inputs) else (False,)
        for path in self.paths:
            network, card = load_network(path)
            check_same_input(card.inputs, inputs, f"{path} cannot be a teacher")
            order = order_of(card.labels, labels, f"the teacher {path}", "the data")
            network.to(device)
            for mirrored in views:
                seen = (batch.flip(-1) if mirrored else batch for batch in batches())
                said = torch.cat([class_probabilities(network, batch.to(device)) for batch in seen])
                total = total + said[:, order]
            trained.append(card.training)
        return torch.lerp(targets, total / (len(views) * len(self.paths)), weight), trained


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


def _hash(path: Path) -> str:
    network, card = load_network(path)
    return of_weights({**network.state_dict(), "labels " + ",".join(card.labels): torch.zeros(0)})
