"""The networks that the Residual Masking Network is compared with on FER2013, behind one configuration.

They come from pytorchcv (Oleg Semery, MIT; extra ``train``), all but GoogLeNet, which it does not have. Nothing is
downloaded: pytorchcv makes networks with random weights here, and ``export.backbone_files`` reads ImageNet weights.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from emotion_core.errors import EmotionError
from emotion_core.models.efficientface import check_classes, check_image_size
from emotion_core.models.registry import Architecture
from emotion_core.models.residual_masking import check_colour, face_input
from emotion_core.store.card import LOGITS, Framing, Input, Output

NETWORKS = {
    "vgg19": "vgg19",
    "efficientnet_b2b": "efficientnet_b2b",
    "googlenet": "",
    "resnet34": "resnet34",
    "inception_v3": "inceptionv3",
    "bam_resnet50": "bam_resnet50",
    "densenet121": "densenet121",
    "resnet152": "resnet152b",  # torchvision's: a block halves the side in its 3 x 3 convolution
    "cbam_resnet34": "cbam_resnet34",
    "cbam_resnet50": "cbam_resnet50",
}
"""Names here, and in pytorchcv."""
_SMALLEST = {"inception_v3": 96}  # pixels a side, where it is not the step of the sizes
_Colour = tuple[float, float, float]


@dataclass(frozen=True)
class ZooConfig:
    """Everything that is needed to build one.

    Attributes:
        network: one of NETWORKS.
        num_classes: number of emotions.
        image_size: side of the square face in pixels.
        colour: 'rgb', or 'grey': one channel, which the network sees as red, green and blue.
        mean, std: of red, green and blue, by which the network itself normalises a face in [0, 1]. As published it
            does not.

    Raises:
        ValueError: a value is out of range.
    """

    network: str
    num_classes: int = 7
    image_size: int = 224
    colour: str = "rgb"
    mean: _Colour = (0.0, 0.0, 0.0)
    std: _Colour = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {self.network!r}")
        check_classes(self.num_classes)
        check_image_size(self.image_size)
        check_colour(self.colour)
        if self.image_size < (least := _SMALLEST.get(self.network, 0)):
            raise ValueError(f"{self.network} needs an image_size of at least {least}, got {self.image_size}")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(value > 0 for value in self.std):
            raise ValueError(f"mean and std need three numbers each, std positive, got {self.mean} and {self.std}")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary that ``from_dict`` turns back into an equal config."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ZooConfig:
        """Inverse of ``to_dict``; raises ValueError naming an unknown or wrong key."""
        colours: dict[str, Any] = {name: tuple(data[name]) for name in ("mean", "std") if name in data}
        try:
            return cls(**{**data, **colours})
        except TypeError as error:
            raise ValueError(f"not a configuration of the zoo: {error}") from None


class ZooNetwork(nn.Module):
    """One face -> logits.

    Raises:
        EmotionError: pytorchcv is needed and not installed.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ZooConfig) -> None:
        super().__init__()
        self.config = config
        self.network = _make(config)
        # Not among the weights: other people's files do not have them, the configuration does.
        self.register_buffer("mean", torch.tensor(config.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(config.std)[:, None, None], persistent=False)

    def forward(self, faces: Tensor) -> Tensor:
        """Classify faces.

        Args:
            faces: (N, 3, image_size, image_size) float32 RGB in [0, 1], or (N, 1, ...) grey.

        Returns:
            Logits (N, classes).
        """
        return self.network((faces.expand(-1, 3, -1, -1) - self.mean) / self.std)


def _make(config: ZooConfig) -> nn.Module:
    if config.network == "googlenet":
        from emotion_core.models.googlenet import GoogleNet

        return GoogleNet(config.num_classes)
    try:
        from pytorchcv.model_provider import get_model
    except ModuleNotFoundError:
        raise EmotionError(
            f"{config.network} comes from pytorchcv, which is not installed: pip install 'emotion-perception[train]'"
        ) from None
    network = get_model(NETWORKS[config.network], num_classes=config.num_classes)
    # pytorchcv pools a fixed number of places, those of its own size of picture.
    if hasattr(network.features, "final_pool"):
        network.features.final_pool = nn.AdaptiveAvgPool2d(1)
    if config.network == "vgg19" and config.image_size != 224:
        layer = network.output.fc1.fc
        network.output.fc1.fc = nn.Linear(512 * (config.image_size // 32) ** 2, layer.out_features)
    return network


def _inputs(config: ZooConfig) -> tuple[Input, ...]:
    return (face_input(config.image_size, config.colour, Framing("fer2013")),)


def _outputs(config: ZooConfig) -> tuple[Output, ...]:
    return (Output("logits", LOGITS, (config.num_classes,)),)


PRESETS = {name: ZooConfig(name) for name in NETWORKS}

ARCHITECTURE = Architecture("zoo", ZooConfig, ZooNetwork, _inputs, _outputs, PRESETS)
