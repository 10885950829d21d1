"""The settings that every training has, whatever the method: those of the loop."""

from __future__ import annotations

from dataclasses import dataclass

from emotion_core.training.settings import check_choices, check_ranges

AMP = ("none", "bfloat16", "float16")


@dataclass(frozen=True)
class LoopConfig:
    """What the loop itself does; the settings of a method extend it, and may have other defaults.

    Raises:
        EmotionError: a value is out of range.
    """

    seed: int = 0
    """Decides everything random."""
    amp: str = "none"
    """Mixed precision: compute in 'bfloat16' or 'float16' where that is safe, while weights stay float32."""
    ema_decay: float = 0.0
    """The network that is measured and kept is an exponential moving average (EMA) of the trained one, batch
    statistics included; 0 takes the trained one itself."""
    clip_norm: float = 0.0
    """Longer gradients are shortened to this norm, taken over all weights; 0 leaves them."""
    validation_interval: int = 1
    """Epochs between two validations; a stage's last epoch is always validated."""
    patience: int = 0
    """A stage ends early after this many validations without a better score; 0 never."""
    keep_best: bool = False
    """A stage ends with the weights of its best validation, not with the last ones."""

    def __post_init__(self) -> None:
        check_choices(self, amp=AMP)
        check_ranges(
            self, seed="[0, inf)", ema_decay="[0, 1)", clip_norm="[0, inf)", validation_interval="[1, inf)",
            patience="[0, inf)",
        )  # fmt: skip
