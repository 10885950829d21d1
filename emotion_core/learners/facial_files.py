"""An ESR as the authors' files hold it: the weights of its base, then of each branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from emotion_core.errors import EmotionError
from emotion_core.export.esr_files import BASE_FILE, BRANCH_FILE
from emotion_core.export.weights import save_tensors
from emotion_core.models.esr import Esr, EsrConfig

States = Sequence[Mapping[str, torch.Tensor]]


def network_of(states: States, config: EsrConfig) -> Esr:
    """The network with these weights, as many branches as there are; raises EmotionError when they do not fit."""
    if len(states) < 2:
        raise EmotionError(f"state_dicts must list the base and at least one branch, got {len(states)} entries")
    model = Esr(replace(config, branches=len(states) - 1))
    try:
        for part, state in zip((model.base, *model.branches()), states, strict=True):
            part.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise EmotionError(f"the weights in state_dicts do not fit the network ({reason})") from None
    return model.eval()


def save_original(states: States, folder: Path) -> None:
    """Write ``Net-Base-Shared_Representations.pt``, ``Net-Branch_1.pt`` and so on."""
    for name, state in zip(original_names(len(states) - 1), states, strict=True):
        save_tensors({key: tensor.cpu() for key, tensor in state.items()}, folder / name)


def original_names(branches: int) -> list[str]:
    """Names of the authors' files of an ensemble of this size: the base, then each branch."""
    return [BASE_FILE, *map(BRANCH_FILE.format, range(1, branches + 1))]


def count_branches(folder: Path, pattern: str) -> int:
    """Number of branches whose files are there, at least 1."""
    count = 1
    while (folder / pattern.format(count + 1)).is_file():
        count += 1
    return count
