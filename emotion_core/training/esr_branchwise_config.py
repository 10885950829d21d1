"""The settings of a training branch by branch."""

from __future__ import annotations

from dataclasses import dataclass, field

from emotion_core.errors import EmotionError
from emotion_core.models.esr import EsrConfig
from emotion_core.training.augment import PAPER, AugmentConfig

CATEGORICAL, DIMENSIONAL = "categorical", "dimensional"


@dataclass(frozen=True)
class BranchwiseConfig:
    """What determines the trained weights, besides the data; the defaults are the authors' for AffectNet."""

    model: EsrConfig = field(default_factory=EsrConfig)
    categorical: bool = True
    """Train the branches; otherwise only the heads for valence and arousal."""
    dimensional: bool = True
    """Tune the heads for valence and arousal."""
    first_epochs: int = 50
    later_epochs: int = 20
    """Epochs of each branch after the first."""
    tuning_epochs: int = 20
    batch_size: int = 32
    """Of each process."""
    lr: float = 0.1
    older_lr: float = 0.1
    """The base and the older branches learn at this share of lr; 0 freezes them, as for CK+."""
    tuning_lr: float = 0.01
    momentum: float = 0.9
    step_epochs: int = 10
    step_factor: float = 0.5
    """The rate is multiplied by step_factor every step_epochs, anew for each branch."""
    per_class: int = 5000
    """Most faces of a class in a branch's subset, and of a quadrant of the plane in the tuning's."""
    validation_interval: int = 1
    augment: AugmentConfig = PAPER
    bfloat16: bool = False
    """Compute in bfloat16 where that is safe, weights stay float32."""
    workers: int = 0
    """Processes that read faces."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (
            ("first_epochs", 1), ("later_epochs", 1), ("tuning_epochs", 1), ("batch_size", 1), ("step_epochs", 1),
            ("per_class", 1), ("validation_interval", 1), ("workers", 0), ("seed", 0), ("older_lr", 0),
        ):  # fmt: skip
            if getattr(self, name) < low:
                raise EmotionError(f"{name} must be at least {low}, got {getattr(self, name)}")
        for name in ("lr", "tuning_lr", "step_factor"):
            if not getattr(self, name) > 0:
                raise EmotionError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.momentum < 1:
            raise EmotionError(f"momentum must be in [0, 1), got {self.momentum}")
        if not (self.categorical or self.dimensional):
            raise EmotionError("nothing to train: switch categorical or dimensional training on")

    def stages(self) -> list[Stage]:
        """What is trained, in order."""
        counts = range(1, self.model.branches + 1) if self.categorical else ()
        stages = [Stage(CATEGORICAL, n, self.first_epochs if n == 1 else self.later_epochs) for n in counts]
        return stages + [Stage(DIMENSIONAL, self.model.branches, self.tuning_epochs)] * self.dimensional


@dataclass(frozen=True)
class Stage:
    """One part of the training: ``kind``, size of the ensemble, number of epochs."""

    kind: str
    branches: int
    epochs: int
