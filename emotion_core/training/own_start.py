"""A trained network as the start for other classes: its features are kept, what tells classes apart is new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from emotion_core.errors import EmotionError
from emotion_core.export.weights import load_network
from emotion_core.labels import match_labels
from emotion_core.models.registry import build, describe, entry_of, inputs_of
from emotion_core.store.card import ModelCard
from emotion_core.training.classifier_data import with_classes
from emotion_core.training.trained import check_same_input


def start_own_classes(path: str | Path, model: nn.Module, labels: Sequence[str]) -> ModelCard:
    """Put the weights of a network into one like it with any other classes.

    What counts classes keeps its random weights, but for a class that the file knows, too; everything else is taken
    over. Unlike ``label_start`` no class need be known.

    Args:
        path: a ``.safetensors`` of this library.
        model: of the same architecture and input; changed in place.
        labels: its classes.

    Returns:
        A card of the network as it is now; its training tells what was taken over.

    Raises:
        EmotionError: the file is missing or damaged, or holds another network.
    """
    network, card = load_network(path)
    check_same_input(card.inputs, inputs_of(model), f"{path} cannot be the start")
    found, own = network.state_dict(), model.state_dict()
    # What counts classes is what changes with their number; with equal numbers nothing else would tell it.
    other = build(with_classes(entry_of(network), len(card.labels) + 1), "model", 0).state_dict()
    counting = {name for name, tensor in found.items() if tensor.shape != other[name].shape}
    if set(own) != set(found) or any(own[n].shape != found[n].shape for n in own if n not in counting):
        raise EmotionError(f"{path} cannot be the start: it is a network of another architecture than the one to train")
    places = match_labels(card.labels, labels)
    pairs = [(here, there) for here, there in enumerate(places) if there is not None]
    with torch.no_grad():
        for name, given in found.items():
            if name not in counting:
                own[name].copy_(given)
                continue
            axis = next(i for i, (a, b) in enumerate(zip(given.shape, other[name].shape, strict=True)) if a != b)
            for here, there in pairs:
                own[name].select(axis, here).copy_(given.select(axis, there))
    known = [labels[here] for here, _ in pairs]
    words = "all layers but those that tell classes apart" + (f"; of these {', '.join(known)}" if known else "")
    training = {**card.training, "taken over": words}
    return describe(entry_of(model), card.name, tuple(labels), card.licence, training=training)
