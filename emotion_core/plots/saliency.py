"""Which parts of a face made each branch of an ESR decide as it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emotion_core.errors import EmotionError
from emotion_core.store.card import ModelCard
from emotion_core.store.finding import find_model

if TYPE_CHECKING:
    from torch import Tensor

    from emotion_core.models.esr import Branch, Esr


def load_branches(model: str, card: ModelCard) -> Esr:
    """The network with gradients that an exported model was made from; takes torch.

    Args:
        model: name or path of the exported model; the weights are beside it.
        card: of the exported model.

    Raises:
        EmotionError: there are no weights, or other ones.
    """
    from emotion_core.export.weights import load_network
    from emotion_core.models.esr import Esr
    from emotion_core.models.registry import read_entry

    path = find_model(model).with_suffix(".safetensors")
    if not path.is_file():
        raise EmotionError(f"Grad-CAM takes the network's weights: expected {path}; the .onnx alone has no gradients")
    network, found = load_network(path)
    if not isinstance(network, Esr):
        raise EmotionError(f"Grad-CAM explains the branches of an ESR, and {path} is {found.architecture['type']!r}")
    if read_entry(found.architecture, path) != read_entry(card.architecture, path):
        raise EmotionError(f"{path} holds another network than the .onnx beside it: export it again")
    return network


def grad_cam(model: Esr, faces: NDArray[np.float32], classes: ArrayLike | None = None) -> NDArray[np.float32]:
    """Grad-CAM of every branch.

    Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization. ICCV 2017. The feature maps are those that the branch averages, the output of its
    last layer after ReLU (conv4 of the published networks); each weighs the mean gradient of the class's logit by it.
    Their sum after ReLU is brought to the size of the face bilinearly, and to a maximum of 1.

    Args:
        model: the network; computed in evaluation mode, its mode and gradients stay as they were.
        faces: (N, channels, S, S) float32 in [0, 1], as the network takes them.
        classes: whole numbers that broadcast to (N, branches): the class that each map explains. By default each
            branch's own.

    Returns:
        (N, branches, S, S) float32 in [0, 1]. A map is all zero where nothing speaks for the class.

    Raises:
        EmotionError: faces or classes have another shape, or there is no such class.
    """
    import torch

    config, branches = model.config, model.branches()
    expected = (config.in_channels, config.input_size, config.input_size)
    if faces.ndim != 4 or faces.shape[1:] != expected:
        raise EmotionError(f"expected faces of shape (N, {', '.join(map(str, expected))}), got {faces.shape}")
    chosen = None if classes is None else _chosen(classes, (len(faces), len(branches)), config.num_classes)
    was_training = model.training
    model.eval()
    try:
        device = next(model.parameters()).device
        with torch.no_grad():
            shared = model.base(torch.from_numpy(np.ascontiguousarray(faces, np.float32)).to(device))
        maps = [
            _branch_map(branch, shared, None if chosen is None else torch.from_numpy(chosen[:, i]).to(device))
            for i, branch in enumerate(branches)
        ]
        small = torch.stack(maps, 1)  # (N, branches, H, W)
        large = torch.nn.functional.interpolate(small, size=expected[1:], mode="bilinear", align_corners=False)
        highest = large.amax(dim=(2, 3), keepdim=True)
        scaled = torch.where(highest > 0, large / highest.clamp(min=torch.finfo(large.dtype).tiny), 0.0)
        return np.asarray(scaled.clamp(0.0, 1.0).cpu().numpy(), np.float32)
    finally:
        model.train(was_training)


def _branch_map(branch: Branch, shared: Tensor, classes: Tensor | None) -> Tensor:
    """(N, C, H, W) shared feature maps -> (N, H', W') of the branch, not negative."""
    import torch

    with torch.no_grad():
        features = branch.features(shared)
    features.requires_grad_(True)
    with torch.enable_grad():
        logits = branch.fc(branch.dropout(features.mean(dim=(2, 3))))
        wanted = logits.argmax(1) if classes is None else classes
        (gradient,) = torch.autograd.grad(logits.gather(1, wanted[:, None]).sum(), features)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return torch.relu((weights * features).sum(dim=1)).detach()


def _chosen(classes: ArrayLike, shape: tuple[int, int], count: int) -> NDArray[np.int64]:
    try:
        chosen = np.broadcast_to(np.asarray(classes), shape)
    except ValueError:
        raise EmotionError(f"expected classes that broadcast to {shape}, got {np.shape(classes)}") from None
    if chosen.dtype.kind not in "iu" or (chosen.size and not (chosen.min() >= 0 and chosen.max() < count)):
        raise EmotionError(f"expected classes in 0…{count - 1}, got {np.asarray(classes).tolist()}")
    return np.array(chosen, np.int64)
