"""The Residual Masking Network: a ResNet-34 whose stages are each weighed by a mask that a small U-Net makes of them.

    Pham, Vu, Tran: Facial Expression Recognition Using Residual Masking Network. ICPR 2020.
    https://github.com/phamquiluan/ResidualMaskingNetwork, there ``resmasking_dropout1``
    He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition. CVPR 2016. https://arxiv.org/abs/1512.03385

Parameters are named as in the authors' files, which list the shortcuts of the masks twice; here they have one name
each. ``export.backbone_files`` reads those files, and ImageNet weights for the ResNet-34.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from emotion_core.models.efficientface import check_classes, check_image_size
from emotion_core.models.registry import Architecture
from emotion_core.store.card import FACE, LOGITS, Framing, Input, Output

_UNITS = (3, 4, 6, 3)  # residual blocks in each stage
_DEPTHS = (4, 3, 2, 1)  # resolutions that each stage's mask looks at
COLOURS = ("rgb", "grey")


@dataclass(frozen=True)
class ResidualMaskingConfig:
    """Everything that is needed to build one; the defaults are the published network.

    Attributes:
        num_classes: number of emotions.
        image_size: side of the square face in pixels, 224 in the published network.
        colour: 'rgb', or 'grey': one channel, which the network sees as red, green and blue.
        width: channels of the first stage; each further one has twice as many. 64 in the published network.
        dropout: of the features before the classifier.

    Raises:
        ValueError: a value is out of range.
    """

    num_classes: int = 7
    image_size: int = 224
    colour: str = "rgb"
    width: int = 64
    dropout: float = 0.4

    def __post_init__(self) -> None:
        check_classes(self.num_classes)
        check_image_size(self.image_size)
        check_colour(self.colour)
        if not isinstance(self.width, int) or self.width < 1:
            raise ValueError(f"width must be a whole number of at least 1, got {self.width!r}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout!r}")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary that ``from_dict`` turns back into an equal config."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ResidualMaskingConfig:
        """Inverse of ``to_dict``; raises ValueError naming an unknown or wrong key."""
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(f"not a configuration of a Residual Masking Network: {error}") from None


def check_colour(colour: str) -> None:
    """Raise ValueError for colours that a network of three channels cannot be given."""
    if colour not in COLOURS:
        raise ValueError(f"colour must be one of {', '.join(COLOURS)}, got {colour!r}")


def face_input(image_size: int, colour: str, framing: Framing) -> Input:
    """The input of a network that sees three channels: a colour face, or a grey one that is given to all of them."""
    return Input("faces", FACE, (1 if colour == "grey" else 3, image_size, image_size), colour, framing=framing)


class ResidualMasking(nn.Module):
    """One face -> logits."""

    def __init__(self, config: ResidualMaskingConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ResidualMaskingConfig()
        channels = config.width
        self.conv1 = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        for number, (units, depth) in enumerate(zip(_UNITS, _DEPTHS, strict=True), 1):
            width = config.width << (number - 1)
            first = BasicBlock(channels, width, stride=1 if number == 1 else 2)
            self.add_module(
                f"layer{number}", nn.Sequential(first, *(BasicBlock(width, width) for _ in range(units - 1)))
            )
            self.add_module(f"mask{number}", Mask(width, depth))
            channels = width
        self.fc = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(channels, config.num_classes))
        self._begin()

    def _begin(self) -> None:
        """Random weights as the authors draw them: each block of a mask begins as its shortcut."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for mask in (module for module in self.modules() if isinstance(module, Mask)):
            for block in (module for module in mask.modules() if isinstance(module, BasicBlock)):
                nn.init.zeros_(block.bn2.weight)

    def forward(self, faces: Tensor) -> Tensor:
        """Classify faces.

        Args:
            faces: (N, 3, image_size, image_size) float32 RGB in [0, 1], or (N, 1, ...) grey.

        Returns:
            Logits (N, classes).
        """
        x = self.bn1(self.conv1(faces.expand(-1, 3, -1, -1))).relu()
        x = self.maxpool(x)  # (N, width, S/4, S/4)
        for number in range(1, len(_UNITS) + 1):
            x = self.get_submodule(f"layer{number}")(x)  # twice the channels at half the side, from the second on
            x = x * (1 + self.get_submodule(f"mask{number}")(x))
        return self.fc(x.mean((2, 3)))


class Mask(nn.Module):
    """What matters where in a stage: a U-Net that doubles the channels at each halving of the side.

    Args:
        channels: of the stage.
        depth: number of resolutions; the side must be divisible by two as often as they change.
    """

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.down_pooling = nn.MaxPool2d(2)
        for step in range(1, depth + 1):
            self.add_module(f"conv{step}", BasicBlock(channels << (step - 1), channels << step))
        for step in range(depth + 1, 2 * depth + 1):
            wide, narrow = channels << (2 * depth - step + 1), channels << (2 * depth - step)
            if step < 2 * depth:
                up = nn.ConvTranspose2d(wide, narrow, 2, stride=2)
                self.add_module(f"up_pool{step}", nn.Sequential(up, nn.BatchNorm2d(narrow), nn.ReLU(inplace=True)))
            self.add_module(f"conv{step}", BasicBlock(wide, narrow))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape; all channels of a place sum to 1."""
        seen = []
        for step in range(1, self.depth + 1):
            x = self.get_submodule(f"conv{step}")(x)  # (N, C * 2^step, H / 2^(step-1), W / 2^(step-1))
            if step < self.depth:
                seen.append(x)
                x = self.down_pooling(x)
        for step in range(self.depth + 1, 2 * self.depth + 1):
            if seen:
                x = torch.cat([self.get_submodule(f"up_pool{step}")(x), seen.pop()], 1)
            x = self.get_submodule(f"conv{step}")(x)
        return x.softmax(1)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut around them."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        changed = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (changed + self.downsample(x)).relu()


def _inputs(config: ResidualMaskingConfig) -> tuple[Input, ...]:
    return (face_input(config.image_size, config.colour, Framing("mean_side", 1.1)),)


def _outputs(config: ResidualMaskingConfig) -> tuple[Output, ...]:
    return (Output("logits", LOGITS, (config.num_classes,)),)


PRESETS = {"resmasking_dropout1": ResidualMaskingConfig()}

ARCHITECTURE = Architecture("residual_masking", ResidualMaskingConfig, ResidualMasking, _inputs, _outputs, PRESETS)
