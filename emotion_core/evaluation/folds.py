"""What the networks of all folds say about the faces that each has not learned from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceDataset, FaceSet
from emotion_core.data.registry import open_fold, open_fresh
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import Network, run_network
from emotion_core.labels import share_labels
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.card import ModelCard
from emotion_core.store.files import atomic_write

Open = Callable[[Path], tuple[Network, ModelCard]]
"""Opens a model's file."""
_LEAST = 1e-12
FILES = ("model.onnx", "model.safetensors")
"""What a fold's folder holds; the first that is there counts."""


@dataclass(frozen=True)
class FoldAnswers:
    """Answers about all faces of a dataset, each from the network of its own fold.

    Attributes:
        logits: (N, branches, classes) float32, logarithms of the branches' probabilities; nothing is calibrated.
        truth: (N,) class of each.
        folds: (N,) fold of each, counted from 1.
        protocols: indices of the faces that count under each protocol.
        labels: of the classes.
        keys: (N,) what tells each face from others, see ``key_of``.
        models: names of the networks.
    """

    logits: NDArray[np.float32]
    truth: NDArray[np.int64]
    folds: NDArray[np.int64]
    protocols: dict[str, NDArray[np.int64]]
    labels: tuple[str, ...]
    keys: NDArray[np.str_]
    models: tuple[str, ...]

    def output(self) -> EnsembleOutput:
        """As a network would give it."""
        return EnsembleOutput.from_arrays(self.logits, None)

    def save(self, path: str | Path) -> None:
        """Write an .npz, which ``--teacher`` takes, too."""
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                keys=self.keys,
                labels=np.array(self.labels),
                probabilities=self.output().probabilities.astype(np.float32),
            )


def key_of(data: FaceDataset, index: int) -> str:
    """What tells a face of a dataset from all others."""
    return hashlib.sha256(data.stored(index)).hexdigest()[:24]


def ask_folds(
    runs: str | Path,
    dataset: str,
    root: str | Path,
    open_model: Open,
    count: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> FoldAnswers:
    """Ask the network of each fold about its fold.

    Args:
        runs: folder with fold_1, fold_2, …, each with one of FILES.
        dataset, root: see ``open_fold``.
        open_model: opens one of them; nothing may be calibrated.
        count: of folds.
        on_progress: called with the folds done, and all.

    Raises:
        EmotionError: a fold has no network, networks know other labels than the data, or see ``open_fold``.
    """
    parts: list[tuple[EnsembleOutput, FaceSet, str]] = []
    for fold in range(1, count + 1):
        path = find_fold(runs, fold)
        network, card = open_model(path)
        _, held = open_fold(dataset, root, fold)
        shared = share_labels(card.labels, held.labels)
        if shared.only_model or shared.only_data:
            raise EmotionError(f"{path} knows {', '.join(card.labels)}, the data has {', '.join(held.labels)}")
        output = run_network(network, held, card.inputs)
        parts.append((output.restricted(np.arange(len(held)), shared.model), held, card.name))
        if on_progress is not None:
            on_progress(fold, count)
    everybody = parts[0][1]
    for _, held, _ in parts[1:]:
        everybody = everybody.joined(held)
    said = EnsembleOutput.concatenate([output for output, _, _ in parts]).branch_probabilities
    return FoldAnswers(
        np.log(np.maximum(said, _LEAST)).astype(np.float32),
        everybody.targets,
        np.repeat(np.arange(1, count + 1), [len(held) for _, held, _ in parts]),
        everybody.protocols or {"": np.arange(len(everybody))},
        everybody.labels,
        np.array([key_of(everybody, i) for i in range(len(everybody))]),
        tuple(dict.fromkeys(name for _, _, name in parts)),
    )


def ask_fresh(path: str | Path, dataset: str, root: str | Path, open_model: Open) -> FoldAnswers:
    """Ask one network, which learned from the training split, about the faces of the validation split that are new to
    it; all of them are in fold 1. See ``ask_folds`` and ``open_fresh``."""
    network, card = open_model(Path(path))
    fresh = open_fresh(dataset, root)
    shared = share_labels(card.labels, fresh.labels)
    if shared.only_model or shared.only_data:
        raise EmotionError(f"{path} knows {', '.join(card.labels)}, the data has {', '.join(fresh.labels)}")
    output = run_network(network, fresh, card.inputs).restricted(np.arange(len(fresh)), shared.model)
    return FoldAnswers(
        np.log(np.maximum(output.branch_probabilities, _LEAST)).astype(np.float32),
        fresh.targets,
        np.ones(len(fresh), np.int64),
        fresh.protocols or {"": np.arange(len(fresh))},
        fresh.labels,
        np.array([key_of(fresh, i) for i in range(len(fresh))]),
        (card.name,),
    )


def together(answers: Sequence[FoldAnswers]) -> FoldAnswers:
    """Several networks as one: each one's mean probability is a branch."""
    first = answers[0]
    if any(not np.array_equal(other.keys, first.keys) for other in answers):
        raise EmotionError("the runs were asked about different faces")
    said = np.stack([one.output().probabilities for one in answers], 1)
    models = tuple(name for one in answers for name in one.models)
    return FoldAnswers(
        np.log(np.maximum(said, _LEAST)).astype(np.float32),
        first.truth, first.folds, first.protocols, first.labels, first.keys, models,
    )  # fmt: skip


def find_fold(runs: str | Path, fold: int) -> Path:
    """The network of a fold; raises EmotionError when there is none."""
    folder = Path(runs) / f"fold_{fold}"
    for name in FILES:
        if (folder / name).is_file():
            return folder / name
    raise EmotionError(
        f"{folder} has no {' or '.join(FILES)}: train it with `emotion train classifier --fold {fold} --out {folder}`"
    )
