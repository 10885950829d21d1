"""Learning rates over a stage, by the schedulers of torch."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from emotion_core.training.task import Clock, Schedule


def warm_cosine(optimizer: Optimizer, clock: Clock, warmup: float) -> Schedule:
    """Rise linearly during the first ``warmup`` share of a stage, then fall to zero along a half cosine.

    It follows the share of the stage rather than a count of steps, because epochs that leave faces out are shorter.
    """

    def factor(_: int) -> float:
        if clock.share < warmup:
            return max(clock.share / warmup, 1e-3)
        return 0.5 * (1 + math.cos(math.pi * (clock.share - warmup) / (1 - warmup)))

    return Schedule(LambdaLR(optimizer, factor), by="step")
