"""The settings of an AudiovisualEmotionLearner, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from emotion_core.errors import EmotionError
from emotion_core.learners.base import LearnerConfig
from emotion_core.models.audiovisual import FUSIONS, AudiovisualConfig
from emotion_core.training.audiovisual_config import DROPOUTS, AudiovisualTrainingConfig
from emotion_core.training.settings import check_choices, check_ranges


@dataclass(frozen=True)
class AudiovisualLearnerConfig(LearnerConfig):
    """Names and defaults are those that OpenDR documents; what is below ``checkpoint_load_iter`` is added here.

    Attributes:
        num_class: number of classes.
        seq_length: frames of a clip.
        fusion: 'ia', 'it' or 'lt', see ``models.audiovisual``.
        mod_drop: modality dropout: 'nodrop', 'noisedrop' or 'zerodrop', see ``training.modality_dropout``.
        pretr_ef: a trained EfficientFace from which the part that looks at frames starts; None for random weights.
        lr: learning rate.
        lr_steps: epochs at which it is divided by 10.
        momentum, dampening, weight_decay: of the gradient descent.
        iters: epochs.
        batch_size: clips in a step, before the modality dropout adds to them.
        n_workers: processes that read clips.
        checkpoint_after_iter: above 0, the state after every so many epochs is kept as ``checkpoint_<epoch>.pt``.
        checkpoint_load_iter: above 0, ``fit`` goes on from the state that was kept after this epoch.
        num_heads: attentions side by side.
        amp: mixed precision, 'none', 'bfloat16' or (on CUDA) 'float16'.
        seed: decides everything random.
    """

    device: str = "cpu"
    num_class: int = 8
    seq_length: int = 15
    fusion: str = "ia"
    mod_drop: str = "zerodrop"
    pretr_ef: str | None = None
    lr: float = 0.04
    lr_steps: tuple[int, ...] = (40, 55, 65, 70, 200, 250)
    momentum: float = 0.9
    dampening: float = 0.9
    weight_decay: float = 1e-3
    iters: int = 100
    batch_size: int = 8
    n_workers: int = 4
    checkpoint_after_iter: int = 0
    checkpoint_load_iter: int = 0
    num_heads: int = 1
    amp: str = "none"
    seed: int = 0

    OTHER_NAMES: ClassVar[Mapping[str, str]] = {
        "mod_dropout": "mod_drop",
        "batch-size": "batch_size",
        "checkpoint_after_ietr": "checkpoint_after_iter",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, fusion=FUSIONS, mod_drop=DROPOUTS)
        check_ranges(
            self, num_class="[2, inf)", seq_length="[1, inf)", iters="[1, inf)", n_workers="[0, inf)",
            num_heads="[1, inf)", checkpoint_after_iter="[0, inf)", checkpoint_load_iter="[0, inf)",
        )  # fmt: skip
        if not isinstance(self.lr_steps, (list, tuple)):
            raise EmotionError(f"lr_steps must be a list of epochs such as [40, 55], got {self.lr_steps!r}")
        object.__setattr__(self, "lr_steps", tuple(self.lr_steps))  # documented as a list
        self.training(AudiovisualConfig(num_classes=self.num_class))  # raises for what is out of range

    def training(
        self, model: AudiovisualConfig, eval_mode: str = "audiovisual", keep_best: bool = True
    ) -> AudiovisualTrainingConfig:
        """How a network is trained with these settings."""
        same: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("batch_size", "lr", "lr_steps", "momentum", "dampening", "weight_decay", "amp", "seed")
        }
        return AudiovisualTrainingConfig(
            **same,
            model=model,
            dropout=self.mod_drop,
            epochs=self.iters,
            eval_mode=eval_mode,
            keep_best=keep_best,
            workers=self.n_workers,
        )
