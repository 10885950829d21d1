"""The audiovisual network: a face over 3.6 seconds and what is heard with it.

    Chumachenko, Iosifidis, Gabbouj: Self-attention fusion for audiovisual emotion recognition with incomplete data.
    ICPR 2022. https://arxiv.org/abs/2201.11095

EfficientFace looks at every frame, convolutions over time follow; other ones read the sound. Three fusions of the two
are published: intermediate attention (ia), intermediate transformers (it) and late transformers (lt). Parameters are
named as OpenDR saves them; ``export.audiovisual_files`` reads the authors' own names too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from emotion_core.models.cross_attention import CrossAttention, CrossAttentionBlock
from emotion_core.models.efficientface import FEATURES, FaceFeatures, check_classes, check_image_size
from emotion_core.models.registry import Architecture
from emotion_core.store.card import FACE_CLIP, LOGITS, SOUND, Framing, Input, Output

FUSIONS = ("ia", "it", "lt")
"""Intermediate attention, intermediate transformer, late transformer."""
_HOP = 512
MFCC: dict[str, Any] = {"type": "mfcc", "n_fft": 2048, "hop_length": _HOP, "n_mels": 128}
"""How the sound's cepstral coefficients are computed: librosa's defaults."""
_SEEN, _HEARD, _WIDTH = 64, 128, 128  # channels after stage 1 of picture and sound, and of both after stage 2
_SHRINK = 12  # steps that the unpadded convolutions and pools of the sound take away


@dataclass(frozen=True)
class AudiovisualConfig:
    """Everything that is needed to build one; the defaults are the published network.

    Attributes:
        num_classes: number of emotions.
        fusion: 'ia', 'it' or 'lt'.
        frames: of the clip, spread evenly over the window.
        image_size: side of a frame in pixels, 224 in the published network.
        coefficients: MFCC a step of the sound.
        window_s: length of picture and sound in seconds.
        sample_rate_hz: of the sound.
        heads: attentions side by side; must divide 64 ('ia', 'it') or 128 ('lt').

    Raises:
        ValueError: a value is out of range.
    """

    num_classes: int = 8
    fusion: str = "ia"
    frames: int = 15
    image_size: int = 224
    coefficients: int = 10
    window_s: float = 3.6
    sample_rate_hz: int = 22050
    heads: int = 1

    def __post_init__(self) -> None:
        check_classes(self.num_classes)
        check_image_size(self.image_size)
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion must be one of {', '.join(FUSIONS)}, got {self.fusion!r}")
        for name in ("frames", "coefficients", "sample_rate_hz", "heads"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if not 0.0 < self.window_s <= 60.0 or self.steps <= _SHRINK:
            least = _SHRINK * _HOP / self.sample_rate_hz
            raise ValueError(f"window_s must be at least {least:.2f} and at most 60, got {self.window_s}")
        narrowest = _WIDTH if self.fusion == "lt" else _SEEN
        if narrowest % self.heads:
            raise ValueError(f"heads must divide {narrowest} with fusion {self.fusion!r}, got {self.heads}")

    @property
    def steps(self) -> int:
        """Steps of the sound's features over the window."""
        return 1 + round(self.window_s * self.sample_rate_hz) // _HOP

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary that ``from_dict`` turns back into an equal config."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> AudiovisualConfig:
        """Inverse of ``to_dict``; raises ValueError naming an unknown or wrong key."""
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(f"not an audiovisual configuration: {error}") from None


class AudioNetwork(nn.Module):
    """Convolutions over time, in two stages."""

    def __init__(self, coefficients: int, num_classes: int) -> None:
        super().__init__()
        self.conv1d_0 = self._block(coefficients, 64)
        self.conv1d_1 = self._block(64, _HEARD)
        self.conv1d_2 = self._block(_HEARD, 256)
        self.conv1d_3 = self._block(256, _WIDTH)
        # For the sound alone; the fusions do not ask it, and the published files hold it.
        self.classifier = nn.Sequential(nn.Linear(_WIDTH, num_classes))

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv1d(inputs, outputs, 3), nn.BatchNorm1d(outputs), nn.ReLU(), nn.MaxPool1d(2, 1))

    def first_stage(self, sound: Tensor) -> Tensor:
        """(N, coefficients, T) -> (N, 128, T - 6)."""
        return self.conv1d_1(self.conv1d_0(sound))

    def second_stage(self, x: Tensor) -> Tensor:
        """(N, 128, T) -> (N, 128, T - 6)."""
        return self.conv1d_3(self.conv1d_2(x))


class VisualNetwork(FaceFeatures):
    """EfficientFace on each frame, then convolutions over time, in two stages."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1d_0 = self._block(FEATURES, _SEEN)
        self.conv1d_1 = self._block(_SEEN, _SEEN)
        self.conv1d_2 = self._block(_SEEN, _WIDTH)
        self.conv1d_3 = self._block(_WIDTH, _WIDTH)
        self.classifier = nn.Sequential(nn.Linear(_WIDTH, num_classes))  # not asked, see AudioNetwork

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv1d(inputs, outputs, 3, padding=1), nn.BatchNorm1d(outputs), nn.ReLU())

    def first_stage(self, features: Tensor) -> Tensor:
        """(N, FEATURES, frames) -> (N, 64, frames)."""
        return self.conv1d_1(self.conv1d_0(features))

    def second_stage(self, x: Tensor) -> Tensor:
        """(N, 64, frames) -> (N, 128, frames)."""
        return self.conv1d_3(self.conv1d_2(x))


class Audiovisual(nn.Module):
    """Both networks and their fusion. In ``av`` the sound asks the picture, in ``va`` the picture asks the sound."""

    def __init__(self, config: AudiovisualConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AudiovisualConfig()
        self.audio_model = AudioNetwork(config.coefficients, config.num_classes)
        self.visual_model = VisualNetwork(config.num_classes)
        kind: type[CrossAttention] | type[CrossAttentionBlock]
        kind = CrossAttention if config.fusion == "ia" else CrossAttentionBlock
        seen, heard = (_WIDTH, _WIDTH) if config.fusion == "lt" else (_SEEN, _HEARD)
        self.av, self.va = kind(seen, heard, config.heads), kind(heard, seen, config.heads)
        self.classifier = nn.Sequential(nn.Linear(2 * _WIDTH, config.num_classes))

    def forward(self, clip: Tensor, sound: Tensor) -> Tensor:
        """Classify clips.

        Args:
            clip: (N, 3, frames, image_size, image_size) float32 BGR in [0, 1], black where there is no picture.
            sound: (N, coefficients, steps) float32 MFCC as librosa gives them, zeros where there is no sound.

        Returns:
            Logits (N, classes).
        """
        size = self.config.image_size
        frames = clip.transpose(1, 2).reshape(-1, 3, size, size)
        features = self.visual_model.features(frames)
        return self.classify(features.reshape(-1, self.config.frames, FEATURES), sound)

    def classify(self, features: Tensor, sound: Tensor) -> Tensor:
        """The same, where the frames' features are known already.

        Args:
            features: (N, frames, FEATURES), what ``visual_model.features`` gives for each frame.
            sound: see ``forward``.
        """
        seen, heard = self.visual_model.first_stage(features.transpose(1, 2)), self.audio_model.first_stage(sound)
        if self.config.fusion == "ia":
            seen, heard = self._weigh(seen, heard)
        elif self.config.fusion == "it":
            seen, heard = seen + self._ask(self.va, heard, seen), heard + self._ask(self.av, seen, heard)
        seen, heard = self.visual_model.second_stage(seen), self.audio_model.second_stage(heard)
        if self.config.fusion == "lt":
            seen, heard = self._ask(self.va, heard, seen), self._ask(self.av, seen, heard)
        return self.classifier(torch.cat([heard.mean(2), seen.mean(2)], 1))

    def _weigh(self, seen: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Each step of one modality counts as much as the steps of the other one look at it."""
        assert isinstance(self.av, CrossAttention) and isinstance(self.va, CrossAttention)
        picture, sound = seen.transpose(1, 2), heard.transpose(1, 2)
        of_picture = self.av.weights(picture, sound).mean(1).sum(1)  # (N, frames)
        of_sound = self.va.weights(sound, picture).mean(1).sum(1)  # (N, steps)
        return seen * of_picture[:, None], heard * of_sound[:, None]

    @staticmethod
    def _ask(block: nn.Module, keys: Tensor, queries: Tensor) -> Tensor:
        """(N, channels, steps) of both -> the shape of the queries."""
        return block(keys.transpose(1, 2), queries.transpose(1, 2)).transpose(1, 2)

    def learned(self) -> list[nn.Parameter]:
        """The weights on which the logits depend: not those of the classifiers of one modality, nor in 'ia' of what
        makes something of the attended."""
        idle = ["audio_model.classifier.", "visual_model.classifier."]
        idle += ["av.proj.", "va.proj."] if self.config.fusion == "ia" else []
        return [parameter for name, parameter in self.named_parameters() if not name.startswith(tuple(idle))]


def _inputs(config: AudiovisualConfig) -> tuple[Input, ...]:
    picture = (3, config.frames, config.image_size, config.image_size)
    features = {**MFCC, "n_mfcc": config.coefficients, "window_s": config.window_s}
    return (
        Input("clip", FACE_CLIP, picture, "bgr", framing=Framing("box")),
        Input(
            "sound",
            SOUND,
            (config.coefficients, config.steps),
            sample_rate_hz=config.sample_rate_hz,
            features=features,
        ),
    )


def _outputs(config: AudiovisualConfig) -> tuple[Output, ...]:
    return (Output("logits", LOGITS, (config.num_classes,)),)


PRESETS = {f"av_{fusion}": AudiovisualConfig(fusion=fusion) for fusion in FUSIONS}

ARCHITECTURE = Architecture("audiovisual", AudiovisualConfig, Audiovisual, _inputs, _outputs, PRESETS)
