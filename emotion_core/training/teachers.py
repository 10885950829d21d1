"""Trained models whose opinion of the training data is mixed into its targets.

    Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network. 2015. https://arxiv.org/abs/1503.02531
    Beyer et al.: Knowledge distillation: A good teacher is patient and consistent. CVPR 2022.

A teacher may also be a file of answers, which `emotion yardstick --answers` writes: what networks say about the faces
that each has not learned from.

A teacher sees each sample as its own card says: in its size, colours and value range. It may be anything that runs
here: a network with its weights, an exported one whose architecture nobody knows, an ensemble. What teachers say is
asked for once, before the training, so that a large one costs one pass over the data and not one an epoch.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emotion_core.data.dataset import FaceDataset
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import Network
from emotion_core.evaluation.folds import ANSWERS_SUFFIX, key_of
from emotion_core.export.torch_network import TorchNetwork
from emotion_core.export.weights import load_network
from emotion_core.labels import share_labels
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.card import Input, ModelCard
from emotion_core.store.ensemble import EnsembleCard
from emotion_core.store.files import sha256
from emotion_core.store.finding import ENSEMBLE_SUFFIX, find_model
from emotion_core.training.fingerprint import of_weights
from emotion_core.training.trained import check_same_input

log = logging.getLogger(__name__)

_ASK_AT_ONCE = 64
"""Most samples that a teacher sees at a time."""


class Teachers:
    """Trained models whose mean probabilities are mixed into the targets.

    Args:
        models: each a ``.safetensors`` of this library, an ``.onnx``, the card of an ensemble, the name of any of the
            latter two, or an ``.npz`` of answers. They know every label of the data, in any order; what else they know
            is left out, and what they say of the labels of the data then sums to 1.

    Attributes:
        hashes: of each one's weights and labels; None for a file that is gone, which an interrupted training does not
            need again.
    """

    def __init__(self, models: Sequence[str | Path]) -> None:
        self.models = [Path(model) for model in models]
        self.hashes = [_hash(model) for model in self.models]

    def __bool__(self) -> bool:
        return bool(self.models)

    def teach(
        self,
        targets: Tensor,
        weight: float,
        data: Any,
        inputs: Sequence[Input],
        labels: Sequence[str],
        device: torch.device,
    ) -> tuple[Tensor, list[dict[str, Any]]]:
        """Mix what they say into the targets; of a face they are asked for its mirror image too.

        Args:
            targets: (samples, classes) distributions.
            weight: share of what the teachers say.
            data: the samples: a FaceDataset, or items (array, target) as the network to train takes them.
            inputs: of the network to train.
            labels: of the targets.
            device: where they compute.

        Returns:
            The mixed targets, with the mean probabilities over teachers and views, and how each teacher was trained.

        Raises:
            EmotionError: a file is missing, holds a model that lacks one of the labels, or one that does not take such
                samples.
        """
        total, trained = np.zeros(tuple(targets.shape)), []
        asked = [model for model in self.models if model.suffix != ANSWERS_SUFFIX]
        for model in self.models:
            if model.suffix == ANSWERS_SUFFIX:
                total += read_answers(model, data, labels)
                trained.append({"name": model.name})
        opened = [_open(model, device) for model in asked]  # a wrong one is told before the first is asked
        known = [_places(card.labels, labels, model) for (_, card), model in zip(opened, asked, strict=True)]
        for (network, card), places, model in zip(opened, known, asked, strict=True):
            said = np.zeros_like(total)
            samples, views = _samples(data, card, inputs, model)
            log.info("%s looks at %d samples", model, len(targets))
            for view in views:
                answers = EnsembleOutput.concatenate([network(*view(batch)) for batch in samples()])
                said += answers.restricted(np.arange(len(targets)), places).probabilities
            total += said / len(views)
            trained.append({"name": card.name, **card.training})
        mean = torch.from_numpy(total / len(self.models)).to(targets)
        return torch.lerp(targets, mean, weight), trained


_Batch = tuple[NDArray[np.float32], ...]


def _samples(
    data: Any, card: ModelCard, inputs: Sequence[Input], model: Path
) -> tuple[Callable[[], Iterator[_Batch]], list[Callable[[_Batch], _Batch]]]:
    """What gives all samples in batches as a teacher takes them, and the views of them that it is asked for."""
    if isinstance(data, FaceDataset):
        faces = card.faces
        return lambda: _batches(len(data), lambda i: data.sample(i, faces)), [_as_it_is, _mirrored]
    check_same_input(card.inputs, inputs, f"{model} cannot be a teacher")
    return lambda: _batches(len(data), lambda i: (np.asarray(data[i][0], np.float32),)), [_as_it_is]


def _batches(count: int, sample: Callable[[int], _Batch]) -> Iterator[_Batch]:
    for start in range(0, count, _ASK_AT_ONCE):
        samples = [sample(i) for i in range(start, min(start + _ASK_AT_ONCE, count))]
        yield tuple(np.stack(arrays) for arrays in zip(*samples, strict=True))


def _as_it_is(batch: _Batch) -> _Batch:
    return batch


def _mirrored(batch: _Batch) -> _Batch:
    return tuple(np.ascontiguousarray(array[..., ::-1]) for array in batch)


def _open(model: Path, device: torch.device) -> tuple[Network, ModelCard]:
    if _has_weights(model):
        network, card = load_network(model)
        return TorchNetwork(network.to(device), _ASK_AT_ONCE), card
    provider = "auto" if device.type == "cuda" else "cpu"
    classifier = Classifier.load(model, torch.get_num_threads(), provider)
    return classifier, classifier.card


def read_answers(path: Path, data: Any, labels: Sequence[str]) -> NDArray[np.float64]:
    """What a file says about each face of a dataset, (N, classes) in the order of the labels.

    Raises:
        EmotionError: it is no file of answers, does not know a face, or lacks a label.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            known = {key: i for i, key in enumerate(file["keys"].tolist())}
            names, probabilities = tuple(file["labels"].tolist()), file["probabilities"].astype(np.float64)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise EmotionError(
            f"{path} is no file of answers, which `emotion yardstick --answers` writes: {error}"
        ) from None
    if not isinstance(data, FaceDataset):
        raise EmotionError(f"{path} holds answers about single faces, the data has none")
    places = _places(names, labels, path)
    rows = [known.get(key_of(data, i), -1) for i in range(len(data))]
    if missing := rows.count(-1):
        raise EmotionError(f"{path} knows nothing of {missing} of the {len(rows)} faces: it was made from other data")
    chosen = probabilities[rows][:, list(places)]
    return chosen / np.maximum(chosen.sum(1, keepdims=True), np.finfo(np.float64).tiny)


def _places(known: Sequence[str], labels: Sequence[str], model: Path) -> tuple[int, ...]:
    """Where the labels of the data stand among the teacher's, in the order of the data."""
    shared = share_labels(known, labels)
    if shared.only_data:
        raise EmotionError(
            f"the teacher {model} must know all labels of the data: it lacks {', '.join(shared.only_data)} and tells "
            f"{', '.join(known)}"
        )
    return shared.model


def _has_weights(model: Path) -> bool:
    return model.suffix == ".safetensors"


def _hash(model: Path) -> str | None:
    if _has_weights(model):
        if not model.is_file():
            return None
        network, card = load_network(model)
        return of_weights({**network.state_dict(), "labels " + ",".join(card.labels): torch.zeros(0)})
    if model.suffix == ANSWERS_SUFFIX:
        return sha256(model) if model.is_file() else None
    try:
        path = find_model(model)
    except EmotionError:
        return None
    if path.suffix != ENSEMBLE_SUFFIX:
        return sha256(path)
    members = [(member.sha256, member.weight) for member in EnsembleCard.load(path).members]
    return of_weights({json.dumps(members): torch.zeros(0)})
