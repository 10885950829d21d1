"""Weights that others trained: the authors' Residual Masking Network, and ImageNet networks to start from.

torchvision and pytorchcv name the same networks differently, and list their layers in the same order: that in which a
picture passes them, branch by branch. So layers find each other by their names where these are the same, else by their
order, and each tensor's shape must agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from emotion_core.errors import EmotionError
from emotion_core.export.torch_file import read_state
from emotion_core.export.weights import build_network, load_network
from emotion_core.models.residual_masking import ResidualMasking, ResidualMaskingConfig
from emotion_core.models.zoo import ZooNetwork

BACKBONES = (ZooNetwork, ResidualMasking)
"""Networks that take over single layers of others."""
_TWICE = re.compile(r"mask\d\.downsample\d\.")  # the authors' files list the shortcuts of mask1.conv1 … here, too
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # torchvision's: classifiers that only its training asks
_COUNTER = "num_batches_tracked"  # which files before torch 0.4.1 lack
_Layers = dict[str, dict[str, Tensor]]


def load_residual_masking(path: str | Path, image_size: int = 224) -> ResidualMasking:
    """Read a checkpoint of the authors, of any number of classes. It is given grey faces, as its authors do.

    Args:
        path: such as ``Z_resmasking_dropout1_rot30_2019Nov30_13.32``.
        image_size: side of a face in pixels; the authors train with 224.

    Returns:
        The network in evaluation mode. Its weights stay in the mapped file where torch can map it.

    Raises:
        EmotionError: the file is missing, damaged, or holds another network.
    """
    state = {name: tensor for name, tensor in read_state(path).items() if not _TWICE.match(name)}
    last, first = state.get("fc.1.weight"), state.get("conv1.weight")
    if last is None or first is None or not any(name.startswith("mask1.") for name in state):
        raise EmotionError(
            f"{path} holds no resmasking_dropout1: expected weights of its masks and of fc.1, found {_in_short(state)}"
        )
    try:
        config = ResidualMaskingConfig(len(last), image_size, colour="grey", width=len(first))
    except ValueError as error:
        raise EmotionError(f"{path}: {error}") from None
    network = build_network({"type": "residual_masking", **config.to_dict()}, state, path)
    assert isinstance(network, ResidualMasking)
    return network


@dataclass(frozen=True)
class Taken:
    """What a network took over: the number of layers, and what became of the classifier."""

    layers: int
    classifier: str

    def __str__(self) -> str:
        return f"{self.layers} layers taken over; {self.classifier}"


def start_from_backbone(model: nn.Module, path: str | Path) -> Taken:
    """Put weights of the same architecture into a network of the zoo, or of its ResNet-34 into a masking network.

    Args:
        model: changed in place; what the file does not have stays as it is.
        path: a file of torch with torchvision's, pytorchcv's or the masking network's authors' names, or a
            ``.safetensors`` of this library.

    Raises:
        EmotionError: the file is missing, damaged, or of another architecture; or weights of others do not fit a
            network of this kind at all.
    """
    if not isinstance(model, BACKBONES):
        raise EmotionError(f"{path} cannot be the start: {type(model).__name__} starts from a model.safetensors")
    found = load_network(path)[0].state_dict() if Path(path).suffix == ".safetensors" else read_state(path)
    found = {name.removeprefix("network."): t for name, t in found.items() if not _TWICE.match(name)}
    given = _layers({name: tensor for name, tensor in found.items() if not name.startswith(_AUXILIARY)})
    network = model.network if isinstance(model, ZooNetwork) else model
    wanted = _layers(network.state_dict())
    if not any(name.startswith("mask") for name in given):
        wanted = {name: layer for name, layer in wanted.items() if not name.startswith("mask")}
    pairs = _pairs(given, wanted, path)
    head = "fc.1" if "fc.1" in wanted else next(reversed(wanted))
    taken, classes = {}, model.config.num_classes
    classifier = f"its {classes} classes are taken for those here, in their order"
    for here, there in pairs.items():
        if here == head and (count := _classes(given[there], wanted[here])) != classes:
            classifier = f"the classifier of {count} classes is left out, there are {classes} here"
            continue
        _compare(given[there], wanted[here], f"{path} holds another network: its {there} does not fit {here}")
        taken[here] = given[there]
    values = {f"{layer}.{leaf}": tensor for layer, leaves in taken.items() for leaf, tensor in leaves.items()}
    network.load_state_dict(values, strict=False)
    return Taken(len(taken), classifier)


def _layers(state: Mapping[str, Tensor]) -> _Layers:
    """Tensors by the layers that they belong to, in their order."""
    layers: _Layers = {}
    for name, tensor in state.items():
        layer, _, leaf = name.rpartition(".")
        if leaf != _COUNTER:
            layers.setdefault(layer, {})[leaf] = tensor
    return layers


def _pairs(given: _Layers, wanted: _Layers, path: str | Path) -> dict[str, str]:
    """The layer there for each layer here."""
    if set(wanted) <= set(given):
        return {name: name for name in wanted}
    if len(given) != len(wanted):
        raise EmotionError(
            f"{path} holds another network: {len(given)} layers such as {_in_short(given)}, "
            f"expected {len(wanted)} such as {_in_short(wanted)}"
        )
    return dict(zip(wanted, given, strict=True))


def _classes(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> int:
    """How many classes a classifier knows; those wanted, when it is no classifier of the same features."""
    shape, own = (tuple(layer["weight"].shape) if "weight" in layer else () for layer in (given, wanted))
    return shape[0] if len(shape) == 2 and shape[1:] == own[1:] else own[0]


def _compare(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], problem: str) -> None:
    shapes = [{leaf: tuple(t.shape) for leaf, t in layer.items()} for layer in (given, wanted)]
    if shapes[0] != shapes[1]:
        raise EmotionError(f"{problem} ({shapes[0]}, expected {shapes[1]})")


def _in_short(names: Mapping[str, object]) -> str:
    return ", ".join([*names][:3])
