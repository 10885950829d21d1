"""Checkpoints of before there was one loop, in the form of today's: the joint training's, the branch by branch one's.

They hold their settings, and nothing of their data, starting weights or teachers.
"""

from __future__ import annotations

import json
import math
from typing import Any

LOOP = {"amp": "none", "ema_decay": 0.0, "clip_norm": 0.0, "validation_interval": 1, "patience": 0, "keep_best": False}
"""What the old loops did, where they had no setting for it."""


def from_old_format(state: dict[str, Any]) -> dict[str, Any]:
    """The state of a checkpoint as ``checkpoint.save`` writes it; what is of today's form stays as it is.

    Raises:
        KeyError, TypeError, ValueError: it is none of the three.
    """
    if "fingerprint" in state:
        return state
    return _from_joint(state) if "last_loss" in state else _from_branchwise(state)


def _from_joint(state: dict[str, Any]) -> dict[str, Any]:
    settings = {**LOOP, **json.loads(state["config"])}
    history = state["history"]
    done = len(history) == settings["epochs"]
    optimizer = state["optimizer"]
    for group in optimizer["param_groups"]:
        # The old loop set the rates before each step; today they are those of the next step.
        share = len(history) / settings["epochs"]
        rise = settings["warmup"]
        factor = (
            max(share / rise, 1e-3) if share < rise else 0.5 * (1 + math.cos(math.pi * (share - rise) / (1 - rise)))
        )
        group["initial_lr"] = group.pop("peak_lr")
        group["lr"] = group["initial_lr"] * factor
    return {
        "fingerprint": json.dumps({"task": "esr_joint", "settings": settings}),
        "stage": int(done),
        "epoch": 0 if done else len(history),
        "model": state["model"],
        "average": state["average"],
        "optimizer": None if done else optimizer,
        "scheduler": None,
        "scaler": None,
        "best": {"score": -math.inf, "state": None},
        "stale": 0,
        "steps": state["steps"],
        "task": {"last_loss": state["last_loss"], "targets": state["targets"], "teachers": state["teachers"]},
        "history": history,
    }


def _from_branchwise(state: dict[str, Any]) -> dict[str, Any]:
    settings = {**LOOP, "keep_best": True, **json.loads(state["config"])}
    settings["amp"] = "bfloat16" if settings.pop("bfloat16") else "none"
    del settings["workers"]  # decides nothing
    training = state["training"] or {"optimizer": None, "scheduler": None}
    rows = [{**row, "branch_accuracy": tuple(row["branch_accuracy"])} for row in state["history"]]
    return {
        "fingerprint": json.dumps({"task": "esr_branchwise", "settings": settings}),
        "stage": state["stage"],
        "epoch": state["epoch"],
        "model": state["model"],
        "average": None,
        **training,
        "scaler": None,
        "best": state["best"],
        "stale": 0,
        "steps": 0,
        "task": {"branches": state["branches"]},
        "history": rows,
    }
