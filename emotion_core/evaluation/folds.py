"""What the networks of all folds say about the faces that each has not learned from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
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
ANSWERS_SUFFIX = ".npz"
"""Of a file of answers, by which a training knows it among its teachers."""
_LEAST = 1e-12
FILES = ("model.onnx", "model.safetensors")
"""What a fold's folder holds; the first that is there counts."""


@dataclass(frozen=True)
class FoldAnswers:
    """Answers about faces that were not learned from: a dataset, each face from the network of its own fold, or fewer.

    Attributes:
        logits: (N, branches, classes) float32, logarithms of the branches' probabilities; nothing is calibrated.
        truth: (N,) class of each.
        folds: (N,) fold of each, counted from 1.
        protocols: indices of the faces that count under each protocol.
        labels: of the classes.
        keys: (N,) what tells each face from others, see ``key_of``.
    """

    logits: NDArray[np.float32]
    truth: NDArray[np.int64]
    folds: NDArray[np.int64]
    protocols: dict[str, NDArray[np.int64]]
    labels: tuple[str, ...]
    keys: NDArray[np.str_]

    def output(self) -> EnsembleOutput:
        """As a network would give it."""
        return EnsembleOutput.from_arrays(self.logits, None)

    def about(self, keys: Collection[str]) -> FoldAnswers:
        """The same about some of the faces only."""
        kept = np.flatnonzero([key in keys for key in self.keys.tolist()])
        place = np.full(len(self.keys), -1)
        place[kept] = np.arange(len(kept))
        protocols = {name: place[faces][place[faces] >= 0] for name, faces in self.protocols.items()}
        taken = {name: getattr(self, name)[kept] for name in ("logits", "truth", "folds", "keys")}
        return replace(self, protocols=protocols, **taken)

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
    outputs, sets = [], []
    for fold in range(1, count + 1):
        outputs.append(_ask(find_fold(runs, fold), held := open_fold(dataset, root, fold)[1], open_model))
        sets.append(held)
        if on_progress is not None:
            on_progress(fold, count)
    everybody = sets[0]
    for held in sets[1:]:
        everybody = everybody.joined(held)
    folds = np.repeat(np.arange(1, count + 1), [len(held) for held in sets])
    return _answers(EnsembleOutput.concatenate(outputs), everybody, folds)


def ask_fresh(path: str | Path, dataset: str, root: str | Path, open_model: Open) -> FoldAnswers:
    """Ask one network, which learned from the training split, about the faces of the validation split that are new to
    it; all of them are in fold 1. See ``ask_folds`` and ``open_fresh``."""
    fresh = open_fresh(dataset, root)
    return _answers(_ask(Path(path), fresh, open_model), fresh, np.ones(len(fresh), np.int64))


def _ask(path: Path, faces: FaceSet, open_model: Open) -> EnsembleOutput:
    """What a network says, with its classes in the order of the data."""
    network, card = open_model(path)
    shared = share_labels(card.labels, faces.labels)
    if shared.only_model or shared.only_data:
        raise EmotionError(f"{path} knows {', '.join(card.labels)}, the data has {', '.join(faces.labels)}")
    return run_network(network, faces, card.inputs).restricted(np.arange(len(faces)), shared.model)


def _answers(said: EnsembleOutput, faces: FaceSet, folds: NDArray[np.int64]) -> FoldAnswers:
    return FoldAnswers(
        _logarithms(said.branch_probabilities),
        faces.targets,
        folds,
        faces.protocols or {"": np.arange(len(faces))},
        faces.labels,
        np.array([key_of(faces, i) for i in range(len(faces))]),
    )


def _logarithms(probabilities: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.log(np.maximum(probabilities, _LEAST)).astype(np.float32)


def together(answers: Sequence[FoldAnswers]) -> FoldAnswers:
    """Several networks as one, about the faces that all were asked about: each one's mean probability is a branch.

    Raises:
        EmotionError: there are no such faces.
    """
    least = min(answers, key=lambda one: len(one.keys))
    common = set(least.keys.tolist()).intersection(*(one.keys.tolist() for one in answers))
    if not common:
        raise EmotionError("the runs were asked about different faces")
    parts = [one.about(common) for one in answers]
    first = next(part for part, one in zip(parts, answers, strict=True) if one is least)
    order = [{key: i for i, key in enumerate(part.keys.tolist())} for part in parts]
    said = [
        part.output().probabilities[[places[key] for key in first.keys.tolist()]]
        for part, places in zip(parts, order, strict=True)
    ]
    return replace(first, logits=_logarithms(np.stack(said, 1)))


def find_fold(runs: str | Path, fold: int) -> Path:
    """The network of a fold; raises EmotionError when there is none."""
    folder = Path(runs) / f"fold_{fold}"
    for name in FILES:
        if (folder / name).is_file():
            return folder / name
    raise EmotionError(
        f"{folder} has no {' or '.join(FILES)}: train it with `emotion train classifier --fold {fold} --out {folder}`"
    )
