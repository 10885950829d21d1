"""EfficientFace: a ShuffleNet V2 with a local and a modulated view of its first stage.

    Zhao, Liu, Zhou: Robust Lightweight Facial Expression Recognition Network with Label Distribution Training.
    AAAI 2021. https://github.com/zengqunzhao/EfficientFace
    Ma, Zhang, Zheng, Sun: ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design. ECCV 2018.
    https://arxiv.org/abs/1807.11164

Parameters are named as in the authors' files, so their state_dicts load as they are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from emotion_core.models.registry import Architecture
from emotion_core.store.card import FACE, LOGITS, Framing, Input, Output

FEATURES = 1024
"""Numbers that describe a face."""
SIZE_STEP = 32
"""The side of a face must be a multiple of it, for five layers halve it."""
_STEM, _STAGES = 29, ((116, 4), (232, 8), (464, 4))
RAF_DB_MEAN, RAF_DB_STD = (0.57535914, 0.44928582, 0.40079932), (0.20735591, 0.18981615, 0.18132027)
"""Of red, green and blue in RAF-DB, by which the authors normalise."""


@dataclass(frozen=True)
class EfficientFaceConfig:
    """Everything that is needed to build one; the defaults are the network that the authors trained on AffectNet-7.

    Attributes:
        num_classes: number of emotions.
        image_size: side of the square face in pixels, 224 in the authors' network.
        mean, std: of red, green and blue, by which the network itself normalises a face in [0, 1].

    Raises:
        ValueError: a value is out of range.
    """

    num_classes: int = 7
    image_size: int = 224
    mean: tuple[float, float, float] = RAF_DB_MEAN
    std: tuple[float, float, float] = RAF_DB_STD

    def __post_init__(self) -> None:
        check_classes(self.num_classes)
        check_image_size(self.image_size)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(value > 0 for value in self.std):
            raise ValueError(f"mean and std need three numbers each, std positive, got {self.mean} and {self.std}")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary that ``from_dict`` turns back into an equal config."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EfficientFaceConfig:
        """Inverse of ``to_dict``; raises ValueError naming an unknown or wrong key."""
        colours: dict[str, Any] = {name: tuple(data[name]) for name in ("mean", "std") if name in data}
        try:
            return cls(**{**data, **colours})
        except TypeError as error:
            raise ValueError(f"not an EfficientFace configuration: {error}") from None


def check_classes(count: int) -> None:
    """Raise ValueError for a number of classes that is none."""
    if not isinstance(count, int) or count < 2:
        raise ValueError(f"num_classes must be a whole number of at least 2, got {count!r}")


def check_image_size(size: int) -> None:
    """Raise ValueError for a side that five halvings do not divide."""
    if not isinstance(size, int) or size < SIZE_STEP or size % SIZE_STEP:
        raise ValueError(f"image_size must be a multiple of {SIZE_STEP}, got {size!r}")


class FaceFeatures(nn.Module):
    """The convolutions: what a face looks like, in FEATURES numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv(3, _STEM, 3, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = _STEM
        for number, (width, units) in enumerate(_STAGES, 2):
            first, rest = _ShuffleUnit(channels, width, 2), (_ShuffleUnit(width, width, 1) for _ in range(units - 1))
            self.add_module(f"stage{number}", nn.Sequential(first, *rest))
            channels = width
        self.local = _LocalFeatures(_STEM, _STAGES[0][0])
        self.modulator = _Modulator(_STAGES[0][0])
        self.conv5 = _conv(channels, FEATURES, 1)

    def features(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, FEATURES)."""
        x = self.maxpool(self.conv1(faces))  # (N, 29, S/4, S/4)
        stage2, stage3, stage4 = (self.get_submodule(f"stage{i}") for i in (2, 3, 4))
        x = self.modulator(stage2(x)) + self.local(x)  # (N, 116, S/8, S/8)
        x = self.conv5(stage4(stage3(x)))  # (N, 1024, S/32, S/32)
        return x.mean((2, 3))


class EfficientFace(FaceFeatures):
    """One face -> logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: EfficientFaceConfig | None = None) -> None:
        super().__init__()
        self.config = config or EfficientFaceConfig()
        self.fc = nn.Linear(FEATURES, self.config.num_classes)
        # Not among the weights: the authors' files do not have them, the configuration does.
        self.register_buffer("mean", torch.tensor(self.config.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(self.config.std)[:, None, None], persistent=False)

    def forward(self, faces: Tensor) -> Tensor:
        """Classify faces.

        Args:
            faces: (N, 3, image_size, image_size) float32 RGB in [0, 1].

        Returns:
            Logits (N, classes).
        """
        return self.fc(self.features((faces - self.mean) / self.std))


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _depthwise(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, groups=inputs, bias=False)


class _ShuffleUnit(nn.Module):
    """Half of the channels pass by, or with stride 2 take a way of their own; then the halves are mixed."""

    mixed: Tensor

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.split = stride, (half := outputs // 2)
        # One channel of this half, one of that. As indices it is a single operation in an exported network.
        self.register_buffer("mixed", torch.arange(outputs).view(2, half).T.flatten(), persistent=False)
        if stride > 1:
            self.branch1 = nn.Sequential(
                _depthwise(inputs, inputs, stride), nn.BatchNorm2d(inputs), *_conv(inputs, half, 1)
            )
        self.branch2 = nn.Sequential(
            *_conv(inputs if stride > 1 else half, half, 1),
            _depthwise(half, half, stride),
            nn.BatchNorm2d(half),
            *_conv(half, half, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H/stride, W/stride)."""
        if self.stride > 1:
            halves = self.branch1(x), self.branch2(x)
        else:
            halves = x[:, : self.split], self.branch2(x[:, self.split :])
        return torch.cat(halves, 1).index_select(1, self.mixed)


class _LocalFeatures(nn.Module):
    """Each quadrant of the map with filters of its own: top left, bottom left, top right, bottom right."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        for i in range(1, 5):
            self.add_module(f"conv{i}_1", _depthwise(inputs, outputs, 2))
            self.add_module(f"bn{i}_1", nn.BatchNorm2d(outputs))
            self.add_module(f"conv{i}_2", _depthwise(outputs, outputs))
            self.add_module(f"bn{i}_2", nn.BatchNorm2d(outputs))

    def _quadrant(self, number: int, x: Tensor) -> Tensor:
        for layer in (1, 2):
            x = self.get_submodule(f"bn{number}_{layer}")(self.get_submodule(f"conv{number}_{layer}")(x)).relu()
        return x

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, H) -> (N, C', H/2, H/2)."""
        half = int(x.shape[2]) // 2  # a number, so that an exported network need not compute it
        left, right = x[..., :half], x[..., half:]
        parts = [part for side in (left, right) for part in (side[:, :, :half], side[:, :, half:])]
        seen = [self._quadrant(i, part) for i, part in enumerate(parts, 1)]
        return torch.cat([torch.cat(seen[:2], 2), torch.cat(seen[2:], 2)], 3)


class _ChannelGate(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gate_c = nn.Sequential()
        self.gate_c.add_module("gate_c_fc_0", nn.Linear(channels, hidden))
        self.gate_c.add_module("gate_c_bn_1", nn.BatchNorm1d(hidden))
        self.gate_c.add_module("gate_c_relu_1", nn.ReLU())
        self.gate_c.add_module("gate_c_fc_final", nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 1, 1)."""
        return self.gate_c(x.mean((2, 3)))[:, :, None, None]


class _SpatialGate(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gate_s = nn.Sequential()
        self.gate_s.add_module("gate_s_conv_reduce0", nn.Conv2d(channels, hidden, 1))
        self.gate_s.add_module("gate_s_bn_reduce0", nn.BatchNorm2d(hidden))
        self.gate_s.add_module("gate_s_relu_reduce0", nn.ReLU())
        for i in range(2):
            self.gate_s.add_module(f"gate_s_conv_di_{i}", nn.Conv2d(hidden, hidden, 3, padding=4, dilation=4))
            self.gate_s.add_module(f"gate_s_bn_di_{i}", nn.BatchNorm2d(hidden))
            self.gate_s.add_module(f"gate_s_relu_di_{i}", nn.ReLU())
        self.gate_s.add_module("gate_s_conv_final", nn.Conv2d(hidden, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1, H, W)."""
        return self.gate_s(x)


class _Modulator(nn.Module):
    """Weighs every channel at every place.

    Park, Woo, Lee, Kweon: BAM: Bottleneck Attention Module. BMVC 2018; here the two gates are multiplied.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.channel_att = _ChannelGate(channels, channels // reduction)
        self.spatial_att = _SpatialGate(channels, channels // reduction)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return x * torch.sigmoid(self.channel_att(x) * self.spatial_att(x))


def _inputs(config: EfficientFaceConfig) -> tuple[Input, ...]:
    return (Input("faces", FACE, (3, config.image_size, config.image_size), "rgb", framing=Framing("box")),)


def _outputs(config: EfficientFaceConfig) -> tuple[Output, ...]:
    return (Output("logits", LOGITS, (config.num_classes,)),)


PRESETS = {"efficientface": EfficientFaceConfig(), "efficientface8": EfficientFaceConfig(num_classes=8)}

ARCHITECTURE = Architecture("efficientface", EfficientFaceConfig, EfficientFace, _inputs, _outputs, PRESETS)
