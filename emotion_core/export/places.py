"""Channels of layers moved to other places, with zeros between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

BLOCK = 16
"""Channels that ONNX Runtime computes at once with AVX-512; with less, and on ARM, it is a part of that."""

Places = tuple[int | None, ...]
"""Which channel is at each place of a tensor; None where there are zeros."""


def whole(channels: Iterable[int]) -> Places:
    """These channels, and zeros up to a whole block."""
    places = tuple(channels)
    return places + (None,) * (-len(places) % BLOCK)


def fold(conv: Any, norm: Any) -> nn.Conv2d:
    """The convolution with the normalisation in its weights."""
    return cast(nn.Conv2d, fuse_conv_bn_eval(conv, norm))


def place_conv(conv: nn.Conv2d, taken: Places, given: Places) -> nn.Conv2d:
    """The convolution for inputs and outputs at these places.

    One that looks at each channel alone takes for each output the input at the same place.
    """
    alone = conv.groups > 1
    shape: dict[str, Any] = {name: getattr(conv, name) for name in ("stride", "padding", "dilation")}
    moved = nn.Conv2d(len(taken), len(given), conv.kernel_size, groups=len(given) if alone else 1, **shape)  # type: ignore[arg-type]
    moved.weight, moved.bias = _move(conv, (0,) if alone else taken, given)
    return moved


def place_linear(layer: nn.Linear, taken: Places, given: Places) -> nn.Linear:
    """The layer for inputs and outputs at these places."""
    moved = nn.Linear(len(taken), len(given))
    moved.weight, moved.bias = _move(layer, taken, given)
    return moved


def _move(layer: nn.Conv2d | nn.Linear, taken: Places, given: Places) -> tuple[nn.Parameter, nn.Parameter]:
    """Its weights and biases at these places, zeros elsewhere."""
    assert layer.bias is not None
    rows, outputs = _filled(given)
    columns, inputs = _filled(taken)
    weight = torch.zeros(len(given), len(taken), *layer.weight.shape[2:])
    weight[rows[:, None], columns] = layer.weight.detach()[outputs[:, None], inputs]
    bias = torch.zeros(len(given))
    bias[rows] = layer.bias.detach()[outputs]
    return nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)


def _filled(places: Places) -> tuple[Tensor, Tensor]:
    """The places that hold a channel, and which."""
    pairs = [(place, channel) for place, channel in enumerate(places) if channel is not None]
    return torch.tensor([place for place, _ in pairs]), torch.tensor([channel for _, channel in pairs])
