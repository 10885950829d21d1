"""Ensembles of models: a JSON card that lists its members, and stands for them wherever a model is named.

A member is named as on the command line, or by its path from the card's folder. The network's own files stay where they
are; their hashes tell whether they are still those that the ensemble was made and measured with.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.labels import match_labels
from emotion_core.store.card import AFFECT, LOGITS, PRECISIONS, Input, ModelCard, Output
from emotion_core.store.files import atomic_write, is_file, sha256, user_path
from emotion_core.store.finding import ENSEMBLE_KIND, ENSEMBLE_SUFFIX, find_model
from emotion_core.store.metadata import read_card

ENSEMBLE = "ensemble"
"""Type of the architecture in the card that stands for all members."""


@dataclass(frozen=True)
class Member:
    """One model of an ensemble.

    Attributes:
        model: a name, or the path of an .onnx file, absolute or from the folder of the ensemble's card.
        sha256: of its file.
        weight: of its probabilities in the sum; only the ratios of weights count.
    """

    model: str
    sha256: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        number = isinstance(self.weight, (int, float)) and not isinstance(self.weight, bool)
        if not number or not math.isfinite(self.weight) or self.weight <= 0:
            raise EmotionError(f"weight of {self.model}: expected a number above 0, got {self.weight!r}")


@dataclass(frozen=True)
class EnsembleCard:
    """What is in the file.

    Attributes:
        name: of the ensemble, as in messages.
        members: at least one.
        chosen: on what data its members were chosen, and among which; empty where somebody named them.
        results: measured accuracies, as in a model's card.
        notes: limits a user should know.

    Raises:
        EmotionError: it has no name or no members, or names one twice.
    """

    name: str
    members: tuple[Member, ...]
    chosen: dict[str, Any] = field(default_factory=dict)
    results: tuple[dict[str, Any], ...] = ()
    notes: str = ""

    def __post_init__(self) -> None:
        names = [member.model for member in self.members]
        if not self.name or not names:
            raise EmotionError(f"ensemble {self.name!r}: expected a name and at least one member")
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise EmotionError(f"ensemble {self.name}: {twice[0]} is named twice: give it a weight instead")

    def write(self, path: str | Path) -> None:
        """As JSON; the file is whole or absent."""
        content = {"kind": ENSEMBLE_KIND, **asdict(self)}
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> EnsembleCard:
        """Read a card; raises EmotionError where it is missing or holds something else."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content.pop("kind", None) != ENSEMBLE_KIND:
                raise ValueError(f"its kind is not {ENSEMBLE_KIND!r}")
            content["members"] = tuple(Member(**member) for member in content["members"])
            content["results"] = tuple(content.get("results", ()))
            return cls(**content)
        except OSError as error:
            raise EmotionError(f"{path} cannot be read: {error.strerror or error}") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise EmotionError(f"{path} holds no ensemble ({error}): make one with `emotion ensemble`") from None


def new_member(model: str | Path, card: str | Path, weight: float = 1.0) -> Member:
    """A model as a member of the ensemble whose card will be at a path; raises EmotionError for what is no network."""
    path = find_model(model)
    if path.suffix == ENSEMBLE_SUFFIX:
        raise EmotionError(f"{model} is an ensemble itself: name its members")
    name = str(model)
    if name.endswith(".onnx"):
        name = os.path.relpath(path.resolve(), user_path(card).resolve().parent)
    return Member(name, sha256(path), weight)


def member_paths(card: EnsembleCard, path: str | Path) -> list[Path]:
    """The members' files, in their order.

    Args:
        path: of the card.

    Raises:
        EmotionError: a member is not here, or another file than it was.
    """
    found = []
    for member in card.members:
        near = Path(path).parent / member.model
        if member.model.endswith(".onnx") and is_file(near):
            place = near
        else:
            try:
                place = find_model(member.model)
            except EmotionError as error:
                raise EmotionError(f"{path}: {error}") from None
        if sha256(place) != member.sha256:
            raise EmotionError(
                f"{path}: {place} is another file than the member {member.model} was (wrong sha256): "
                "get that file again, or make the ensemble anew"
            )
        found.append(place)
    return found


def label_orders(cards: Sequence[ModelCard]) -> list[list[int]]:
    """For each model, where the first one's labels stand among its own; raises EmotionError where they differ."""
    first, orders = cards[0], []
    for card in cards:
        places = match_labels(card.labels, first.labels)
        if None in places or len(card.labels) != len(first.labels):
            raise EmotionError(
                f"the members of an ensemble need the same labels: {first.name} has {', '.join(first.labels)}; "
                f"{card.name} has {', '.join(card.labels)}"
            )
        orders.append([place for place in places if place is not None])
    return orders


def shared_inputs(cards: Sequence[ModelCard]) -> tuple[tuple[Input, ...], list[int]]:
    """What all members together take, each kind of face once, and which of these is each member's."""
    kinds: list[Input] = []
    places = []
    for card in cards:
        bare = replace(card.face, name="faces")
        if bare not in kinds:
            kinds.append(bare)
        places.append(kinds.index(bare))
    named = (replace(item, name=f"faces_{i}") if i > 1 else item for i, item in enumerate(kinds, 1))
    return tuple(named), places


def describe_ensemble(card: EnsembleCard, cards: Sequence[ModelCard]) -> ModelCard:
    """The card of one model that stands for all members; raises EmotionError where these do not go together."""
    label_orders(cards)
    inputs, _ = shared_inputs(cards)
    affect = tuple(dict.fromkeys(one.affect for one in cards if one.affect))
    outputs = [Output("logits", LOGITS, (len(cards), len(cards[0].labels)))]
    if affect:
        outputs.append(Output("affect", AFFECT, (len(cards), 2)))
    members = [
        {"name": one.name, "weight": member.weight, "architecture": one.architecture.get("type", "")}
        for member, one in zip(card.members, cards, strict=True)
    ]
    return ModelCard(
        name=card.name,
        architecture={"type": ENSEMBLE, "members": members},
        labels=cards[0].labels,
        licence="; ".join(dict.fromkeys(f"{one.name}: {one.licence}" for one in cards)),
        inputs=inputs,
        outputs=tuple(outputs),
        affect="; ".join(affect),
        training={"chosen": card.chosen} if card.chosen else {},
        results=card.results,
        precision=max((one.precision for one in cards), key=PRECISIONS.index),
        notes=card.notes,
    )


def model_card(model: str | Path) -> ModelCard:
    """The card of any model, by its name or path; that of an ensemble stands for all its members.

    Raises:
        EmotionError: there is no such model, it is damaged, or its members do not go together.
    """
    path = find_model(model)
    if path.suffix != ENSEMBLE_SUFFIX:
        return read_card(path)
    card = EnsembleCard.load(path)
    return describe_ensemble(card, [read_card(member) for member in member_paths(card, path)])
