"""A trained network as the start for other classes: its features are kept, what tells classes apart is new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from emotion_core.export.weights import load_network
from emotion_core.labels import match_labels
from emotion_core.models.registry import describe, entry_of, inputs_of
from emotion_core.store.card import ModelCard
from emotion_core.training.label_start import take_over
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
    places = match_labels(card.labels, labels)
    pairs = [(here, there) for here, there in enumerate(places) if there is not None]
    take_over(network, model, pairs, path)
    known = [labels[here] for here, _ in pairs]
    words = "all layers but those that tell classes apart" + (f"; of these {', '.join(known)}" if known else "")
    training = {**card.training, "taken over": words}
    return describe(entry_of(model), card.name, tuple(labels), card.licence, training=training)
