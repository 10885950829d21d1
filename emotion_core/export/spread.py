"""Transposed convolutions for ONNX Runtime: as a convolution of single places whose channels become neighbours.

A transposed convolution of 2 x 2 in steps of 2 writes four places for each that it reads, and no place twice. So it is
a 1 x 1 convolution with four times the channels, which are then spread out. The values are the same but for rounding;
ONNX Runtime computes convolutions faster than transposed ones, and has only those in integers.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_STEP = (2, 2)


def spread(model: nn.Module) -> nn.Module:
    """A copy that computes the same without such transposed convolutions, for export; others stay as they are."""
    if not any(_is_such(module) for module in model.modules()):
        return model
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for parent in list(model.modules()):
        names = list(parent._modules)
        for i, name in enumerate(names):
            layer = parent._modules[name]
            if not _is_such(layer):
                continue
            assert isinstance(layer, nn.ConvTranspose2d)
            behind = parent._modules[names[i + 1]] if i + 1 < len(names) else None
            if isinstance(parent, nn.Sequential) and isinstance(behind, nn.BatchNorm2d):
                layer = fuse_conv_bn_eval(layer, behind, transpose=True)
                parent._modules[names[i + 1]] = nn.Identity()
            parent._modules[name] = _places_first(layer)
    return model


def _is_such(layer: nn.Module | None) -> bool:
    return (
        isinstance(layer, nn.ConvTranspose2d)
        and layer.kernel_size == layer.stride == _STEP
        and layer.padding == layer.output_padding == (0, 0)
        and layer.dilation == (1, 1)
        and layer.groups == 1
    )


@torch.no_grad()
def _places_first(layer: nn.ConvTranspose2d) -> nn.Sequential:
    count = _STEP[0] * _STEP[1]
    conv = nn.Conv2d(layer.in_channels, layer.out_channels * count, 1)
    # (in, out, 2, 2) -> (4 out, in): a channel's four places follow each other, as PixelShuffle wants them.
    conv.weight.copy_(layer.weight.permute(1, 2, 3, 0).reshape(-1, layer.in_channels, 1, 1))
    assert conv.bias is not None
    conv.bias.copy_(torch.zeros(len(conv.bias)) if layer.bias is None else layer.bias.repeat_interleave(count))
    return nn.Sequential(conv, nn.PixelShuffle(_STEP[0]))
