"""The settings of a FacialEmotionLearner, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from emotion_core.errors import EmotionError
from emotion_core.learners.base import LearnerConfig
from emotion_core.models.esr import EsrConfig
from emotion_core.training.esr_branchwise_config import BranchwiseConfig
from emotion_core.training.settings import check_ranges


@dataclass(frozen=True)
class FacialLearnerConfig(LearnerConfig):
    """Names and defaults are those that OpenDR documents; what is below ``diversify`` is added here.

    Attributes:
        lr: initial learning rate of a new branch.
        batch_size: faces in a step.
        validation_interval: epochs between two validations.
        max_training_epoch: epochs of each branch.
        momentum: of the gradient descent.
        ensemble_size: number of branches.
        base_path_experiment, name_experiment: checkpoints, logs and plots lie in the folder of both.
        dimensional_finetune: tune valence and arousal.
        categorical_train: train the branches.
        base_path_to_dataset: the folder that ``emotion prepare affectnet`` wrote.
        max_tuning_epoch: epochs of the tuning.
        diversify: ESR*: attention after every layer, kept apart between branches.
        max_first_branch_epoch: epochs of the first branch, when not ``max_training_epoch``.
        older_lr_share: the base and the older branches learn at this share of ``lr`` when one is added.
        freeze_older_branches: they stay as they are, as for CK+.
        lr_step_epochs, lr_step_factor: the rates are multiplied by the factor after so many epochs, again and again,
            anew for each branch.
        images_per_class: most faces of a class (or quadrant) in the subset that each branch sees.
        tuning_lr: learning rate of the tuning.
        amp: mixed precision, 'none', 'bfloat16' or (on CUDA) 'float16'.
        bfloat16: the same as amp='bfloat16'.
        ema_decay: above 0, an exponential moving average of the weights is measured and kept.
        clip_norm: above 0, longer gradients are shortened to this norm.
        patience: above 0, a branch ends early after so many validations without a better one.
        workers: processes that read faces.
        seed: decides everything random.

    PRESETS hold what the authors do: 'affectnet', and 'ferplus', for which weights of AffectNet are loaded first.
    """

    lr: float = 0.1
    batch_size: int = 32
    validation_interval: int = 1
    max_training_epoch: int = 2
    momentum: float = 0.9
    ensemble_size: int = 9
    base_path_experiment: str = "./experiments/"
    name_experiment: str = "esr_9"
    dimensional_finetune: bool = True
    categorical_train: bool = False
    base_path_to_dataset: str = "./data/AffectNet"
    max_tuning_epoch: int = 1
    diversify: bool = False
    max_first_branch_epoch: int | None = None
    older_lr_share: float = 0.1
    freeze_older_branches: bool = False
    lr_step_epochs: int = 10
    lr_step_factor: float = 0.5
    images_per_class: int = 5000
    tuning_lr: float = 0.01
    amp: str = "none"
    bfloat16: bool = False
    ema_decay: float = 0.0
    clip_norm: float = 0.0
    patience: int = 0
    workers: int = 0
    seed: int = 0

    OTHER_NAMES: ClassVar = {"diversity": "diversify"}
    PRESETS: ClassVar = {
        "affectnet": {
            "categorical_train": True,
            "dimensional_finetune": True,
            "max_first_branch_epoch": 50,
            "max_training_epoch": 20,
            "max_tuning_epoch": 20,
        },
        "ferplus": {
            "categorical_train": True,
            "dimensional_finetune": False,
            "lr": 0.1,
            "older_lr_share": 0.2,
            "lr_step_epochs": 10,
            "lr_step_factor": 0.75,
            "max_first_branch_epoch": 100,
            "max_training_epoch": 60,
        },
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, max_training_epoch="[1, inf)", max_tuning_epoch="[1, inf)", ensemble_size="[1, inf)")
        if self.max_first_branch_epoch is not None and self.max_first_branch_epoch < 1:
            raise EmotionError(f"max_first_branch_epoch must be at least 1, got {self.max_first_branch_epoch}")
        if not self.name_experiment or "/" in self.name_experiment:
            raise EmotionError(f"name_experiment must be a folder's name, got {self.name_experiment!r}")
        if self.bfloat16 and self.amp == "float16":
            raise EmotionError("bfloat16=True and amp='float16' contradict each other: give one of them")
        if self.categorical_train or self.dimensional_finetune:
            self.training(EsrConfig(branches=self.ensemble_size))  # raises for what is out of range

    def training(self, model: EsrConfig) -> BranchwiseConfig:
        """How a network is trained with these settings."""
        same: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                "batch_size", "lr", "tuning_lr", "momentum", "validation_interval", "ema_decay", "clip_norm",
                "patience", "workers", "seed",
            )
        }  # fmt: skip
        return BranchwiseConfig(
            **same,
            model=model,
            categorical=self.categorical_train,
            dimensional=self.dimensional_finetune,
            first_epochs=self.max_first_branch_epoch or self.max_training_epoch,
            later_epochs=self.max_training_epoch,
            tuning_epochs=self.max_tuning_epoch,
            older_lr=0.0 if self.freeze_older_branches else self.older_lr_share,
            step_epochs=self.lr_step_epochs,
            step_factor=self.lr_step_factor,
            per_class=self.images_per_class,
            amp="bfloat16" if self.bfloat16 else self.amp,
        )
