"""ESR: ensembles with shared representations.

A base of convolutions is computed once and shared by n convolutional branches, which form the ensemble.

    Siqueira, Magg, Wermter: Efficient Facial Feature Learning with Wide Ensemble-Based Convolutional Neural
    Networks. AAAI 2020. https://arxiv.org/abs/2001.06338

The published network (``EsrConfig()``, presets ``esr9`` and so on) keeps the authors' parameter names, so their
state_dicts load as they are. The diversified ESR (``attention=True``, presets ``esr_star9`` and so on) attends to
channels and places after every layer, and its training keeps the branches' attention apart. ``esr_compact`` is the
same idea as ESR for a robot's CPU: 48x48 grey faces, padded convolutions with skip connections, a wide and cheap
low-resolution part.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from emotion_core.models.attention import Attention, Cbam
from emotion_core.models.registry import Architecture
from emotion_core.store.card import AFFECT, FACE, LOGITS, Framing, Input, Output


@dataclass(frozen=True)
class ConvSpec:
    """One layer: Conv -> BatchNorm (-> + input) -> ReLU (-> 2x2 max pooling), stride 1."""

    channels: int
    kernel: int = 3
    padding: int = 0
    pool: bool = False
    skip: bool = False
    """Add the layer's input before the ReLU; needs equal channels and a size-preserving padding."""

    def output_size(self, size: int) -> int:
        """Side in pixels of the output for an input of ``size`` pixels."""
        size = size + 2 * self.padding - self.kernel + 1
        return size // 2 if self.pool else size


PAPER_BASE = (ConvSpec(64, 5), ConvSpec(128, pool=True), ConvSpec(128), ConvSpec(128, pool=True))
PAPER_BRANCH = (ConvSpec(128), ConvSpec(256, pool=True), ConvSpec(256), ConvSpec(512, padding=1))


@dataclass(frozen=True)
class EsrConfig:
    """Everything that is needed to build an ESR; the defaults are the published ESR-9.

    Attributes:
        branches: size of the ensemble, at least 1.
        in_channels: 1 (grey) or 3 (BGR, the order of the published weights).
        input_size: side of the square input in pixels.
        num_classes: number of emotions.
        width: multiplies the channels of every layer (rounded to a multiple of 8).
        base, branch: the layers of the shared base and of each branch.
        dropout: probability of dropping a feature before a branch's classifier, in training only.
        standardize: bring each face to zero mean and unit variance inside the network, which makes the result
            independent of exposure and contrast. The published network does not.
        affect_input: what valence and arousal are a linear function of: the positive 'logits' as published, or the
            'probabilities', which keeps a face of which the network is very sure within the range of the training.
        attention: a CBAM after every layer, which makes it a diversified ESR (ESR*).

    Raises:
        ValueError: a value is out of range, or the layers do not fit the input size.
    """

    branches: int = 9
    in_channels: int = 3
    input_size: int = 96
    num_classes: int = 8
    width: float = 1.0
    base: tuple[ConvSpec, ...] = PAPER_BASE
    branch: tuple[ConvSpec, ...] = PAPER_BRANCH
    dropout: float = 0.0
    standardize: bool = False
    affect_input: str = "logits"
    attention: bool = False

    def __post_init__(self) -> None:
        if self.branches < 1:
            raise ValueError(f"branches must be at least 1, got {self.branches}")
        if self.in_channels not in (1, 3):
            raise ValueError(f"in_channels must be 1 (grey) or 3 (BGR), got {self.in_channels}")
        if not 0.0 < self.width <= 8.0:
            raise ValueError(f"width must be in (0, 8], got {self.width}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if self.affect_input not in ("logits", "probabilities"):
            raise ValueError(f"affect_input must be 'logits' or 'probabilities', got {self.affect_input!r}")
        if not self.base or not self.branch:
            raise ValueError("base and branch need at least one layer each")
        size, channels = self.input_size, self.in_channels
        for i, layer in enumerate((*self.base, *self.branch)):
            if layer.skip and (self.scaled(layer.channels) != channels or 2 * layer.padding != layer.kernel - 1):
                raise ValueError(f"layer {i} has a skip connection, but changes the shape of its input")
            size, channels = layer.output_size(size), self.scaled(layer.channels)
            if size < 1:
                raise ValueError(
                    f"nothing is left of a {self.input_size} px input after layer {i}: use a larger input_size, "
                    "fewer pools, or padding"
                )

    def scaled(self, channels: int) -> int:
        """A layer's channels at this width."""
        return channels if self.width == 1.0 else max(8, round(channels * self.width / 8) * 8)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary that ``from_dict`` turns back into an equal config."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EsrConfig:
        """Inverse of ``to_dict``; raises ValueError naming an unknown or wrong key."""
        try:
            layers: dict[str, Any] = {}
            for part in ("base", "branch"):
                if part in data:
                    layers[part] = tuple(ConvSpec(**layer) for layer in data[part])
            return cls(**{**data, **layers})
        except TypeError as error:
            raise ValueError(f"not an ESR configuration: {error}") from None


def _same(channels: int, kernel: int = 3, **kwargs: Any) -> ConvSpec:
    return ConvSpec(channels, kernel, padding=kernel // 2, **kwargs)


PRESETS: dict[str, EsrConfig] = {
    "esr9": EsrConfig(),
    "esr15": EsrConfig(branches=15),
    "esr_star9": EsrConfig(attention=True),
    "esr_star15": EsrConfig(branches=15, attention=True),
    # The authors' network for CK+: narrow, grey.
    "esr4_ckplus": EsrConfig(
        branches=4,
        in_channels=1,
        base=(ConvSpec(32, 5), ConvSpec(64, pool=True), ConvSpec(64, pool=True)),
        branch=(ConvSpec(64, pool=True), ConvSpec(64)),
    ),
    "esr_compact": EsrConfig(
        branches=3,
        in_channels=1,
        input_size=48,
        base=(
            _same(32, 5, pool=True),  # 24x24
            _same(48),
            _same(48, skip=True, pool=True),  # 12x12
            _same(128),
            _same(128, skip=True),
            _same(128, skip=True),
            _same(128, skip=True, pool=True),  # 6x6
        ),
        branch=(_same(160), _same(160, skip=True)),
        dropout=0.2,
        standardize=True,
        affect_input="probabilities",
    ),
}


class EsrOutput(NamedTuple):
    """Results of all branches: ``logits`` (N, branches, classes) and ``affect`` (N, branches, 2), which is
    valence and arousal, nominally in [-1, 1] and not clipped."""

    logits: Tensor
    affect: Tensor


class _ConvStack(nn.Module):
    """Layers named conv1, bn1, cbam1, conv2, ... as in the authors' files."""

    def __init__(self, in_channels: int, layers: tuple[ConvSpec, ...], config: EsrConfig) -> None:
        super().__init__()
        self.layers = layers
        for i, layer in enumerate(layers, 1):
            channels = config.scaled(layer.channels)
            self.add_module(f"conv{i}", nn.Conv2d(in_channels, channels, layer.kernel, padding=layer.padding))
            self.add_module(f"bn{i}", nn.BatchNorm2d(channels))
            if config.attention:
                self.add_module(f"cbam{i}", Cbam(channels))
            in_channels = channels
        self.out_channels = in_channels
        self.attention = config.attention

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        return self.attended_features(x)[0]

    def attended_features(self, x: Tensor) -> tuple[Tensor, Attention | None]:
        """(N, C, H, W) -> (N, C', H', W'), and the attention after the last layer where the network has one."""
        attention = None
        for i, layer in enumerate(self.layers, 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x))
            x = torch.relu(y + x if layer.skip else y)
            if layer.pool:
                x = nn.functional.max_pool2d(x, 2)
            if self.attention:
                x, attention = self.get_submodule(f"cbam{i}")(x)
        return x, attention


class Base(_ConvStack):
    """The shared representations."""

    def __init__(self, config: EsrConfig) -> None:
        super().__init__(config.in_channels, config.base, config)
        self.standardize = config.standardize

    def forward(self, faces: Tensor) -> Tensor:
        """(N, in_channels, S, S) in [0, 1] -> shared feature maps (N, C, H, W)."""
        if self.standardize:
            centred = faces - faces.mean(dim=(1, 2, 3), keepdim=True)
            variance = (centred * centred).mean(dim=(1, 2, 3), keepdim=True)
            faces = centred / torch.sqrt(variance + 1e-4)
        return self.features(faces)


class Branch(_ConvStack):
    """One member of the ensemble: convolutions, global average, class logits, and affect from the logits."""

    def __init__(self, in_channels: int, config: EsrConfig) -> None:
        super().__init__(in_channels, config.branch, config)
        self.dropout = nn.Dropout(config.dropout)
        self.fc = nn.Linear(self.out_channels, config.num_classes)
        self.fc_dimensional = nn.Linear(config.num_classes, 2)
        self.affect_input = config.affect_input

    def affect_features(self, logits: Tensor) -> Tensor:
        """What ``fc_dimensional`` is applied to, the shape of the logits."""
        return torch.relu(logits) if self.affect_input == "logits" else logits.softmax(-1)

    def forward(self, shared: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> logits (N, classes), valence and arousal (N, 2)."""
        return self.classify(self.features(shared))

    def classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C', H', W'), what ``features`` gives -> logits (N, classes), valence and arousal (N, 2)."""
        logits = self.fc(self.dropout(features.mean(dim=(2, 3))))
        return logits, self.fc_dimensional(self.affect_features(logits))


class Esr(nn.Module):
    """The ensemble. Parameters are named ``base.*`` and ``convolutional_branches.{i}.*``."""

    def __init__(self, config: EsrConfig | None = None) -> None:
        super().__init__()
        self.config = config or EsrConfig()
        self.base = Base(self.config)
        self.convolutional_branches = nn.ModuleList(
            Branch(self.base.out_channels, self.config) for _ in range(self.config.branches)
        )

    def branches(self) -> list[Branch]:
        """The members of the ensemble."""
        return [branch for branch in self.convolutional_branches if isinstance(branch, Branch)]

    def forward(self, faces: Tensor) -> EsrOutput:
        """Run all branches.

        Args:
            faces: (N, in_channels, input_size, input_size), float32 in [0, 1], BGR order when in colour.
        """
        shared = self.base(faces)
        logits, affect = zip(*(branch(shared) for branch in self.convolutional_branches), strict=True)
        return EsrOutput(torch.stack(logits, 1), torch.stack(affect, 1))

    def attend(self, faces: Tensor) -> tuple[EsrOutput, list[Attention]]:
        """The same, and the attention of each branch's last layer; the list is empty in a network without."""
        shared = self.base(faces)
        outputs, attentions = [], []
        for branch in self.branches():
            features, attention = branch.attended_features(shared)
            outputs.append(branch.classify(features))
            if attention is not None:
                attentions.append(attention)
        logits, affect = zip(*outputs, strict=True)
        return EsrOutput(torch.stack(logits, 1), torch.stack(affect, 1)), attentions

    def add_branch(self) -> Branch:
        """One more branch with fresh weights, at the end; on the device of the others."""
        branch = Branch(self.base.out_channels, self.config).to(next(self.parameters()).device)
        branch.train(self.training)
        self.convolutional_branches.append(branch)
        self.config = replace(self.config, branches=len(self.convolutional_branches))
        return branch

    def to_state_dict(self) -> list[dict[str, Tensor]]:
        """The weights as the authors' files hold them: of the base, then of each branch."""
        return [part.state_dict() for part in (self.base, *self.branches())]

    def keep_branches(self, count: int) -> None:
        """Forget all branches but the first ``count``."""
        self.convolutional_branches = self.convolutional_branches[:count]
        self.config = replace(self.config, branches=count)


def _inputs(config: EsrConfig) -> tuple[Input, ...]:
    colour = "grey" if config.in_channels == 1 else "bgr"
    shape = (config.in_channels, config.input_size, config.input_size)
    return (Input("faces", FACE, shape, colour, framing=Framing("fer2013")),)


def _outputs(config: EsrConfig) -> tuple[Output, ...]:
    return (
        Output("logits", LOGITS, (config.branches, config.num_classes)),
        Output("affect", AFFECT, (config.branches, 2)),
    )


ARCHITECTURE = Architecture("esr", EsrConfig, Esr, _inputs, _outputs, PRESETS)
