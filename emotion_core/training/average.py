"""The exponential moving average of a network's weights, which generalises better than the last ones.

Izmailov et al.: Averaging Weights Leads to Wider Optima and Better Generalization. UAI 2018.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average:
    """A second network that follows the first, batch statistics included.

    Args:
        model: followed; the average begins as a copy of it.
        decay: what is kept of the average at each step, in [0, 1), once there were enough steps to average over.
        steps: that were averaged already.

    Attributes:
        model: the average, in eval mode.
    """

    def __init__(self, model: nn.Module, decay: float, steps: int = 0) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay, self.steps = decay, steps

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """Move towards the model's present weights."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        for mean, value in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)
