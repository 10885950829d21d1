"""The settings of a FacialEmotionLearner, checked."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.models.esr import EsrConfig
from emotion_core.training.esr_branchwise_config import BranchwiseConfig

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class FacialLearnerConfig:
    """Names and defaults are those that OpenDR documents; what is below ``diversify`` is added here.

    Attributes:
        lr: initial learning rate of a new branch.
        batch_size: faces in a step.
        temp_path: folder of the exported networks.
        device: 'cuda' or 'cpu'.
        device_ind: CUDA devices. One process uses the first; several GPUs take ``torchrun``.
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
        freeze_older_branches: the base and the older branches stay as they are when one is added, as for CK+.
        images_per_class: most faces of a class (or quadrant) in the subset that each branch sees.
        tuning_lr: learning rate of the tuning.
        bfloat16: mixed precision.
        workers: processes that read faces.
        seed: decides everything random.
    """

    lr: float = 0.1
    batch_size: int = 32
    temp_path: str = "temp"
    device: str = "cuda"
    device_ind: tuple[int, ...] = (0,)
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
    freeze_older_branches: bool = False
    images_per_class: int = 5000
    tuning_lr: float = 0.01
    bfloat16: bool = False
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise EmotionError(f"unknown device {self.device!r}: use one of {', '.join(DEVICES)}")
        if not self.device_ind or any(not isinstance(i, int) or i < 0 for i in self.device_ind):
            raise EmotionError(f"device_ind must list CUDA devices such as [0], got {list(self.device_ind)}")
        for name in ("max_training_epoch", "max_tuning_epoch", "ensemble_size"):
            if getattr(self, name) < 1:
                raise EmotionError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.name_experiment or "/" in self.name_experiment:
            raise EmotionError(f"name_experiment must be a folder's name, got {self.name_experiment!r}")
        if self.categorical_train or self.dimensional_finetune:
            self.training(EsrConfig(branches=self.ensemble_size))  # raises for what is out of range

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any], diversity: bool | None = None) -> FacialLearnerConfig:
        """From the learner's arguments; ``diversity`` is the other documented name of ``diversify``.

        Raises:
            EmotionError: an argument is unknown, out of range, or contradicts another; the message says what to do.
        """
        known = [item.name for item in fields(cls)]
        for name in arguments:
            if name not in known:
                close = difflib.get_close_matches(name, [*known, "diversity"], 1, 0.4)
                hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"
                raise EmotionError(f"FacialEmotionLearner has no argument {name!r}: {hint}")
        if diversity is not None:
            if "diversify" in arguments and arguments["diversify"] != diversity:
                raise EmotionError("diversify and diversity are two names of one setting and differ: give one of them")
            arguments = {**arguments, "diversify": diversity}
        if "device_ind" in arguments:
            given = arguments["device_ind"]
            arguments = {**arguments, "device_ind": (given,) if isinstance(given, int) else tuple(given)}
        return cls(**arguments)

    def training(self, model: EsrConfig) -> BranchwiseConfig:
        """How a network is trained with these settings."""
        return BranchwiseConfig(
            model=model,
            categorical=self.categorical_train,
            dimensional=self.dimensional_finetune,
            first_epochs=self.max_first_branch_epoch or self.max_training_epoch,
            later_epochs=self.max_training_epoch,
            tuning_epochs=self.max_tuning_epoch,
            batch_size=self.batch_size,
            lr=self.lr,
            older_lr=0.0 if self.freeze_older_branches else BranchwiseConfig.older_lr,
            tuning_lr=self.tuning_lr,
            momentum=self.momentum,
            per_class=self.images_per_class,
            validation_interval=self.validation_interval,
            bfloat16=self.bfloat16,
            workers=self.workers,
            seed=self.seed,
        )
