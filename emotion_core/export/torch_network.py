"""A torch network with the interface of an exported one."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emotion_core.models.registry import named_outputs, outputs_of
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.card import AFFECT, LOGITS


class TorchNetwork:
    """Runs a network of the registry in eval mode without gradients, wherever its weights are.

    Args:
        model: stays as it is; its mode is restored after each call.
        batch_size: most samples at a time.
        has_affect: something has taught the heads for valence and arousal; otherwise these are NaN.
    """

    def __init__(self, model: nn.Module, batch_size: int = 64, has_affect: bool = True) -> None:
        self.model, self.batch_size, self.has_affect = model, batch_size, has_affect

    @torch.no_grad()
    def __call__(self, *inputs: NDArray[np.float32]) -> EnsembleOutput:
        """One array (N, *shape) for each of the network's inputs -> probabilities and affect of its members."""
        outputs = outputs_of(self.model)
        training = [module for module in self.model.modules() if module.training]
        self.model.eval()
        device = next(self.model.parameters()).device
        parts = [torch.from_numpy(np.ascontiguousarray(batch)).split(self.batch_size) for batch in inputs]
        results = []
        for batches in zip(*parts, strict=True):
            result = named_outputs(outputs, self.model(*(batch.to(device) for batch in batches)))
            results.append({name: value.float().cpu().numpy() for name, value in result.items()})
        for module in training:
            module.training = True
        joined = {name: np.concatenate([result[name] for result in results]) for name in results[0]}
        kinds = {output.kind: joined[output.name] for output in outputs}
        return EnsembleOutput.from_arrays(kinds[LOGITS], kinds.get(AFFECT) if self.has_affect else None)
