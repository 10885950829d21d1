"""A torch network with the interface of an exported one."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from emotion_core.models.esr import Esr
from emotion_core.runtime.ensemble import EnsembleOutput, softmax


class TorchNetwork:
    """Runs an ESR in eval mode without gradients, wherever its weights are.

    Args:
        model: stays as it is; its mode is restored after each call.
        batch_size: most faces at a time.
        has_affect: something has taught the heads for valence and arousal; otherwise these are NaN.
    """

    def __init__(self, model: Esr, batch_size: int = 64, has_affect: bool = True) -> None:
        self.model, self.batch_size, self.has_affect = model, batch_size, has_affect

    @torch.no_grad()
    def __call__(self, faces: NDArray[np.float32]) -> EnsembleOutput:
        """(N, channels, S, S) float32 in [0, 1] -> the branches' probabilities and affect."""
        training = [module for module in self.model.modules() if module.training]
        self.model.eval()
        device = next(self.model.parameters()).device
        logits, affect = [], []
        for batch in torch.from_numpy(np.ascontiguousarray(faces)).split(self.batch_size):
            output = self.model(batch.to(device))
            logits.append(output.logits.float().cpu())
            affect.append(output.affect.float().cpu())
        for module in training:
            module.training = True
        affects = torch.cat(affect).double().numpy()
        if not self.has_affect:
            affects = np.full_like(affects, np.nan)
        return EnsembleOutput(softmax(torch.cat(logits).numpy()), affects)
