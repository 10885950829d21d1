"""The files in which others publish the audiovisual network and EfficientFace: weights without any metadata.

OpenDR writes a state_dict. The authors of the two networks write it under the key ``state_dict``, some of its names are
others, and names of a network trained on GPUs begin with ``module.``. What can be told from the weights is told from
them; the rest comes from a configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from emotion_core.errors import EmotionError
from emotion_core.export.torch_file import read_state
from emotion_core.export.weights import load_network
from emotion_core.models.audiovisual import Audiovisual, AudiovisualConfig
from emotion_core.models.efficientface import EfficientFace, EfficientFaceConfig, FaceFeatures

_OTHER_NAMES = {"classifier_1": "classifier", "av1": "av", "va1": "va"}
"""Parts of names in the authors' files, and here."""


def load_audiovisual(path: str | Path, config: AudiovisualConfig | None = None) -> Audiovisual:
    """Read a published audiovisual network.

    Args:
        path: a state_dict in OpenDR's or the authors' naming.
        config: gives what the weights do not tell (frames, image size, window, heads); by default the published ones.

    Returns:
        The network in evaluation mode, with the fusion, the classes and the coefficients that the weights have.

    Raises:
        EmotionError: the file is missing, damaged, or holds another network.
    """
    state = {
        ".".join(_OTHER_NAMES.get(part, part) for part in name.split(".")): tensor
        for name, tensor in read_state(path).items()
    }
    try:
        found: dict[str, Any] = {
            "fusion": _fusion_of(state),
            "num_classes": len(state["classifier.0.weight"]),
            "coefficients": state["audio_model.conv1d_0.0.weight"].shape[1],
        }
    except (KeyError, IndexError):
        raise EmotionError(
            f"{path} holds no audiovisual network: expected weights of its fusion and classifier"
        ) from None
    try:
        model = Audiovisual(replace(config or AudiovisualConfig(), **found))
    except ValueError as error:
        raise EmotionError(f"{path}: {error}") from None
    _fill(model, state, path)
    return model.eval()


def load_efficientface(path: str | Path) -> EfficientFace:
    """Read a published EfficientFace, of any number of classes.

    Args:
        path: its authors' file, such as ``EfficientFace_Trained_on_AffectNet7.pth.tar``.

    Returns:
        The network in evaluation mode.

    Raises:
        EmotionError: the file is missing, damaged, or holds another network.
    """
    state = read_state(path)
    if "fc.weight" not in state:
        raise EmotionError(f"{path} holds no EfficientFace: expected the weights of its last layer, fc")
    model = EfficientFace(EfficientFaceConfig(num_classes=len(state["fc.weight"])))
    _fill(model, state, path)
    return model.eval()


def start_from_efficientface(model: Audiovisual, path: str | Path) -> None:
    """Take over all that looks at single frames from a trained EfficientFace; the rest stays as it is.

    EfficientFace itself sees normalised RGB. The published audiovisual network gives the same weights BGR in [0, 1],
    and so does this one: it has to learn the difference.

    Args:
        model: changed in place.
        path: a published file, see ``load_efficientface``, or a ``.safetensors`` of this architecture.

    Raises:
        EmotionError: the file is missing, damaged, or lacks some of these weights.
    """
    state = load_network(path)[0].state_dict() if Path(path).suffix == ".safetensors" else read_state(path)
    wanted = FaceFeatures().state_dict()
    missing = sorted(set(wanted) - set(state))
    if missing:
        raise EmotionError(
            f"{path} holds no EfficientFace: it lacks {len(missing)} of its weights, such as {missing[0]}"
        )
    _fill(model.visual_model, {**model.visual_model.state_dict(), **{name: state[name] for name in wanted}}, path)


def _fusion_of(state: Mapping[str, Tensor]) -> str:
    if "av.q.weight" in state:
        return "ia"
    # The intermediate blocks see the 64 channels of the first stage.
    return "it" if len(state["va.norm1_q.weight"]) == 64 else "lt"


def _fill(model: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise EmotionError(f"{path} holds the weights of another network ({' '.join(lines)[:200]})") from None
