"""The files in which the authors of ESR publish a network: one for the base, one for each branch, no metadata."""

from __future__ import annotations

from pathlib import Path

import torch

from emotion_core.errors import EmotionError
from emotion_core.models.esr import Base, Branch, Esr, EsrConfig

BASE_FILE = "Net-Base-Shared_Representations.pt"
BRANCH_FILE = "Net-Branch_{}.pt"


def load_original(
    folder: str | Path,
    config: EsrConfig | None = None,
    base_file: str = BASE_FILE,
    branch_file: str = BRANCH_FILE,
) -> Esr:
    """Read a folder of such files.

    Args:
        folder: holds ``Net-Base-Shared_Representations.pt`` and ``Net-Branch_1.pt`` and so on.
        config: the network; by default the published one with as many branches as there are files.
        base_file, branch_file: names of the files, ``{}`` stands for the branch's number from 1.

    Raises:
        EmotionError: a file is missing, damaged, or belongs to another network.
    """
    folder = Path(folder)
    if config is None:
        count = 0
        while (folder / branch_file.format(count + 1)).is_file():
            count += 1
        if not count:
            raise EmotionError(f"{folder} holds no {branch_file.format(1)}: expected the folder of a published ESR")
        config = EsrConfig(branches=count)
    model = Esr(config)
    parts: list[tuple[str, Base | Branch]] = [(base_file, model.base)]
    parts += [(branch_file.format(i), branch) for i, branch in enumerate(model.branches(), 1)]
    for name, part in parts:
        path = folder / name
        if not path.is_file():
            raise EmotionError(f"{path} is missing: an ESR with {config.branches} branches needs it")
        try:
            part.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # torch raises pickle, zip and runtime errors for damaged or foreign files
            reason = " ".join(str(error).split())[:160]
            raise EmotionError(f"{path} is damaged or belongs to another network ({reason})") from None
    return model.eval()
