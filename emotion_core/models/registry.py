"""Architectures by the type that cards name: configuration, network, inputs and outputs, presets.

A network of the registry is a ``torch.nn.Module`` with its configuration in ``config``. Its ``forward`` takes one
tensor (N, *shape) for each of its inputs, in their order, and returns a tensor, or a (named) tuple of them, in the
order of its outputs. That is all that training, evaluation, export and benchmarks rely on.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from emotion_core.errors import EmotionError
from emotion_core.plugins import source_of
from emotion_core.store.card import Input, ModelCard, Output

if TYPE_CHECKING:
    from torch import Tensor, nn

_BUILT_IN = {
    "esr": "emotion_core.models.esr",
    "efficientface": "emotion_core.models.efficientface",
    "audiovisual": "emotion_core.models.audiovisual",
    "audiovisual_stream": "emotion_core.models.audiovisual_stream",
    "voice": "emotion_core.models.voice",
    "residual_masking": "emotion_core.models.residual_masking",
    "zoo": "emotion_core.models.zoo",
    "face_resnet": "emotion_core.models.face_resnet",
}
"""Module of each architecture; its ARCHITECTURE is read when somebody asks, since it imports torch."""


class Config(Protocol):
    """Everything that is needed to build one network: a frozen dataclass; it raises ValueError for a bad value."""

    @property
    def num_classes(self) -> int:
        """Number of labels."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, what ``from_dict`` turns back into an equal configuration."""
        ...


@dataclass(frozen=True)
class Architecture:
    """One kind of network.

    Attributes:
        type: its name in cards.
        config: class of its configuration, with ``to_dict`` and the class method ``from_dict``.
        network: makes a network with random weights of a configuration.
        inputs, outputs: what the network of a configuration takes and gives.
        presets: named configurations.
    """

    type: str
    config: Any
    network: Callable[[Any], nn.Module]
    inputs: Callable[[Any], tuple[Input, ...]]
    outputs: Callable[[Any], tuple[Output, ...]]
    presets: Mapping[str, Any] = field(default_factory=dict)


_registered: dict[str, Architecture] = {}


def register(architecture: Architecture) -> Architecture:
    """Add an architecture, from anywhere; raises EmotionError when its type or a preset's name is taken already."""
    others = architectures()
    known = others.pop(architecture.type, None)
    # A module that is imported twice (a script beside a plug-in) registers equal things.
    if known is not None and source_of(known.config) != source_of(architecture.config):
        raise EmotionError(f"there is an architecture {architecture.type!r} already: give yours another type")
    taken = [name for other in others.values() for name in other.presets if name in architecture.presets]
    if taken:
        raise EmotionError(f"there is a preset {taken[0]!r} already: give yours another name")
    _registered[architecture.type] = architecture
    return architecture


def architectures() -> dict[str, Architecture]:
    """All of them by type."""
    return {kind: find_architecture(kind) for kind in (*_BUILT_IN, *(k for k in _registered if k not in _BUILT_IN))}


def find_architecture(kind: str) -> Architecture:
    """The architecture of a type; raises EmotionError naming those that exist."""
    if kind not in _registered and kind in _BUILT_IN:
        _registered[kind] = importlib.import_module(_BUILT_IN[kind]).ARCHITECTURE
    if kind not in _registered:
        known = ", ".join(dict.fromkeys((*_BUILT_IN, *_registered)))
        raise EmotionError(f"unknown architecture {kind!r}: expected one of {known}, or import what registers it first")
    return _registered[kind]


def preset_names() -> tuple[str, ...]:
    """Names of all presets."""
    return tuple(name for architecture in architectures().values() for name in architecture.presets)


def preset(name: str) -> dict[str, Any]:
    """The entry for a card of a preset; raises EmotionError naming those that exist."""
    for architecture in architectures().values():
        if name in architecture.presets:
            return _entry(architecture, architecture.presets[name])
    raise EmotionError(f"unknown preset {name!r}: use one of {', '.join(preset_names())}")


def entry_of(model: nn.Module) -> dict[str, Any]:
    """The entry for a card, from which ``build`` makes the same network."""
    return _entry(_architecture_of(model), model.config)


def read_entry(entry: Mapping[str, Any], source: str | Path = "the architecture") -> tuple[Architecture, Any]:
    """Architecture and configuration of a card's entry.

    Raises:
        EmotionError: it names no known type, or its settings are wrong; the message begins with the source.
    """
    settings = dict(entry)
    kind = settings.pop("type", None)
    try:
        architecture = find_architecture(str(kind))
        return architecture, architecture.config.from_dict(settings)
    except (EmotionError, ValueError, TypeError, KeyError) as error:
        raise EmotionError(f"{source}: {error}") from None


def build(entry: Mapping[str, Any], source: str | Path = "the architecture", seed: int | None = None) -> nn.Module:
    """A network with random weights, in evaluation mode.

    Args:
        entry: {"type": …, settings}, as cards hold it.
        source: begins the error message.
        seed: always the same weights; torch's own random state stays as it is.

    Raises:
        EmotionError: see ``read_entry``.
    """
    import torch

    architecture, config = read_entry(entry, source)
    with torch.random.fork_rng(devices=(), enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        model = architecture.network(config).eval()
    model.architecture_type = architecture.type  # type: ignore[assignment]  # configurations may be shared
    return model


def inputs_of(model: nn.Module) -> tuple[Input, ...]:
    """What a network of the registry takes."""
    return _architecture_of(model).inputs(model.config)


def outputs_of(model: nn.Module) -> tuple[Output, ...]:
    """What a network of the registry gives."""
    return _architecture_of(model).outputs(model.config)


def named_outputs(outputs: tuple[Output, ...], result: Any) -> dict[str, Tensor]:
    """What a network's ``forward`` returned, by the names of its outputs."""
    values = result if isinstance(result, tuple) else (result,)
    return {output.name: value for output, value in zip(outputs, values, strict=True)}


def describe(entry: Mapping[str, Any], name: str, labels: tuple[str, ...], licence: str, **more: Any) -> ModelCard:
    """The card of a network.

    Args:
        entry: its architecture, as ``entry_of`` gives it.
        more: further entries of the card.

    Raises:
        EmotionError: the entry names no network, or the labels are not as many as its classes.
    """
    architecture, config = read_entry(entry)
    inputs, outputs = architecture.inputs(config), architecture.outputs(config)
    return ModelCard(name, dict(entry), tuple(labels), licence, inputs, outputs, **more)


def _architecture_of(model: nn.Module) -> Architecture:
    kind, config = getattr(model, "architecture_type", None), getattr(model, "config", None)
    found = [a for a in architectures().values() if type(config) is a.config and kind in (None, a.type)]
    if len(found) == 1:
        return found[0]
    if found:
        types = ", ".join(architecture.type for architecture in found)
        raise EmotionError(f"{type(model).__name__} could be any of {types}: make it with build(), which says which")
    raise EmotionError(
        f"{type(model).__name__} is in no registered architecture: register it, and keep its configuration in `config`"
    )


def _entry(architecture: Architecture, config: Any) -> dict[str, Any]:
    return json.loads(json.dumps({"type": architecture.type, **config.to_dict()}))
