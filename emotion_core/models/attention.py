"""CBAM: attention over channels, then over places.

    Woo, Park, Lee, Kweon: CBAM: Convolutional Block Attention Module. ECCV 2018. https://arxiv.org/abs/1807.06521

Parameters are named as in the authors' files of the diversified ESR.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Attention(NamedTuple):
    """What a CBAM attends to, in (0, 1): ``channel`` (N, C) and ``spatial`` (N, 1, H, W)."""

    channel: Tensor
    spatial: Tensor


class ChannelGate(nn.Module):
    """One small network looks at the mean and at the maximum of every channel."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        return torch.sigmoid(self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3))))


class _SpatialConv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2, H, W) -> (N, 1, H, W)."""
        return self.bn(self.conv(x))


class SpatialGate(nn.Module):
    """A wide convolution looks at the maximum and at the mean of all channels at every place."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = _SpatialConv()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1, H, W)."""
        return torch.sigmoid(self.spatial(torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)))


class Cbam(nn.Module):
    """Weighs the channels of a feature map, then its places."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ChannelGate = ChannelGate(channels)
        self.SpatialGate = SpatialGate()

    def forward(self, x: Tensor) -> tuple[Tensor, Attention]:
        """(N, C, H, W) -> the weighed map, the same shape, and what it was weighed with."""
        channel = self.ChannelGate(x)
        x = x * channel[:, :, None, None]
        spatial = self.SpatialGate(x)
        return x * spatial, Attention(channel, spatial)
