"""What the authors of the Residual Masking Network published, and what is in the cards of models here beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from emotion_core.store.card import ModelCard
from emotion_core.store.ensemble import ENSEMBLE

FER2013: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "vgg19": ("VGG19", 70.80),
        "efficientnet_b2b": ("EfficientNet-B2b", 70.80),
        "googlenet": ("GoogLeNet", 71.97),
        "resnet34": ("ResNet34", 72.42),
        "inception_v3": ("Inception v3", 72.72),
        "bam_resnet50": ("BAM-ResNet50", 73.14),
        "densenet121": ("DenseNet121", 73.16),
        "resnet152": ("ResNet152", 73.22),
        "cbam_resnet50": ("CBAM-ResNet50", 73.39),
        "resmasking_dropout1": ("ResMaskingNet", 74.14),
        ENSEMBLE: ("ResMaskingNet + 6", 76.82),
    }
)
"""Accuracy on FER2013's PrivateTest in percent; ResMaskingNet's is with test-time augmentation.
https://github.com/phamquiluan/ResidualMaskingNetwork, "Benchmarking on FER2013"."""

IMAGENET: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "resnet34": ("ResNet34", 72.59),
        "cbam_resnet34": ("CBAM-ResNet34", 73.77),
        "resmasking_dropout1": ("ResMaskingNet", 74.16),
    }
)
"""Top-1 accuracy on ImageNet's validation split in percent; there too. Top-5: 90.92, 91.72, 91.91."""

TABLES: Mapping[str, tuple[str, Mapping[str, tuple[str, float]]]] = MappingProxyType(
    {"fer2013": ("FER2013", FER2013), "imagenet": ("ImageNet", IMAGENET)}
)
"""Title of the dataset in cards, and the published figures, by the dataset's name."""


@dataclass(frozen=True)
class Row:
    """One network.

    Attributes:
        network: as the publication calls it, or the name of a model of ours that it does not have.
        published: accuracy in percent, None where there is none.
        model: name of the model here; empty where none was trained.
        result: its entry in the card; empty without.
        training: of its card.
    """

    network: str
    published: float | None
    model: str = ""
    result: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        training = self.training or {}
        known = {key: training[key] for key in ("command", "seed", "seconds") if key in training}
        result = dict(self.result) if self.result else None
        return {"network": self.network, "published": self.published, "model": self.model, "result": result, **known}


def compare(dataset: str, cards: Sequence[ModelCard]) -> list[Row]:
    """A row for each published network, with the best of the cards of its kind, then those of other kinds.

    Args:
        dataset: one of TABLES.
        cards: of models here; those without a result on the dataset are left out.
    """
    title, published = TABLES[dataset]
    found: dict[str, list[Row]] = {}
    for card in cards:
        results = [entry for entry in card.results if entry.get("dataset") == title]
        if results:
            best = max(results, key=lambda entry: float(entry["accuracy"]))
            found.setdefault(_kind(card), []).append(Row(card.name, None, card.name, best, card.training))
    rows = []
    for kind, (name, accuracy) in published.items():
        ours = sorted(found.pop(kind, []), key=_accuracy, reverse=True)
        if not ours:
            rows.append(Row(name, accuracy))
        for i, row in enumerate(ours):
            rows.append(Row(name, accuracy, row.model, row.result, row.training) if i == 0 else row)
    others = [row for group in found.values() for row in group]
    return [*rows, *sorted(others, key=_accuracy, reverse=True)]


def _accuracy(row: Row) -> float:
    return float((row.result or {}).get("accuracy", 0.0))


def _kind(card: ModelCard) -> str:
    """The key in the tables of a model's architecture, as published; else its type."""
    entry = card.architecture
    if entry.get("type") == "zoo":
        return str(entry.get("network"))
    if entry.get("type") == "residual_masking":
        return "resmasking_dropout1" if entry.get("width", 64) == 64 else "residual_masking"
    if entry.get("type") == ENSEMBLE and all(one["architecture"] != "residual_masking" for one in entry["members"]):
        return card.name  # another kind than the published one
    return str(entry.get("type"))
