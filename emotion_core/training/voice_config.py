"""The settings of a voice network's training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.models.registry import preset, read_entry
from emotion_core.models.voice import VoiceConfig
from emotion_core.runtime.voice import SHRINK
from emotion_core.training.loop_config import LoopConfig
from emotion_core.training.settings import check_ranges, from_mapping
from emotion_core.training.voice_augment import VoiceAugmentConfig


@dataclass(frozen=True)
class VoiceTrainingConfig(LoopConfig):
    """What determines the trained weights, besides the data and the encoder to start from.

    Raises:
        EmotionError: a value is out of range, or the model is no voice network.
    """

    model: Mapping[str, Any] = field(default_factory=lambda: preset("voice"))
    """The network, as cards hold it: {"type": "voice", its settings}. The number of classes comes from the data."""
    copies: int = 2
    """The classifier is the mean of one for the utterances as they are, and one for these with each changed copy."""
    kept: int = 600
    """Directions of the statistics that it looks at."""
    spread: float = 0.6
    """What is added to the variance within a class, as a share of the mean variance."""
    known_most: int = 39
    """It meets every utterance as if 1 to so many others of the same speaker had been heard before."""
    shrink: float = SHRINK
    """Utterances after which a speaker's own mean counts as much as everybody's."""
    epochs: int = 0
    """Of tuning the whole network, each on freshly changed utterances; the classifier is fitted again afterwards."""
    lr: float = 1e-4
    """Of the encoder's top layer, in the tuning."""
    layer_factor: float = 1.0
    """What each layer below learns slower by."""
    batch_size: int = 32
    """Of each process, in the tuning."""
    longest: int = 250
    """Frames of an utterance that the tuning looks at, a random part of longer ones."""
    label_smoothing: float = 0.1
    warmup: float = 0.05
    """Share of the tuning in which the learning rate rises."""
    augment: VoiceAugmentConfig = field(default_factory=VoiceAugmentConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            self, copies="[0, 100]", kept="[1, inf)", spread="(0, inf)", known_most="[1, inf)", shrink="(0, inf)",
            epochs="[0, inf)", lr="(0, inf)", layer_factor="[0, 1]", batch_size="[1, inf)", longest="[10, inf)",
            label_smoothing="[0, 1)", warmup="[0, 1)",
        )  # fmt: skip
        _, config = read_entry(self.model, "model")
        if not isinstance(config, VoiceConfig):
            raise EmotionError(f"model must be a voice network, got one of type {dict(self.model).get('type')!r}")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary of what decides the result."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VoiceTrainingConfig:
        """From the settings in a recipe; ``model`` may be the name of a preset.

        Raises:
            EmotionError: a setting is unknown, of another type or out of range.
        """
        settings = dict(data)
        if isinstance(model := settings.get("model"), str):
            settings["model"] = preset(model)
        elif model is not None and not isinstance(model, Mapping):
            raise EmotionError(f"model must be a preset or the settings of a network with its type, got {model!r}")
        if "augment" in settings:
            settings["augment"] = from_mapping(VoiceAugmentConfig, settings["augment"], "the augmentation")
        return from_mapping(cls, settings, "a voice network's training")
