"""Batch normalisations without statistics of their own: networks whose statistics were merged into their layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def settle(model: nn.Module, inputs: Tensor) -> None:
    """Give each batch normalisation the statistics of what reaches it, and leave what the network does as it is.

    In training a normalisation uses the statistics of its batch. Where those that it keeps are far from them, a network
    that was trained before does something else at once, and has to be learned anew.

    Args:
        model: changed in place, and in evaluation mode afterwards.
        inputs: (N, …) a few hundred, as the network takes them.
    """
    model.eval()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(_settle_one) for norm in norms]
    try:
        model(inputs)
    finally:
        for handle in handles:
            handle.remove()


def _settle_one(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    arriving = given[0].transpose(0, 1).flatten(1)
    mean, variance = arriving.mean(1), arriving.var(1, correction=0)
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    norm.bias.add_(factor * (mean - norm.running_mean))
    norm.weight.copy_(factor * torch.sqrt(variance + norm.eps))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
