"""The settings of the audiovisual network's training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.evaluation.modes import AUDIOVISUAL, check_mode
from emotion_core.models.audiovisual import AudiovisualConfig
from emotion_core.models.registry import preset, read_entry
from emotion_core.training.augment import AugmentConfig
from emotion_core.training.loop_config import LoopConfig
from emotion_core.training.settings import check_choices, check_ranges, from_mapping

DROPOUTS = ("nodrop", "noisedrop", "zerodrop")

PAPER = AugmentConfig(flip=0.5, rotation_deg=10.0, scale=1.0, translate=0.0, gamma=1.0, contrast=0.0, erase=0.0)
"""What the authors do to a clip, the same to all of its frames."""


@dataclass(frozen=True)
class AudiovisualTrainingConfig(LoopConfig):
    """What determines the trained weights, besides the data; the defaults are the authors'.

    Raises:
        EmotionError: a value is out of range.
    """

    model: AudiovisualConfig = field(default_factory=AudiovisualConfig)
    dropout: str = "zerodrop"
    """What is added to each batch, see ``training.modality_dropout``: 'nodrop', 'noisedrop' or 'zerodrop'."""
    epochs: int = 100
    batch_size: int = 8
    """Clips of each process, before the dropout adds to them."""
    lr: float = 0.04
    lr_steps: tuple[int, ...] = (40, 55, 65, 70, 200, 250)
    """Epochs done when the rate is multiplied by step_factor."""
    step_factor: float = 0.1
    momentum: float = 0.9
    dampening: float = 0.9
    """Share of a new gradient that the momentum leaves out."""
    weight_decay: float = 1e-3
    """Of all weights, biases and normalisations too."""
    eval_mode: str = AUDIOVISUAL
    """The mode of the validation, by which the best weights are chosen; see ``evaluation.modes``."""
    keep_best: bool = True
    freeze_frames: bool = False
    """What looks at single frames stays as it was at the start; only what comes after it learns."""
    augment: AugmentConfig | None = PAPER
    """Of the clips; brightness and contrast are drawn for each clip, not for each frame."""
    workers: int = 0
    """Processes that read clips; they decide nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, dropout=DROPOUTS)
        check_mode(self.eval_mode)
        check_ranges(
            self, epochs="[1, inf)", batch_size="[1, inf)", lr="(0, inf)", step_factor="(0, 1]", momentum="[0, 1)",
            dampening="[0, 1]", weight_decay="[0, inf)", workers="[0, inf)",
        )  # fmt: skip
        if any(type(step) is not int or step < 1 for step in self.lr_steps):
            raise EmotionError(f"lr_steps must be whole numbers of at least 1, got {list(self.lr_steps)}")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary of what decides the result."""
        settings = asdict(self)
        del settings["workers"]
        return settings

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AudiovisualTrainingConfig:
        """From the settings in a recipe; ``model`` may be the name of a preset.

        Raises:
            EmotionError: a setting is unknown, of another type or out of range.
        """
        settings = dict(data)
        model = settings.get("model")
        if model is not None:
            architecture, config = read_entry(preset(model) if isinstance(model, str) else model, "model")
            if architecture.config is not AudiovisualConfig:
                raise EmotionError(f"model must be an audiovisual network, got {architecture.type}")
            settings["model"] = config
        if settings.get("augment") is not None:
            settings["augment"] = from_mapping(AugmentConfig, settings["augment"], "the augmentation")
        if isinstance(settings.get("lr_steps"), list):
            settings["lr_steps"] = tuple(settings["lr_steps"])
        return from_mapping(cls, settings, "the audiovisual training")
