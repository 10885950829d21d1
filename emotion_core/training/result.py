"""The result of a finished training: one file with the network and its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from emotion_core.export.weights import save_network
from emotion_core.models.registry import describe, entry_of
from emotion_core.store.card import ModelCard
from emotion_core.training.loop import Loop


def write_network(
    loop: Loop,
    name: str,
    labels: Sequence[str],
    licence: str,
    about: Mapping[str, Any],
    measure: Callable[[ModelCard], Sequence[dict[str, Any]]],
    half: bool = False,
    init: Mapping[str, Any] | None = None,
    teachers: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> tuple[Path, ModelCard]:
    """Write the network of a finished training as ``model.safetensors`` in its folder.

    Args:
        labels: in the order of the network's output.
        licence: of the weights.
        about: entries of the card's training, such as data and command; the settings come behind them.
        measure: gives the card's results, from the card without them.
        half: store the weights as float16.
        init, teachers: how the network that it started from, and those that taught it, were trained.
        more: further entries of the card.

    Returns:
        The file and its card.

    Raises:
        EmotionError: the file cannot be written.
    """
    training = {
        **about,
        **{key: value for key, value in loop.task.settings().items() if key != "model"},
        **({"init": init} if init else {}),
        **({"teachers": list(teachers)} if teachers else {}),
    }
    card = describe(entry_of(loop.model), name, tuple(labels), licence, training=training, **more)
    card = replace(card, results=tuple(measure(card)))
    path = loop.out / "model.safetensors"
    save_network(loop.model, card, path, half)
    return path, card
