"""Valence and arousal from the votes for categories, where nobody has annotated them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emotion_core.data.dataset import FaceSet
from emotion_core.labels import AFFECT_COORDINATES
from emotion_core.models.esr import Esr
from emotion_core.training.cpu import pixels_apart


@torch.no_grad()
def predict(model: Esr, faces: NDArray[np.uint8], batch_size: int = 256) -> Tensor:
    """Logits (N, branches, classes) of grey faces (N, S, S) uint8, in eval mode; on the CPU, wherever the model is."""
    model.eval()
    device = next(model.parameters()).device
    tensors = torch.from_numpy(np.ascontiguousarray(faces))[:, None].split(batch_size)
    return torch.cat([model(pixels_apart(batch.to(device).float() / 255)).logits.cpu() for batch in tensors])


@torch.no_grad()
def fit_affect(model: Esr, data: FaceSet) -> bool:
    """Fit each branch's ``fc_dimensional`` by ridge regression and leave everything else as it is.

    The target of a face is the expected position of its votes in the valence-arousal plane, the mean of
    AFFECT_COORDINATES weighted by the label distribution: derived from categories, not annotated. Votes for a label
    without coordinates do not count, and a face with no other votes is left out.

    Returns:
        Whether there was a face to fit to; without one the heads stay as they are.
    """
    known = torch.tensor([name in AFFECT_COORDINATES for name in data.labels])
    coordinates = torch.tensor([AFFECT_COORDINATES.get(name, (0.0, 0.0)) for name in data.labels])
    weights = torch.from_numpy(data.distributions) * known
    used = weights.sum(1) > 0
    if not used.any():
        return False
    targets = (weights @ coordinates)[used] / weights.sum(1, keepdim=True)[used]  # (N, 2)
    logits = predict(model, data.faces[used.numpy()])  # (N, branches, classes)
    for b, branch in enumerate(model.branches()):
        weight, bias = _ridge(branch.affect_features(logits[:, b]).double(), targets.double())
        branch.fc_dimensional.weight.copy_(weight.T)
        branch.fc_dimensional.bias.copy_(bias)
    return True


def _ridge(features: Tensor, targets: Tensor, penalty: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Weights (F, 2) and bias (2,) of the least squares fit of (N, F) to (N, 2), the weights slightly held back.

    Probabilities sum to 1 and some hardly vary: without the penalty their weights would be arbitrarily large.
    """
    centred = features - features.mean(0)
    covariance = centred.T @ centred / len(features) + penalty * torch.eye(features.shape[1], dtype=features.dtype)
    weight = torch.linalg.solve(covariance, centred.T @ (targets - targets.mean(0)) / len(features))
    return weight, targets.mean(0) - features.mean(0) @ weight
