"""Weights in files of torch, read as data only."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emotion_core.errors import EmotionError

_KEYS = ("state_dict", "net")
"""Under which others keep the weights, beside epochs, settings and figures."""
_ON_GPUS = "module."


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a state_dict in a file of torch, without ``module.`` before their names.

    They lie in the mapped file and not in memory, where torch wrote it as a zip file, as it does since 1.6.

    Raises:
        EmotionError: there is no such file, it is damaged, or it holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise EmotionError(f"there is no file {path}")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises pickle, zip and runtime errors for damaged or foreign files
        reason = " ".join(str(error).split())[:160]
        raise EmotionError(f"{path} is damaged, or holds more than weights ({reason})") from None
    for key in _KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(t, Tensor) for t in content.values()):
        raise EmotionError(f"{path} holds no weights: expected a state_dict, or one under the key {' or '.join(_KEYS)}")
    return {name.removeprefix(_ON_GPUS): tensor for name, tensor in content.items()}
