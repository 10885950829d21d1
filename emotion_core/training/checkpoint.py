"""The file from which an interrupted training goes on: read as data only, and only into the training that wrote it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from emotion_core.errors import EmotionError
from emotion_core.export.weights import save_tensors
from emotion_core.training.fingerprint import differences
from emotion_core.training.old_checkpoints import from_old_format

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
ENTRIES = (
    "fingerprint", "stage", "epoch", "model", "average", "optimizer", "scheduler", "scaler", "best", "stale", "steps",
    "task", "history",
)  # fmt: skip


def save(state: Mapping[str, Any], fingerprint: Mapping[str, Any], path: Path) -> None:
    """Write a whole new checkpoint or leave the old one; raises EmotionError when the disk is full."""
    save_tensors({**state, "fingerprint": json.dumps(fingerprint, sort_keys=True)}, path)


def load(path: Path, device: torch.device | str, memory_map: bool = False) -> dict[str, Any]:
    """Read a checkpoint; one of an older version is translated, and its fingerprint holds settings only.

    Args:
        memory_map: read tensors only when they are used.

    Raises:
        EmotionError: the file is damaged or no checkpoint.
    """
    try:
        state = from_old_format(torch.load(path, weights_only=True, map_location=device, mmap=memory_map))
        state["fingerprint"] = json.loads(state["fingerprint"])
        missing = set(ENTRIES) - set(state)
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        return state
    except Exception as error:  # torch raises pickle, zip, type and runtime errors for damaged or foreign files
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise EmotionError(f"{path} is not a readable checkpoint ({reason}): delete it to start over") from error


def refuse_another(state: Mapping[str, Any], fingerprint: Mapping[str, Any], path: Path) -> None:
    """Raise EmotionError when the checkpoint belongs to another training, with what is different."""
    saved = state["fingerprint"]
    if saved.get("task") != fingerprint["task"]:
        found = [f"it is a training of {saved.get('task')}, this one of {fingerprint['task']}"]
    else:
        settings = differences(saved.get("settings"), fingerprint["settings"])
        found = [f"settings differ: {', '.join(settings)}"] if settings else []
        rest = {name: value for name, value in saved.items() if name not in ("task", "settings")}
        found += differences(rest, fingerprint)
    if found:
        raise EmotionError(
            f"{path} belongs to another training: {'; '.join(found)}. Use another folder, or delete it to start over"
        )
    unknown = [name for name in fingerprint if name not in saved]
    if unknown:
        log.warning(
            "%s is of an older version: it cannot be told whether these are the same: %s", path, ", ".join(unknown)
        )
