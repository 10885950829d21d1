"""The settings of a plain classifier's training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.models.registry import preset, read_entry
from emotion_core.training.augment import AugmentConfig
from emotion_core.training.loop_config import LoopConfig
from emotion_core.training.settings import check_choices, check_ranges, from_mapping

OPTIMIZERS = ("sgd", "adamw", "radam")
SCHEDULES = ("cosine", "step", "plateau", "constant")


@dataclass(frozen=True)
class ClassifierConfig(LoopConfig):
    """What determines the trained weights, besides the data.

    Raises:
        EmotionError: a value is out of range, or the model is no network of the registry.
    """

    model: Mapping[str, Any] = field(default_factory=lambda: preset("esr_compact"))
    """The network, as cards hold it: {"type": …, its settings}. The number of classes comes from the data."""
    epochs: int = 30
    batch_size: int = 64
    """Of each process."""
    optimizer: str = "sgd"
    """'sgd' (Nesterov), 'adamw' or 'radam' (Liu et al.: On the Variance of the Adaptive Learning Rate. ICLR 2020)."""
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    """Of weights; biases and normalisations do not decay."""
    schedule: str = "cosine"
    """'cosine' with a linear warm-up, 'step', 'plateau' (of the validation accuracy) or 'constant'."""
    warmup: float = 0.05
    """Share of the training in which the rate of 'cosine' rises."""
    step_epochs: int = 10
    step_factor: float = 0.1
    """'step' multiplies the rate by step_factor every step_epochs, 'plateau' at each plateau."""
    plateau_patience: int = 2
    """Validations without a better accuracy after which 'plateau' lowers the rate."""
    keep_best: bool = True
    label_smoothing: float = 0.0
    """Share of the targets that is spread evenly over all classes."""
    distributions: bool = True
    """Learn the label distributions where the dataset has them, rather than its classes."""
    class_weights: str | Mapping[str, float] = "none"
    """'none', 'balanced' (every class counts alike, however rare), or what each label counts."""
    teacher_weight: float = 0.5
    """Share of the teachers' probabilities in the targets, when there are teachers."""
    center_loss: float = 0.0
    """Weight of the distance of features to the centre of their class, 'lambda' of Wen et al. (ECCV 2016)."""
    center_rate: float = 0.5
    """Share of the way to the features of a batch that a centre goes at each step."""
    top_k: int = 0
    """Also measure how often the class is among the k most probable ones; 0 does not."""
    augment: AugmentConfig | None = field(default_factory=AugmentConfig)
    """Of pictures of faces; other inputs are taken as the dataset gives them."""
    workers: int = 0
    """Processes that read samples; they decide nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, optimizer=OPTIMIZERS, schedule=SCHEDULES)
        check_ranges(
            self, epochs="[1, inf)", batch_size="[1, inf)", lr="(0, inf)", momentum="[0, 1)", weight_decay="[0, inf)",
            warmup="[0, 1)", step_epochs="[1, inf)", step_factor="(0, 1]", plateau_patience="[0, inf)",
            label_smoothing="[0, 1)", teacher_weight="[0, 1]", center_loss="[0, inf)", center_rate="(0, 1]",
            top_k="[0, inf)", workers="[0, inf)",
        )  # fmt: skip
        weights = self.class_weights
        if isinstance(weights, Mapping):
            for label, weight in weights.items():
                if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
                    raise EmotionError(f"class_weights: {label} must count a number of at least 0, got {weight!r}")
        elif weights not in ("none", "balanced"):
            raise EmotionError(f"class_weights must be none, balanced, or a number for each label, got {weights!r}")
        read_entry(self.model, "model")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary of what decides the result."""
        settings = asdict(self)
        del settings["workers"]
        architecture, network = read_entry(self.model, "model")
        # In full: what a recipe leaves to the network's defaults decides the result, too.
        settings["model"] = json.loads(json.dumps({"type": architecture.type, **network.to_dict()}))
        return settings

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ClassifierConfig:
        """From the settings in a recipe; ``model`` may be the name of a preset.

        Raises:
            EmotionError: a setting is unknown, of another type or out of range.
        """
        settings = dict(data)
        model = settings.get("model")
        if isinstance(model, str):
            settings["model"] = preset(model)
        elif model is not None and not isinstance(model, Mapping):
            raise EmotionError(f"model must be a preset or the settings of a network with its type, got {model!r}")
        if settings.get("augment") is not None:
            settings["augment"] = from_mapping(AugmentConfig, settings["augment"], "the augmentation")
        return from_mapping(cls, settings, "a classifier's training")
