"""Centre loss: beside telling classes apart, the features of a class are drawn towards their centre.

Wen, Zhang, Li, Qiao: A Discriminative Feature Learning Approach for Deep Face Recognition. ECCV 2016.
https://doi.org/10.1007/978-3-319-46478-7_31
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from emotion_core.errors import EmotionError
from emotion_core.training.distributed import Processes
from emotion_core.training.trained import class_logits


class WithFeatures(nn.Module):
    """A network that also gives what its last layer makes the scores of.

    Args:
        model: a network of the registry.
        example: one input, (1, *shape), to find that layer with.

    Attributes:
        layer: the last one.

    Raises:
        EmotionError: the scores do not come from one linear layer.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.model = model
        self._layer = (_last_layer(model, example),)  # in a tuple: it is not a second part of this network

    @property
    def layer(self) -> nn.Linear:
        """The last one."""
        return self._layer[0]

    def forward(self, *inputs: Tensor) -> tuple[Any, Tensor]:
        """What the network gives, and the features (N, D)."""
        seen: list[Tensor] = []
        handle = self.layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            output = self.model(*inputs)
        finally:
            handle.remove()
        return output, seen[0]


@torch.no_grad()
def _last_layer(model: nn.Module, example: Tensor) -> nn.Linear:
    made: list[tuple[nn.Linear, Tensor]] = []
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    handles = [layer.register_forward_hook(lambda layer, _, made_: made.append((layer, made_))) for layer in linear]
    try:
        logits = class_logits(model, model.eval()(example))
    finally:
        for handle in handles:
            handle.remove()
    for layer, output in made:
        if output is logits:
            return layer
    raise EmotionError(
        f"center_loss: {type(model).__name__} does not make its scores in one linear layer, which sees the features"
    )


class Centers:
    """One centre a class, which follows the features that are seen of it.

    Args:
        classes, size: number of classes, and of features.
        rate: share of the way to a class's features that its centre goes at each step, 'alpha' of the paper.

    Attributes:
        values: (classes, features) float32.
    """

    def __init__(self, classes: int, size: int, rate: float) -> None:
        self.values, self.rate = torch.zeros(classes, size), rate

    def losses(self, features: Tensor, classes: Tensor) -> Tensor:
        """Half the squared distance of each sample (N, D) to the centre of its class (N,), as the centres are now."""
        self.values = self.values.to(features.device)
        return (features.float() - self.values[classes]).square().sum(1) / 2

    @torch.no_grad()
    def follow(self, features: Tensor, classes: Tensor, processes: Processes) -> None:
        """Move the centres towards the samples that all processes saw."""
        off = self.values[classes] - features.detach().float()
        pull = torch.zeros_like(self.values).index_add_(0, classes, off)
        counts = torch.bincount(classes, minlength=len(self.values)).to(pull)
        pull, counts = processes.total(pull), processes.total(counts)
        self.values = self.values - self.rate * pull / (1 + counts)[:, None]
