"""Where in a face a network of any architecture saw what speaks for a class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from emotion_core.errors import EmotionError
from emotion_core.models.registry import named_outputs, outputs_of
from emotion_core.store.card import LOGITS


class _Watch(TorchFunctionMode):
    """Keeps each feature map (N, C, H, W) that is computed, whatever module or function computes it."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.ndim == 4 and min(result.shape[2:]) > 1 and result.requires_grad:
            self.maps.append(result)
        return result


def last_map(model: nn.Module, faces: Tensor, classes: Tensor | None) -> Tensor:
    """Grad-CAM of the last feature map that the logits depend on: after it, the network forgets where things are.

    Args:
        model: of the registry, in evaluation mode; takes single faces.
        faces: (N, channels, H, W).
        classes: (N,) indices of classes; None for each face's own.

    Returns:
        (N, h, w), not negative: the sum of the map's channels, each weighed by the mean gradient of the logit by it.

    Raises:
        EmotionError: the network has no such map.
    """
    outputs = outputs_of(model)
    with torch.enable_grad():
        given = faces.detach().clone().requires_grad_(True)
        with _Watch() as watch:
            result = named_outputs(outputs, model(given))
        logits = next(result[output.name] for output in outputs if output.kind == LOGITS)
        if logits.ndim == 3:
            logits = logits.mean(1)  # of members
        wanted = logits.argmax(1) if classes is None else classes
        score = logits.gather(1, wanted[:, None]).sum()
        for features in reversed(watch.maps):
            (gradient,) = torch.autograd.grad(score, features, retain_graph=True, allow_unused=True)
            if gradient is not None:
                weights = gradient.mean(dim=(2, 3), keepdim=True)
                return torch.relu((weights * features).sum(dim=1)).detach()
    raise EmotionError(f"{type(model).__name__} computes no feature maps: Grad-CAM explains convolutional networks")
