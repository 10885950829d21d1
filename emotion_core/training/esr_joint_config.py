"""The settings of a joint training of all branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.models.esr import PRESETS, EsrConfig
from emotion_core.training.augment import AugmentConfig
from emotion_core.training.loop_config import LoopConfig
from emotion_core.training.settings import check_ranges, from_mapping


@dataclass(frozen=True)
class EsrTrainingConfig(LoopConfig):
    """What determines the trained weights, besides the data.

    The learning rate rises linearly to ``lr`` during the first ``warmup`` share of all steps and then falls to zero
    along a half cosine. The base, which receives gradients from every branch, learns at ``lr / branches``.

    Raises:
        EmotionError: a value is out of range.
    """

    model: EsrConfig = field(default_factory=lambda: PRESETS["esr_compact"])
    epochs: int = 60
    batch_size: int = 128
    """Of each process."""
    lr: float = 0.1
    warmup: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    ema_decay: float = 0.998
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
    start_share: float = 0.0
    """Share of the weights to start from in those that are kept at the end. What a network knew and what it learned lie
    in one valley of the loss, and between the two it is often better at both.

    Wortsman et al.: Robust fine-tuning of zero-shot models. CVPR 2022.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            self, epochs="[1, inf)", batch_size="[2, inf)", lr="(0, inf)", warmup="[0, 1)", momentum="[0, 1)",
            weight_decay="[0, inf)", calm_epochs="[0, inf)", prune="[0, 1)", unpruned_epochs="[0, inf)",
            teacher_weight="[0, 1]", start_share="[0, 1)",
        )  # fmt: skip
        if not all(epoch >= 0 and side >= 8 for epoch, side in self.resolutions):
            raise EmotionError(f"resolutions must be epoch:side with a side of 8 or more, got {self.resolutions}")

    def side(self, epoch: int) -> int:
        """Side in pixels of the faces in this epoch."""
        reached = [(start, side) for start, side in self.resolutions if start <= epoch]
        return max(reached)[1] if reached else self.model.input_size

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {**asdict(self), "model": self.model.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EsrTrainingConfig:
        """From settings such as ``to_dict`` gives; ``model`` may be the name of a preset.

        Raises:
            EmotionError: a setting is unknown, of another type or out of range.
        """
        settings = dict(data)
        settings["model"] = _model(settings.get("model", "esr_compact"))
        settings["augment"] = from_mapping(AugmentConfig, settings.get("augment", {}), "the augmentation")
        if "resolutions" in settings:
            try:
                settings["resolutions"] = tuple((int(epoch), int(side)) for epoch, side in settings["resolutions"])
            except (TypeError, ValueError):
                raise EmotionError(
                    f"resolutions must be pairs [epoch, side in pixels], got {settings['resolutions']!r}"
                ) from None
        return from_mapping(cls, settings, "a joint training")


def _model(given: Any) -> EsrConfig:
    if isinstance(given, str):
        if given not in PRESETS:
            raise EmotionError(f"unknown model {given!r}: use one of {', '.join(PRESETS)}, or its layers")
        return PRESETS[given]
    if not isinstance(given, Mapping):
        raise EmotionError(f"model must be one of {', '.join(PRESETS)}, or the settings of a network, got {given!r}")
    try:
        return EsrConfig.from_dict(dict(given))
    except (TypeError, ValueError) as error:
        raise EmotionError(f"these are no settings of a network: {error}") from None
