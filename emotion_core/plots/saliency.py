"""Which parts of a face made a network, or each branch of an ESR, decide as it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emotion_core.errors import EmotionError
from emotion_core.store.card import LOGITS, ModelCard
from emotion_core.store.finding import ENSEMBLE_SUFFIX, find_model

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emotion_core.models.esr import Branch


def load_explained(model: str, card: ModelCard) -> nn.Module:
    """The network with gradients that an exported model was made from; takes torch.

    Args:
        model: name or path of the exported model; the weights are beside it.
        card: of the exported model, which takes single faces.

    Raises:
        EmotionError: there are no weights, or other ones, or the model is an ensemble or takes anything else.
    """
    path = find_model(model)
    if path.suffix == ENSEMBLE_SUFFIX:
        raise EmotionError(f"Grad-CAM explains one network, and {model} is an ensemble: name one of its members")
    card.face  # noqa: B018  # raises for what takes anything else
    from emotion_core.export.weights import load_network
    from emotion_core.models.registry import read_entry

    path = path.with_suffix(".safetensors")
    if not path.is_file():
        raise EmotionError(f"Grad-CAM takes the network's weights: expected {path}; the .onnx alone has no gradients")
    network, found = load_network(path)
    if read_entry(found.architecture, path) != read_entry(card.architecture, path):
        raise EmotionError(f"{path} holds another network than the .onnx beside it: export it again")
    return network


def grad_cam(model: nn.Module, faces: NDArray[np.float32], classes: ArrayLike | None = None) -> NDArray[np.float32]:
    """Grad-CAM of a network, or of every branch of an ESR.

    Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization. ICCV 2017. The feature maps are the last ones that the logits depend on; in an ESR
    those that a branch averages, the output of its last layer after ReLU (conv4 of the published networks). Each
    weighs the mean gradient of the class's logit by it. Their sum after ReLU is brought to the size of the face
    bilinearly, and to a maximum of 1.

    Args:
        model: a network of the registry that takes single faces; computed in evaluation mode, its mode and gradients
            stay as they were.
        faces: (N, channels, H, W) float32, as the network takes them.
        classes: whole numbers that broadcast to (N, branches): the class that each map explains. By default each
            branch's own. A network without branches counts as one.

    Returns:
        (N, branches, H, W) float32 in [0, 1]. A map is all zero where nothing speaks for the class.

    Raises:
        EmotionError: faces or classes have another shape, there is no such class, or the network has no feature maps.
    """
    import torch

    expected, branches, count = _sizes(model)
    if not isinstance(faces, np.ndarray) or faces.ndim != 4 or faces.shape[1:] != expected:
        got = getattr(faces, "shape", type(faces).__name__)
        raise EmotionError(f"expected faces of shape (N, {', '.join(map(str, expected))}), got {got}")
    if faces.dtype.kind != "f" or not np.isfinite(faces).all():
        raise EmotionError(f"expected faces of finite floats, got {faces.dtype}, or NaN or infinity among them")
    chosen = None if classes is None else _chosen(classes, (len(faces), branches), count)
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        device = next(model.parameters()).device
        given = torch.from_numpy(np.ascontiguousarray(faces, np.float32)).to(device)
        wanted = None if chosen is None else torch.from_numpy(chosen).to(device)
        small = _maps(model, given, wanted)  # (N, branches, h, w)
        large = torch.nn.functional.interpolate(small, size=expected[1:], mode="bilinear", align_corners=False)
        highest = large.amax(dim=(2, 3), keepdim=True)
        scaled = torch.where(highest > 0, large / highest.clamp(min=torch.finfo(large.dtype).tiny), 0.0)
        return np.asarray(scaled.clamp(0.0, 1.0).cpu().numpy(), np.float32)
    finally:
        for module in training:
            module.training = True


def _sizes(model: nn.Module) -> tuple[tuple[int, ...], int, int]:
    """Shape of a face, and numbers of branches and classes."""
    from emotion_core.models.esr import Esr
    from emotion_core.models.registry import inputs_of, outputs_of

    if isinstance(model, Esr):
        config = model.config
        return (config.in_channels, config.input_size, config.input_size), len(model.branches()), config.num_classes
    classes = next(output.shape[-1] for output in outputs_of(model) if output.kind == LOGITS)
    return inputs_of(model)[0].shape, 1, classes


def _maps(model: nn.Module, faces: Tensor, classes: Tensor | None) -> Tensor:
    """(N, C, H, W) -> (N, branches, h, w), not negative; of classes (N, branches)."""
    import torch

    from emotion_core.models.esr import Esr
    from emotion_core.plots.feature_maps import last_map

    if isinstance(model, Esr):
        with torch.no_grad():
            shared = model.base(faces)
        each = [None] * len(model.branches()) if classes is None else list(classes.unbind(1))
        return torch.stack(
            [_branch_map(branch, shared, c) for branch, c in zip(model.branches(), each, strict=True)], 1
        )
    if not len(faces):
        return faces.new_zeros((0, 1, *faces.shape[2:]))
    return last_map(model, faces, None if classes is None else classes[:, 0])[:, None]


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
