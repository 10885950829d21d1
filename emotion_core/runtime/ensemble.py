"""How the members of an ensemble become one answer; a single network is an ensemble of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emotion_core.store.card import AFFECT, LOGITS, ModelCard

_TINY = 1e-30


@dataclass(frozen=True)
class EnsembleOutput:
    """What a network says about N samples.

    Attributes:
        branch_probabilities: (N, branches, classes), softmax of each branch.
        branch_affect: (N, branches, 2), valence and arousal of each branch, NaN where the model has none.
        weights: of the branches in means, in any unit; None for equal ones.
    """

    branch_probabilities: NDArray[np.float64]
    branch_affect: NDArray[np.float64]
    weights: tuple[float, ...] | None = None

    @classmethod
    def from_outputs(cls, card: ModelCard, outputs: Mapping[str, NDArray[np.floating]]) -> EnsembleOutput:
        """From a network's outputs by name, (N, *shape) each."""
        found = {output.kind: outputs[output.name] for output in card.outputs}
        return cls.from_arrays(found[LOGITS], found.get(AFFECT) if card.affect else None)

    @classmethod
    def from_arrays(cls, logits: NDArray[np.floating], affect: NDArray[np.floating] | None) -> EnsembleOutput:
        """From logits (N, classes) or (N, members, classes), and affect (N, 2) or (N, members, 2), None without."""
        probabilities = softmax(_members(logits))
        if affect is None:
            return cls(probabilities, np.full((*probabilities.shape[:2], 2), np.nan))
        return cls(probabilities, np.asarray(_members(affect), np.float64))

    @classmethod
    def concatenate(cls, outputs: Sequence[EnsembleOutput]) -> EnsembleOutput:
        """The outputs of several batches as one."""
        return cls(
            np.concatenate([output.branch_probabilities for output in outputs]),
            np.concatenate([output.branch_affect for output in outputs]),
            outputs[0].weights,
        )

    def restricted(self, samples: NDArray[np.int64], classes: Sequence[int]) -> EnsembleOutput:
        """The same about some of the samples, as if there were only some of the classes, in the given order."""
        chosen = self.branch_probabilities[samples][:, :, list(classes)]
        if len(classes) < self.branch_probabilities.shape[2]:
            chosen = chosen / np.maximum(chosen.sum(axis=2, keepdims=True), np.finfo(np.float64).tiny)
        return replace(self, branch_probabilities=chosen, branch_affect=self.branch_affect[samples])

    def calibrated(self, temperature: float, offsets: NDArray[np.float64]) -> EnsembleOutput:
        """The same with each branch's probabilities to the power of 1 / temperature, times exp(offsets) (classes,)."""
        logits = np.log(np.maximum(self.branch_probabilities, _TINY)) / temperature + offsets
        return replace(self, branch_probabilities=softmax(logits))

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(N, classes): the branches' mean, rows sum to 1."""
        return np.average(self.branch_probabilities, axis=1, weights=self.weights)

    @property
    def affect(self) -> NDArray[np.float64]:
        """(N, 2): mean valence and arousal of the branches that have them, clipped to [-1, 1]; NaN without any."""
        known = ~np.isnan(self.branch_affect)
        weights = known * np.asarray(self.weights or np.ones(known.shape[1]))[:, None]
        total, sums = weights.sum(axis=1), (weights * np.where(known, self.branch_affect, 0.0)).sum(axis=1)
        return np.clip(np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0), -1.0, 1.0)

    @property
    def votes(self) -> NDArray[np.int64]:
        """(N,): index of the class that most branches prefer, as in the ESR paper, whatever their weights; among equals
        the one with the largest mean probability."""
        branches, classes = self.branch_probabilities.shape[1:]
        preferred = self.branch_probabilities.argmax(axis=2)  # (N, branches)
        counts = (preferred[:, :, None] == np.arange(classes)).sum(axis=1)  # (N, classes)
        # A mean probability is at most 1, so it only decides between equal counts.
        return (counts + self.probabilities / (branches + 1)).argmax(axis=1)


def _members(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N, n) of a single network as (N, 1, n)."""
    return values[:, None] if values.ndim == 2 else values


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Softmax over the last axis, in float64."""
    shifted = np.asarray(logits, np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
