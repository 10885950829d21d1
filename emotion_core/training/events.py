"""What a training tells while it runs; whoever calls it decides what is shown, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotion_core.training.task import Stage


@dataclass(frozen=True)
class StepDone:
    """After each batch.

    Attributes:
        stage: the stage in progress.
        epoch: its epoch, from 1.
        share: of the whole training that is done, in [0, 1].
        loss: of the batch.
    """

    stage: Stage
    epoch: int
    share: float
    loss: float


@dataclass(frozen=True)
class EpochDone:
    """After each epoch, when its checkpoint is on the disk; ``row`` is its line of the history."""

    row: dict[str, Any]


@dataclass(frozen=True)
class Resumed:
    """At the beginning, when the folder holds a part of this training: ``epochs`` are done, over all stages."""

    folder: Path
    epochs: int


@dataclass(frozen=True)
class AlreadyFinished:
    """At the beginning, when the folder holds all of this training: nothing is trained."""

    folder: Path
    epochs: int

    def __str__(self) -> str:
        return (
            f"{self.folder} holds the whole training already ({self.epochs} epochs): nothing was trained; "
            "give another folder to train anew"
        )


Event = StepDone | EpochDone | Resumed | AlreadyFinished
OnEvent = Callable[[Event], None]
