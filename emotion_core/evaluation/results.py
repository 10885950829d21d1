"""Measurements as they stand in model cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from emotion_core.data.registry import DATASETS
from emotion_core.evaluation.evaluate import CategoryResult
from emotion_core.evaluation.tta import TtaConfig
from emotion_core.runtime.processor import describe_cpu
from emotion_core.store.card import ModelCard
from emotion_core.store.ensemble import ENSEMBLE

_FACES = {"ferplus": "fer2013"}
"""Datasets with the faces of another one, in the same splits, and labels of their own."""


def card_results(
    results: Mapping[str, CategoryResult],
    card: ModelCard,
    dataset: str,
    split: str,
    tta: TtaConfig | None = None,
    with_tta: Mapping[str, CategoryResult] | None = None,
) -> list[dict[str, object]]:
    """One entry for each protocol that was measured.

    Args:
        results: what ``evaluate_protocols`` gave.
        card: of the model that was measured.
        dataset: its name in the registry.
        split: 'train', 'valid' or 'test'.
        tta, with_tta: the same with test-time augmentation, which goes into each entry under "tta".
    """
    kind = DATASETS[dataset]
    return [
        {
            "dataset": kind.title,
            "split": kind.splits.get(split, split),
            "protocol": protocol_text(result, name, parts_of(card)),
            **brief(result),
            **({"tta": {**asdict(tta), **brief(with_tta[name])}} if tta and with_tta else {}),
            "branch_accuracy": [round(value, 2) for value in result.branch_accuracy],
            "precision": card.precision,
            # int8 rounds differently from one kind of processor to another.
            **({"cpu": describe_cpu()} if card.precision == "int8" else {}),
        }
        for name, result in results.items()
    ]


def brief(result: CategoryResult) -> dict[str, float]:
    """The figures that one compares."""
    figures = result.ensemble
    return {
        "n": figures.n,
        "accuracy": round(figures.accuracy, 2),
        "macro_f1": round(figures.macro_f1, 2),
        "calibration_error": round(figures.calibration_error, 2),
    }


def merged(new: Sequence[dict[str, Any]], old: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """New entries before the old ones that are of another kind."""

    def kind(entry: dict[str, Any]) -> tuple[object, ...]:
        return tuple(entry.get(name) for name in ("dataset", "split", "protocol"))

    kinds = {kind(entry) for entry in new}
    return (*new, *(entry for entry in old if kind(entry) not in kinds))


def parts_of(card: ModelCard) -> str:
    """What the parts of a model are called that vote or are averaged."""
    return "members" if card.architecture.get("type") == ENSEMBLE else "branches"


def chosen_here(card: ModelCard, dataset: str, split: str) -> bool:
    """Whether the members of an ensemble were chosen on these faces, so that figures of them flatter it."""
    chosen = card.training.get("chosen") or {}
    before = str(chosen.get("dataset", ""))
    return _FACES.get(before, before) == _FACES.get(dataset, dataset) and chosen.get("split") == split


def protocol_text(result: CategoryResult, protocol: str, parts: str = "branches") -> str:
    """What a figure without which says nothing: classes, which faces count, how members are combined."""
    members = len(result.branch_accuracy)
    combined = "" if members == 1 else f", {result.combination} of {members} {parts}"
    votes = f", {protocol} of the raters' votes" if protocol else ""
    return f"{len(result.labels)} classes{votes}{combined}, no test-time augmentation"


def left_out_text(report: Mapping[str, Any]) -> str:
    """A sentence on the labels that only one side knows, empty when there are none; takes a result's dictionary."""
    left = report["left_out"]
    parts = []
    if left["model"]:
        parts.append(f"not allowed as answers, since the data lacks them: {', '.join(left['model'])}")
    if left["data"]:
        parts.append(f"{left['faces']} faces left out, since the model lacks {', '.join(left['data'])}")
    return "; ".join(parts)
