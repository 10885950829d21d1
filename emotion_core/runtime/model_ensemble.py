"""Several exported networks that answer as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.calibration import parse_numbers, parse_prior
from emotion_core.store.card import AFFECT
from emotion_core.store.ensemble import EnsembleCard, describe_ensemble, label_orders, member_paths, shared_inputs
from emotion_core.store.metadata import read_card

_TINY = 1e-30


class ModelEnsemble(Classifier):
    """The members of an ensemble's card; each sees the faces as its own card says, and their probabilities are summed.

    A member that has branches of its own counts as one: its probabilities are their mean.

    Args:
        described: the ensemble's card.
        path: where it is, or will be.
        threads, provider, prior: of each member, see ``Classifier``.

    Raises:
        EmotionError: a member is missing, damaged or another file than it was, or the members have other labels.
    """

    def __init__(
        self, described: EnsembleCard, path: str | Path, threads: int = 1, provider: str = "auto", prior: str = ""
    ) -> None:
        paths = member_paths(described, path)
        cards = [read_card(member) for member in paths]
        self.card = describe_ensemble(described, cards)
        priors = _priors(prior, self.card.labels, label_orders(cards))
        self.members = [Classifier(member, threads, provider, own) for member, own in zip(paths, priors, strict=True)]
        self._is_calibrated = False  # each member is
        self._orders, self._inputs = label_orders(cards), shared_inputs(cards)[1]
        self._weights = tuple(float(member.weight) for member in described.members)

    @property
    def provider(self) -> str:
        """Name of the execution provider of the first member."""
        return self.members[0].provider

    def uncalibrated(self, *inputs: NDArray[np.float32]) -> EnsembleOutput:
        """Run a batch; see ``Classifier``. The branches are the members, calibrated as their cards say."""
        return replace(super().uncalibrated(*inputs), weights=self._weights)

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Logits (N, members, classes): logarithms of the members' probabilities; "affect" (N, members, 2), NaN for
        members that have none, where any has."""
        names = [item.name for item in self.card.inputs]
        said = [member(inputs[names[place]]) for member, place in zip(self.members, self._inputs, strict=True)]
        probabilities = np.stack(
            [one.probabilities[:, order] for one, order in zip(said, self._orders, strict=True)], 1
        )
        outputs = {"logits": np.log(np.maximum(probabilities, _TINY)).astype(np.float32)}
        if any(output.kind == AFFECT for output in self.card.outputs):
            outputs["affect"] = np.stack([one.affect for one in said], 1).astype(np.float32)
        return outputs


def _priors(prior: str, labels: Sequence[str], orders: Sequence[Sequence[int]]) -> list[str]:
    """The prior for each member, whose labels may be in another order."""
    parsed = None if parse_numbers(prior) is None else parse_prior(prior, labels)
    if not isinstance(parsed, tuple):
        return [prior] * len(orders)
    priors = []
    for order in orders:
        own = np.empty(len(labels))
        own[list(order)] = parsed
        priors.append(" ".join(map(repr, own.tolist())))
    return priors
