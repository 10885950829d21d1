"""The weights of a GE2E speaker encoder, as Resemblyzer's ``pretrained.pt`` holds them (Apache-2.0), to start from.

Wan, Wang, Papir, Lopez Moreno: Generalized End-to-End Loss for Speaker Verification. ICASSP 2018.
"""

from __future__ import annotations

from pathlib import Path

import torch

from emotion_core.errors import EmotionError
from emotion_core.models.voice import VoiceNetwork

_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def load_ge2e(path: str | Path, model: VoiceNetwork) -> None:
    """Put the encoder of a file into a voice network; its classifier, and the file's embedding, are left out.

    Args:
        path: a state_dict with ``lstm.weight_ih_l0`` and so on, or a checkpoint that has it as ``model_state``.

    Raises:
        EmotionError: the file is missing, damaged, or holds an encoder of another size.
    """
    path = Path(path)
    if not path.is_file():
        raise EmotionError(f"{path} is missing: expected the pretrained.pt of Resemblyzer")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("model_state", state)
        for i, layer in enumerate(model.layers):
            layer.load_state_dict({f"{part}_l0": state[f"lstm.{part}_l{i}"] for part in _PARTS})
    except Exception as error:  # torch raises pickle, zip, key and runtime errors for damaged or foreign files
        reason = " ".join(str(error).split())[:160]
        config = model.config
        raise EmotionError(
            f"{path} is no GE2E encoder of {config.layers} LSTM layers of {config.hidden} units ({reason})"
        ) from None
