"""The term that keeps the branches of a diversified ESR apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from emotion_core.models.attention import Attention

GAMMA = 10.0


def similarity(maps: Tensor) -> Tensor:
    """How alike the branches' attention is: (branches, branches), 1 on the diagonal.

    Args:
        maps: (N, branches, values) in (0, 1).

    Returns:
        The mean over the batch of exp(-10 d^2), with the Euclidean distance d between two branches' values.
    """
    difference = maps[:, :, None] - maps[:, None]  # (N, branches, branches, values)
    return torch.exp(-GAMMA * difference.square().sum(-1)).mean(0)


def diversity_loss(attentions: Sequence[Attention]) -> Tensor:
    """Negative determinants of the branches' similarity in space and over channels, summed.

    From 0 when two branches attend to the same, down to -2 when no two of them do. The diagonal is 1: with zeros
    there, as in OpenDR, an odd number of branches is rewarded for being alike.

    Args:
        attentions: of each branch's last layer, as ``Esr.attend`` gives them; at least one.
    """
    spatial = torch.stack([attention.spatial.flatten(1) for attention in attentions], 1)
    channel = torch.stack([attention.channel for attention in attentions], 1)
    return -torch.linalg.det(similarity(spatial.float())) - torch.linalg.det(similarity(channel.float()))
