"""The settings of a training branch by branch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.models.esr import EsrConfig
from emotion_core.training.augment import PAPER, AugmentConfig
from emotion_core.training.loop_config import LoopConfig
from emotion_core.training.settings import check_ranges
from emotion_core.training.task import Stage

CATEGORICAL, DIMENSIONAL = "categorical", "dimensional"


@dataclass(frozen=True)
class EsrStage(Stage):
    """One part of the training: 'categorical' or 'dimensional', its epochs, and the size of the ensemble."""

    branches: int = 1

    def __str__(self) -> str:
        return f"{self.kind}, {self.branches} {'branch' if self.branches == 1 else 'branches'}"


@dataclass(frozen=True)
class BranchwiseConfig(LoopConfig):
    """What determines the trained weights, besides the data; the defaults are the authors' for AffectNet.

    Raises:
        EmotionError: a value is out of range, or nothing is to be trained.
    """

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
    keep_best: bool = True
    augment: AugmentConfig = PAPER
    workers: int = 0
    """Processes that read faces; they decide nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            self, first_epochs="[1, inf)", later_epochs="[1, inf)", tuning_epochs="[1, inf)", batch_size="[1, inf)",
            lr="(0, inf)", older_lr="[0, inf)", tuning_lr="(0, inf)", momentum="[0, 1)", step_epochs="[1, inf)",
            step_factor="(0, inf)", per_class="[1, inf)", workers="[0, inf)",
        )  # fmt: skip
        if not (self.categorical or self.dimensional):
            raise EmotionError("nothing to train: switch categorical or dimensional training on")

    def stages(self) -> list[EsrStage]:
        """What is trained, in order."""
        counts = range(1, self.model.branches + 1) if self.categorical else ()
        stages = [EsrStage(CATEGORICAL, self.first_epochs if n == 1 else self.later_epochs, n) for n in counts]
        return stages + [EsrStage(DIMENSIONAL, self.tuning_epochs, self.model.branches)] * self.dimensional

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary of what decides the result."""
        settings = asdict(self)
        del settings["workers"]
        return settings
