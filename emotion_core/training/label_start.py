"""A network that tells other classes apart, to start from: what belongs to a class is found by the class's label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from emotion_core.errors import EmotionError
from emotion_core.export.weights import load_network
from emotion_core.labels import match_labels
from emotion_core.models.registry import describe, entry_of
from emotion_core.store.card import ModelCard


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
    own, found = model.state_dict(), network.state_dict()
    fits = set(own) == set(found) and all(_fits(found[n], own[n], len(card.labels), len(labels)) for n in own)
    if not fits:
        raise EmotionError(f"{path} cannot be the start: it is a network of another architecture than the one to train")
    here, there = torch.tensor(known).T
    for name, given in found.items():
        axes = [axis for axis in range(given.ndim) if given.shape[axis] != own[name].shape[axis]]
        if axes:
            own[name].index_copy_(axes[0], here, given.index_select(axes[0], there))
        else:
            own[name].copy_(given)
    training = {**card.training, "taken over": _in_words(card.labels, labels, places)}
    return describe(entry_of(model), card.name, tuple(labels), card.licence, training=training)


def _fits(given: Tensor, wanted: Tensor, classes: int, wanted_classes: int) -> bool:
    """Whether two tensors have the same shape, but for one dimension that counts classes."""
    if given.ndim != wanted.ndim:
        return False
    differing = [pair for pair in zip(given.shape, wanted.shape, strict=True) if pair[0] != pair[1]]
    return differing in ([], [(classes, wanted_classes)])


def _in_words(given: Sequence[str], wanted: Sequence[str], places: Sequence[int | None]) -> str:
    new = [label for label, place in zip(wanted, places, strict=True) if place is None]
    unwanted = [label for i, label in enumerate(given) if i not in places]
    words = f"{len(wanted) - len(new)} of {len(wanted)} classes"
    words += f"; new: {', '.join(new)}" if new else ""
    return words + (f"; left out: {', '.join(unwanted)}" if unwanted else "")
