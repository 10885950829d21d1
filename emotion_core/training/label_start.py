"""A network that tells other classes apart, to start from: what belongs to a class is found by the class's label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from emotion_core.errors import EmotionError
from emotion_core.export.weights import load_network
from emotion_core.labels import match_labels
from emotion_core.models.registry import build, describe, entry_of
from emotion_core.store.card import ModelCard
from emotion_core.training.classifier_data import with_classes


def start_by_labels(path: str | Path, model: nn.Module, labels: Sequence[str]) -> ModelCard:
    """Put the weights of a network into one like it with other classes.

    What belongs to a class that both know is taken over, whatever the classes' order; a class that the file does not
    know keeps its random weights, and one that is not wanted is left out.

    Args:
        path: a ``.safetensors`` of this library.
        model: of the same architecture and input; changed in place.
        labels: its classes.

    Returns:
        A card of the network as it is now; its training tells what was taken over.

    Raises:
        EmotionError: the file is missing or damaged, knows none of the labels, or holds another network.
    """
    network, card = load_network(path)
    places = match_labels(card.labels, labels)
    known = [(here, there) for here, there in enumerate(places) if there is not None]
    if not known:
        raise EmotionError(
            f"{path} cannot be the start: it tells {', '.join(card.labels)}, and none of them is among "
            f"{', '.join(labels)}"
        )
    take_over(network, model, known, path)
    training = {**card.training, "taken over": _in_words(card.labels, labels, places)}
    return describe(entry_of(model), card.name, tuple(labels), card.licence, training=training)


@torch.no_grad()
def take_over(network: nn.Module, model: nn.Module, known: Sequence[tuple[int, int]], path: str | Path) -> None:
    """Copy the weights of a network into one like it with other classes; what counts classes, for known ones only.

    Args:
        network: as it was trained.
        model: of the same architecture; changed in place.
        known: the place of each class that both know, in the model and in the network.
        path: of the network, for the message.

    Raises:
        EmotionError: they differ in more than their classes.
    """
    found, own = network.state_dict(), model.state_dict()
    # What counts classes is what changes with their number; with equal numbers nothing else would tell it.
    with torch.device("meta"):
        entry = entry_of(network)
        other = build(with_classes(entry, network.config.num_classes + 1), path).state_dict()  # type: ignore[union-attr, operator, arg-type]
    axes = {name: _differing(tensor, other[name]) for name, tensor in found.items()}
    same = set(own) == set(found) and all(_differing(found[n], own[n]) in ((), axes[n]) for n in own)
    if not same or any(len(counting) > 1 for counting in axes.values()):
        raise EmotionError(f"{path} cannot be the start: it is a network of another architecture than the one to train")
    for name, given in found.items():
        if not axes[name]:
            own[name].copy_(given)
        for axis in axes[name]:
            for here, there in known:
                own[name].select(axis, here).copy_(given.select(axis, there))


def _differing(given: Tensor, wanted: Tensor) -> tuple[int, ...]:
    """The dimensions in which two tensors differ; all of them, and one more, when they have not as many."""
    if given.ndim != wanted.ndim:
        return tuple(range(max(given.ndim, wanted.ndim) + 1))
    return tuple(axis for axis, (a, b) in enumerate(zip(given.shape, wanted.shape, strict=True)) if a != b)


def _in_words(given: Sequence[str], wanted: Sequence[str], places: Sequence[int | None]) -> str:
    new = [label for label, place in zip(wanted, places, strict=True) if place is None]
    unwanted = [label for i, label in enumerate(given) if i not in places]
    words = f"{len(wanted) - len(new)} of {len(wanted)} classes"
    words += f"; new: {', '.join(new)}" if new else ""
    return words + (f"; left out: {', '.join(unwanted)}" if unwanted else "")
