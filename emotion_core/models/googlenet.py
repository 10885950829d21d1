"""GoogLeNet with batch normalisation, as torchvision has it; pytorchcv, from which the rest of the zoo comes, has none.

    Szegedy et al.: Going Deeper with Convolutions. CVPR 2015. https://arxiv.org/abs/1409.4842

Parameters are named as torchvision's, whose ImageNet weights come from TensorFlow: where the paper has filters of
5 x 5 they have 3 x 3, and so has this. The auxiliary classifiers, which nothing asks after training, are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_Block = tuple[str, int, int, tuple[int, int], tuple[int, int], int]
_STAGES: tuple[tuple[_Block, ...], ...] = (
    (("3a", 192, 64, (96, 128), (16, 32), 32), ("3b", 256, 128, (128, 192), (32, 96), 64)),
    (
        ("4a", 480, 192, (96, 208), (16, 48), 64),
        ("4b", 512, 160, (112, 224), (24, 64), 64),
        ("4c", 512, 128, (128, 256), (24, 64), 64),
        ("4d", 512, 112, (144, 288), (32, 64), 64),
        ("4e", 528, 256, (160, 320), (32, 128), 128),
    ),
    (("5a", 832, 256, (160, 320), (32, 128), 128), ("5b", 832, 384, (192, 384), (48, 128), 128)),
)
"""Name, channels in, and the channels out of each of the four branches."""
_FEATURES = 1024


class GoogleNet(nn.Module):
    """One picture -> scores of classes."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = _Conv(3, 64, 7, stride=2, padding=3)
        self.conv2 = _Conv(64, 64, 1)
        self.conv3 = _Conv(64, 192, 3, padding=1)
        for name, inputs, single, middle, large, pool in (block for stage in _STAGES for block in stage):
            self.add_module(f"inception{name}", _Inception(inputs, single, middle, large, pool))
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(_FEATURES, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, classes)."""
        x = _halved(self.conv1(x))  # (N, 64, S/4, S/4)
        x = _halved(self.conv3(self.conv2(x)))  # (N, 192, S/8, S/8)
        for number, stage in enumerate(_STAGES):
            if number:
                x = _halved(x, kernel=3 if number == 1 else 2)
            for name, *_ in stage:
                x = self.get_submodule(f"inception{name}")(x)
        return self.fc(self.dropout(x.mean((2, 3))))


def _halved(x: Tensor, kernel: int = 3) -> Tensor:
    return nn.functional.max_pool2d(x, kernel, stride=2, ceil_mode=True)


class _Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Convolution, normalisation, ReLU."""
        return self.bn(self.conv(x)).relu()


class _Inception(nn.Module):
    """Filters of several sizes, and a pool, side by side."""

    def __init__(self, inputs: int, single: int, middle: tuple[int, int], large: tuple[int, int], pool: int) -> None:
        super().__init__()
        self.branch1 = _Conv(inputs, single, 1)
        self.branch2 = nn.Sequential(_Conv(inputs, middle[0], 1), _Conv(*middle, 3, padding=1))
        self.branch3 = nn.Sequential(_Conv(inputs, large[0], 1), _Conv(*large, 3, padding=1))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), _Conv(inputs, pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, sum of the branches' channels, H, W)."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)
