"""How well voices are judged, the more of each speaker was heard before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from emotion_core.evaluation.metrics import Classification, classification
from emotion_core.runtime.ensemble import softmax
from emotion_core.runtime.voice import SHRINK

HEARD = (0, 5, 10, 20)
"""Utterances of a speaker heard before, for which accuracy is told."""
DRAWS = 4
"""Times that everything but 0 is measured, each with other utterances heard before."""

Classify = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.floating]]
"""Statistics (N, size) and speakers (N, size) -> logits (N, classes)."""


def heard_before(
    pooled: NDArray[np.floating],
    speakers: Sequence[str],
    counts: NDArray[np.integer],
    rng: np.random.Generator,
    shrink: float = SHRINK,
) -> NDArray[np.float32]:
    """What is known of each utterance's speaker after so many others of the same speaker, drawn at random.

    Args:
        pooled: (N, size) statistics of all utterances, before anything is taken off.
        speakers: N names; of "" nothing is known.
        counts: (N,) utterances heard; all others of the speaker where there are fewer.

    Returns:
        (N, size) float32 for the network's input ``speaker``, see ``emotion_core.runtime.voice.Speaker``.
    """
    names = np.asarray(speakers)
    known = np.zeros(pooled.shape, np.float32)
    for name in np.unique(names[names != ""]):
        own = np.flatnonzero(names == name)
        weights = np.zeros((len(own), len(own)), np.float32)
        for row, index in enumerate(own):
            others = np.delete(np.arange(len(own)), row)
            chosen = rng.permutation(others)[: counts[index]]
            weights[row, chosen] = 1 / (len(chosen) + shrink)
        known[own] = weights @ pooled[own].astype(np.float32)
    return known


def evaluate_voices(
    pooled: NDArray[np.float32],
    classes: NDArray[np.int64],
    speakers: Sequence[str],
    classify: Classify,
    labels: Sequence[str],
    heard: Sequence[int] = HEARD,
    draws: int = DRAWS,
    seed: int = 0,
    shrink: float = SHRINK,
) -> dict[int, Classification]:
    """Compare with the truth, for each number of utterances that were heard of the speaker before.

    Which ones those were is drawn at random, ``draws`` times; every utterance is judged in each draw, and counts.

    Args:
        pooled: (N, size) float32, the network's statistics of every utterance.
        classes: (N,) their truths.
        speakers: N names.
        classify: the network's last part.
        labels: names of the classes.
    """
    rng = np.random.default_rng(seed)
    results = {}
    for count in heard:
        said = []
        for _ in range(draws if count else 1):
            known = heard_before(pooled, speakers, np.full(len(pooled), count), rng, shrink)
            said.append(softmax(classify(pooled, known)))
        probabilities, truth = np.concatenate(said), np.tile(classes, len(said))
        chosen = probabilities.argmax(1)
        results[count] = classification(truth, chosen, probabilities[np.arange(len(chosen)), chosen], labels)
    return results
