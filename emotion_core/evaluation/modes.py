"""Measuring an audiovisual network with both senses, and with one of them gone or disturbed.

Chumachenko, Iosifidis, Gabbouj: Self-attention fusion for audiovisual emotion recognition with incomplete data. ICPR
2022. https://arxiv.org/abs/2201.11095
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.clips import AUDIOVISUAL, MODES, ClipDataset
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import CategoryResult, Network, evaluate_categories, run_network
from emotion_core.labels import canonical
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.card import Input


@dataclass(frozen=True)
class ModeResult:
    """How well a network does in one mode.

    Attributes:
        mode: one of MODES.
        categories: accuracy and the like, in percent.
        cross_entropy: mean -log of the true class's probability, in nats.
    """

    mode: str
    categories: CategoryResult
    cross_entropy: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, rounded."""
        return {"mode": self.mode, **self.categories.to_dict(), "cross_entropy": round(self.cross_entropy, 4)}


def check_mode(mode: str) -> None:
    """Raise EmotionError for an unknown mode."""
    if mode not in MODES:
        raise EmotionError(f"unknown mode {mode!r}: use one of {', '.join(MODES)}")


def disturbed(
    clip: NDArray[np.float32], sound: NDArray[np.float32], mode: str, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Clip and sound as a mode leaves them, shapes as they were; raises EmotionError for an unknown mode."""
    check_mode(mode)
    if mode == "onlyaudio":
        return np.zeros_like(clip), sound
    if mode == "onlyvideo":
        return clip, np.zeros_like(sound)
    if mode == "noisyaudio":
        return clip, rng.standard_normal(sound.shape, np.float32)
    if mode == "noisyvideo":
        return rng.standard_normal(clip.shape, np.float32), sound
    return clip, sound


def run_clips(
    network: Network,
    data: ClipDataset,
    inputs: Sequence[Input],
    mode: str = AUDIOVISUAL,
    batch_size: int = 8,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> EnsembleOutput:
    """What a network says about every clip of a dataset.

    Args:
        inputs: the network's, as its card describes them.
        mode: one of MODES.
        batch_size: clips at a time.
        seed: decides the noise of each clip, whatever the batches.
        on_progress: called with the number of clips done.

    Raises:
        EmotionError: an unknown mode, the dataset is empty, or one of its clips does not fit.
    """
    check_mode(mode)
    return run_network(network, _InMode(data, mode, seed), inputs, batch_size, on_progress)


class _InMode:
    """Clips as a mode leaves them."""

    def __init__(self, data: ClipDataset, mode: str, seed: int) -> None:
        self.data, self.mode, self.seed = data, mode, seed

    def __len__(self) -> int:
        return len(self.data)

    def sample(self, index: int, inputs: Sequence[Input]) -> tuple[NDArray[np.float32], ...]:
        """Clip and sound."""
        clip, sound = self.data.sample(index, inputs)
        return disturbed(clip, sound, self.mode, np.random.default_rng([self.seed, index]))


def evaluate_mode(
    network: Network,
    data: ClipDataset,
    inputs: Sequence[Input],
    labels: Sequence[str],
    mode: str = AUDIOVISUAL,
    batch_size: int = 8,
    seed: int = 0,
) -> ModeResult:
    """Measure in one mode; see ``run_clips``.

    Args:
        labels: the network's, in its order; matched with the dataset's by what they mean.

    Raises:
        EmotionError: see ``run_clips`` and ``evaluate_categories``.
    """
    output = run_clips(network, data, inputs, mode, batch_size, seed)
    result = evaluate_categories(output, data, labels)
    return ModeResult(mode, result, _cross_entropy(output, data, labels))


def evaluate_modes(
    network: Network,
    data: ClipDataset,
    inputs: Sequence[Input],
    labels: Sequence[str],
    batch_size: int = 8,
    seed: int = 0,
) -> dict[str, ModeResult]:
    """Measure in all MODES; see ``evaluate_mode``."""
    return {mode: evaluate_mode(network, data, inputs, labels, mode, batch_size, seed) for mode in MODES}


def mode_results(results: Mapping[str, ModeResult], dataset: str, split: str, precision: str) -> list[dict[str, Any]]:
    """Measurements as they stand in model cards, an entry for each mode."""
    return [
        {
            "dataset": dataset,
            "split": split,
            "protocol": f"{len(result.categories.labels)} classes, {mode}",
            "n": result.categories.ensemble.n,
            "accuracy": round(result.categories.ensemble.accuracy, 2),
            "macro_f1": round(result.categories.ensemble.macro_f1, 2),
            "calibration_error": round(result.categories.ensemble.calibration_error, 2),
            "precision": precision,
        }
        for mode, result in results.items()
    ]


def _cross_entropy(output: EnsembleOutput, data: ClipDataset, labels: Sequence[str]) -> float:
    """Over the clips whose class the network knows."""
    known = [canonical(name) for name in labels]
    place = np.array([known.index(word) if (word := canonical(name)) in known else -1 for name in data.labels])
    truth = place[np.asarray(data.targets)]
    said = output.probabilities[truth >= 0, truth[truth >= 0]]
    return float(-np.log(np.maximum(said, np.finfo(np.float64).tiny)).mean())
