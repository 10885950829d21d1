"""Whether a written network says the same as the one it was made from.

Both answer the same samples, and what is compared is their outputs before softmax. A difference counts in relation to
how much the answers vary from one sample to another: a network that hardly looks at its input differs little from any
other one, and must not pass for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.store.card import AFFECT, FACE, FACE_CLIP, Input, ModelCard

TOLERANCES = {"float32": 0.01, "float16": 0.1, "int8": 0.25}
"""Largest difference that a precision may make, as a share of the spread of the answers."""
_FLOOR = 0.02  # of the largest answer: what varies less counts as varying so much, or rounding would be a difference

Arrays = Mapping[str, NDArray[np.floating[Any]]]


def check_same(expected: Arrays, found: Arrays, card: ModelCard) -> float:
    """The largest difference of all outputs, as a share of their spread over the samples.

    Args:
        expected, found: each output of the card by its name, (N, *shape), for the same samples.
        card: of what was written.

    Raises:
        EmotionError: it exceeds the tolerance of the card's precision, or a number is not finite.
    """
    worst = 0.0
    for output in card.outputs:
        if output.kind == AFFECT and not card.affect:
            continue
        ours, theirs = np.asarray(found[output.name]), np.asarray(expected[output.name])
        spread = max(float(np.ptp(theirs, axis=0).max()), _FLOOR * float(np.abs(theirs).max()), 1e-6)
        worst = max(worst, float(np.abs(ours - theirs).max()) / spread)
        if not np.isfinite(ours).all():
            worst = np.inf
    tolerance = TOLERANCES[card.precision]
    if not worst <= tolerance:
        raise EmotionError(
            f"the {card.precision} network differs from the original by {worst:.2g} of what its answers vary, "
            f"more than {tolerance:g}" + (": use float32" if card.precision != "float32" else "")
        )
    return worst


def probes(inputs: tuple[Input, ...], count: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Samples that differ in many ways, for each input (count, *shape).

    Pictures are noise, slopes in all directions, and blobs, each dark or bright, over the whole value range; what is
    heard is noise of different loudness; a stream's state is small noise.
    """
    rng = np.random.default_rng(seed)
    return {item.name: np.stack([_probe(item, i, rng) for i in range(count)]) for item in inputs}


def _probe(item: Input, i: int, rng: np.random.Generator) -> NDArray[np.float32]:
    if item.kind not in (FACE, FACE_CLIP):
        return np.asarray(rng.standard_normal(item.shape) * 2.0 ** (i % 5 - 2), np.float32)
    height, width = item.size
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    turn = rng.uniform(0, 2 * np.pi)
    slope = 0.5 + (np.cos(turn) * (x - 0.5) + np.sin(turn) * (y - 0.5)) / np.sqrt(2)
    centre = rng.uniform(0.2, 0.8, 2)
    blob = np.exp(-(((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / rng.uniform(0.01, 0.2)))
    base = (rng.random(item.shape), np.broadcast_to(slope, item.shape), np.broadcast_to(blob, item.shape))[i % 3]
    low, high = item.value_range
    light = rng.uniform(0.3, 1.0)
    return np.asarray(low + (high - low) * light * (0.8 * base + 0.2 * rng.random(item.shape)), np.float32)
