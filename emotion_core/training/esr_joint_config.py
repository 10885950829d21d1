"""The settings of a joint training of all branches."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.models.esr import PRESETS, EsrConfig
from emotion_core.training.augment import AugmentConfig


@dataclass(frozen=True)
class EsrTrainingConfig:
    """What determines the trained weights, besides the data.

    The learning rate rises linearly to ``lr`` during the first ``warmup`` share of all steps and then falls to zero
    along a half cosine. The base, which receives gradients from every branch, learns at ``lr / branches``. The
    published weights are an exponential moving average (EMA) of the trained ones, batch statistics included.
    """

    model: EsrConfig = field(default_factory=lambda: PRESETS["esr_compact"])
    epochs: int = 60
    batch_size: int = 128
    lr: float = 0.1
    warmup: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    ema_decay: float = 0.998
    seed: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    calm_epochs: int = 8
    """During this many epochs at the end the augmentation is calmed, see AugmentConfig.calmed."""
    resolutions: tuple[tuple[int, int], ...] = ((0, 32), (28, 40), (48, 48))
    """(epoch, side in pixels): from this epoch on, counted from 0, faces are drawn at this size. Small faces first
    make an epoch cheap while the network still learns coarse things. Empty: always at the network's input size.

    Tan, Le: EfficientNetV2: Smaller Models and Faster Training. ICML 2021, section 4.
    """
    prune: float = 0.5
    """Share of the faces with a loss below the mean that an epoch leaves out; the others of these count the more.

    Qin et al.: InfoBatch: Lossless Training Speed Up by Unbiased Dynamic Data Pruning. ICLR 2024.
    """
    unpruned_epochs: int = 6
    """Epochs at the end that use every face."""
    teacher_weight: float = 0.3
    """Share of the teacher's probabilities in the targets, when a teacher is given."""

    def __post_init__(self) -> None:
        for name, ok, want in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 2, "at least 2"),
            ("lr", self.lr > 0, "positive"),
            ("warmup", 0 <= self.warmup < 1, "in [0, 1)"),
            ("momentum", 0 <= self.momentum < 1, "in [0, 1)"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("calm_epochs", self.calm_epochs >= 0, "at least 0"),
            ("ema_decay", 0 <= self.ema_decay < 1, "in [0, 1)"),
            ("prune", 0 <= self.prune < 1, "in [0, 1)"),
            ("unpruned_epochs", self.unpruned_epochs >= 0, "at least 0"),
            ("teacher_weight", 0 <= self.teacher_weight <= 1, "in [0, 1]"),
            ("resolutions", all(e >= 0 and s >= 8 for e, s in self.resolutions), "epoch:side with a side of 8 or more"),
        ):
            if not ok:
                raise EmotionError(f"{name} must be {want}, got {getattr(self, name)}")

    def side(self, epoch: int) -> int:
        """Side in pixels of the faces in this epoch."""
        reached = [(start, side) for start, side in self.resolutions if start <= epoch]
        return max(reached)[1] if reached else self.model.input_size

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {**asdict(self), "model": self.model.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EsrTrainingConfig:
        """From settings such as ``to_dict`` gives; ``model`` may be the name of a preset.

        Raises:
            EmotionError: a setting is unknown, of another type or out of range.
        """
        settings = dict(data)
        try:
            model = settings.pop("model", "esr_compact")
            if isinstance(model, str) and model not in PRESETS:
                raise EmotionError(f"unknown model {model!r}: use one of {', '.join(PRESETS)}, or its layers")
            settings["model"] = PRESETS[model] if isinstance(model, str) else EsrConfig.from_dict(model)
            settings["augment"] = AugmentConfig(**settings.get("augment", {}))
            if "resolutions" in settings:
                settings["resolutions"] = tuple((int(epoch), int(side)) for epoch, side in settings["resolutions"])
            return cls(**settings)
        except (TypeError, ValueError) as error:
            raise EmotionError(f"these are no settings of a training: {error}") from None
