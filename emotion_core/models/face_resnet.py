"""A residual network whose layers were trained to tell people apart, taught to tell what they feel.

The layers are those of dlib's face recognition network (Davis King, 2017; about 3 million faces of 7,485 people,
weights CC0), a ResNet-34 with fewer layers and half as many filters in each:

    He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition. CVPR 2016. https://arxiv.org/abs/1512.03385
    http://dlib.net/dnn_face_recognition_ex.cpp.html

``export.face_recognition_files`` reads those weights. Fewer blocks, and a smaller face, make a network that starts from
the same weights and is fast enough for a robot.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from emotion_core.models.efficientface import check_classes
from emotion_core.models.registry import Architecture
from emotion_core.store.card import AFFECT, FACE, LOGITS, Framing, Input, Output

CHANNELS = (32, 64, 128, 256, 256)
"""Of each stage; every stage but the first halves the side in its first block."""
PUBLISHED_BLOCKS = (3, 4, 3, 3, 1)
_SMALLEST_PX = 64  # a side from which every stage has something left
SPREAD = 0.22
"""Standard deviation to which a face's pixels are brought: about that of a photo whose values are divided by 256, as
the layers have seen them."""


@dataclass(frozen=True)
class FaceResnetConfig:
    """Everything that is needed to build one.

    Attributes:
        num_classes: number of emotions.
        image_size: side of the square face in pixels, 150 in the published network.
        in_channels: 1 (grey) or 3 (RGB).
        blocks: residual blocks in each stage; a stage that is left out at the end is not there. (3, 4, 3, 3, 1) in
            the published network.
        dropout: probability of dropping a feature before the classifier, in training only.
        inner_size: side to which the network itself enlarges the face; 0 leaves it. Faces that were learned from at 48
            pixels are not sharper in a photo of 200, which this makes sure of.

    Raises:
        ValueError: a value is out of range.
    """

    num_classes: int = 8
    image_size: int = 80
    in_channels: int = 1
    blocks: tuple[int, ...] = (3, 4, 3, 3)
    dropout: float = 0.2
    inner_size: int = 0

    def __post_init__(self) -> None:
        check_classes(self.num_classes)
        for name, least in (("image_size", 0 if self.inner_size else _SMALLEST_PX), ("inner_size", 0)):
            size = getattr(self, name)
            if not isinstance(size, int) or size < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {size!r}")
        if self.inner_size and self.inner_size < max(_SMALLEST_PX, self.image_size):
            raise ValueError(
                f"inner_size must be 0, or at least {_SMALLEST_PX} and image_size, got {self.inner_size!r}"
            )
        if self.in_channels not in (1, 3):
            raise ValueError(f"in_channels must be 1 (grey) or 3 (RGB), got {self.in_channels!r}")
        whole = all(isinstance(count, int) and count >= 1 for count in self.blocks)
        if not whole or not 1 <= len(self.blocks) <= len(CHANNELS):
            raise ValueError(f"blocks must be 1 to {len(CHANNELS)} positive whole numbers, got {self.blocks!r}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout!r}")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary that ``from_dict`` turns back into an equal config."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FaceResnetConfig:
        """Inverse of ``to_dict``; raises ValueError naming an unknown or wrong key."""
        try:
            blocks: dict[str, Any] = {"blocks": tuple(data["blocks"])} if "blocks" in data else {}
            return cls(**{**data, **blocks})
        except TypeError as error:
            raise ValueError(f"not a configuration of a face_resnet: {error}") from None


class FaceResnetOutput(NamedTuple):
    """``logits`` (N, classes) and ``affect`` (N, 2): valence and arousal, nominally in [-1, 1] and not clipped."""

    logits: Tensor
    affect: Tensor


class Block(nn.Module):
    """Two 3 x 3 convolutions around which the input is passed.

    Args:
        channels_in, channels: of the input and the output. A block with more channels than its input passes zeros for
            the new ones.
        halves: the first convolution goes in steps of 2, without a border; the input is averaged. The smaller one of
            the two results then gets zeros at its right and bottom.
    """

    def __init__(self, channels_in: int, channels: int, halves: bool) -> None:
        super().__init__()
        self.halves, self.added = halves, channels - channels_in
        step, border = (2, 0) if halves else (1, 1)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, step, border, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if not self.halves:
            return torch.relu(x + y)
        x = functional.avg_pool2d(x, 2)
        rows, columns = max(x.shape[2], y.shape[2]), max(x.shape[3], y.shape[3])
        y = functional.pad(y, (0, columns - y.shape[3], 0, rows - y.shape[2]))
        x = functional.pad(x, (0, columns - x.shape[3], 0, rows - x.shape[2], 0, self.added))
        return torch.relu(x + y)


class FaceResnet(nn.Module):
    """One face -> classes, and valence and arousal as a linear function of their probabilities."""

    def __init__(self, config: FaceResnetConfig) -> None:
        super().__init__()
        self.config = config
        self.conv = nn.Conv2d(config.in_channels, CHANNELS[0], 7, 2, bias=False)
        self.bn = nn.BatchNorm2d(CHANNELS[0])
        self.stages = nn.Sequential()
        channels = CHANNELS[0]
        for index, (wanted, count) in enumerate(zip(CHANNELS, config.blocks, strict=False)):
            stage = nn.Sequential()
            for position in range(count):
                stage.append(Block(channels, wanted, halves=index > 0 and position == 0))
                channels = wanted
            self.stages.append(stage)
        self.drop = nn.Dropout(config.dropout)
        self.fc = nn.Linear(channels, config.num_classes)
        self.fc_dimensional = nn.Linear(config.num_classes, 2)

    def features(self, faces: Tensor) -> Tensor:
        """What is seen of each face; independent of its exposure and contrast.

        Args:
            faces: (N, in_channels, image_size, image_size) float32 in [0, 1].

        Returns:
            (N, channels of the last stage) float32.
        """
        centred = faces - faces.mean(dim=(1, 2, 3), keepdim=True)
        variance = (centred * centred).mean(dim=(1, 2, 3), keepdim=True)
        x = centred * (SPREAD / torch.sqrt(variance + 1e-4))
        if size := self.config.inner_size:
            x = functional.interpolate(x, (size, size), mode="bilinear", align_corners=False)
        x = functional.max_pool2d(torch.relu(self.bn(self.conv(x))), 3, 2)
        return self.stages(x).mean(dim=(2, 3))

    def forward(self, faces: Tensor) -> FaceResnetOutput:
        """Classify faces; see ``features``."""
        logits = self.fc(self.drop(self.features(faces)))
        return FaceResnetOutput(logits, self.fc_dimensional(logits.softmax(-1)))


def _inputs(config: FaceResnetConfig) -> tuple[Input, ...]:
    colour = "grey" if config.in_channels == 1 else "rgb"
    shape = (config.in_channels, config.image_size, config.image_size)
    return (Input("faces", FACE, shape, colour, framing=Framing("fer2013")),)


def _outputs(config: FaceResnetConfig) -> tuple[Output, ...]:
    return Output("logits", LOGITS, (config.num_classes,)), Output("affect", AFFECT, (2,))


PRESETS = {
    "face_resnet": FaceResnetConfig(),
    "face_resnet_compact": FaceResnetConfig(image_size=48, inner_size=72, blocks=(3, 4, 3, 2)),
}

ARCHITECTURE = Architecture("face_resnet", FaceResnetConfig, FaceResnet, _inputs, _outputs, PRESETS)
