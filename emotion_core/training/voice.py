"""The voice network: a classifier in closed form on a speaker encoder, which is tuned before where that is asked for.

Few people have been recorded with acted emotions, so the encoder comes from many speakers without any
(``emotion_core.export.ge2e``), and the classifier meets each utterance changed in several ways. It learns from what is
left when the mean of some others of the same speaker is taken off, as a robot can do after a while; so it does not
learn who speaks, and serves those of whom nothing was heard as well.

The result is ``model.safetensors`` with its card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from emotion_core.data.relabel import order_of
from emotion_core.data.voices import Voices
from emotion_core.errors import EmotionError
from emotion_core.evaluation.metrics import Classification
from emotion_core.evaluation.voices import HEARD, evaluate_voices, heard_before
from emotion_core.export.ge2e import load_ge2e
from emotion_core.export.weights import save_network
from emotion_core.models.registry import build, describe, entry_of
from emotion_core.models.voice import VoiceNetwork
from emotion_core.store.card import ModelCard
from emotion_core.training.discriminant import calibrated
from emotion_core.training.distributed import Processes
from emotion_core.training.fingerprint import of_data, of_weights
from emotion_core.training.loop import Loop
from emotion_core.training.schedules import warm_cosine
from emotion_core.training.task import Batch, Clock, Measured, Schedule, Stage, Task
from emotion_core.training.trained import load_start
from emotion_core.training.voice_config import VoiceTrainingConfig
from emotion_core.training.voice_data import Utterances, padded

_ENCODE_AT_ONCE = 32
_LEAST = 1e-2  # deviation of a statistic, below which it is taken as constant


class VoiceTask(Task):
    """The classifier, then the whole network.

    Args:
        config: see VoiceTrainingConfig.
        train, valid: utterances to learn from and to report on, by other speakers. Labels in another order than those
            of the training data, or of the network to start from, are put into that order.
        encoder: a GE2E encoder to start from, see ``load_ge2e``.
        init: a ``.safetensors`` of a voice network to start from in its place, classifier included.

    Attributes:
        labels: of the network, in the order of its output.

    Raises:
        EmotionError: network, data and start do not fit together.
    """

    name = "voice"
    columns = ("epoch", "lr", "train_loss", "valid_loss", "valid_accuracy", "macro_f1", "known_accuracy", "seconds")

    def __init__(
        self,
        config: VoiceTrainingConfig,
        train: Voices,
        valid: Voices,
        encoder: str | Path | None = None,
        init: str | Path | None = None,
    ) -> None:
        for data, name in ((train, "to learn from"), (valid, "to validate on")):
            if not len(data):
                raise EmotionError(f"there are no utterances {name}: the dataset is empty")
        self.config: VoiceTrainingConfig = config
        model = build({**config.model, "num_classes": len(train.labels)}, "model", config.seed)
        assert isinstance(model, VoiceNetwork)
        self.model: VoiceNetwork = model
        self.labels: tuple[str, ...] = tuple(train.labels)
        if encoder is not None:
            load_ge2e(encoder, model)
        self.init: dict[str, Any] = {}
        if init is not None:
            card = load_start(init, model)
            self.init, self.labels = card.training, tuple(card.labels)
        self._start = of_weights(model.state_dict())
        self.train, self.valid = train, valid
        order = order_of(train.labels, self.labels, "the training data", "the network")
        self._classes = np.argsort(order)[train.classes]
        order = order_of(valid.labels, self.labels, "the validation data", "the training data")
        self._truth = np.argsort(order)[valid.classes]
        eye = torch.eye(len(self.labels))
        self.targets = torch.lerp(eye, torch.full_like(eye, 1 / len(eye)), config.label_smoothing)[self._classes]

    def stages(self) -> list[Stage]:
        """The tuning, where it has epochs."""
        return [Stage("tuning", self.config.epochs)] if self.config.epochs else []

    def settings(self) -> dict[str, Any]:
        """See ``Task``."""
        return self.config.to_dict()

    def fingerprint(self) -> dict[str, Any]:
        """See ``Task``."""
        return {
            "training samples": {**of_data(self.train), "speakers": list(self.train.speakers)},
            "validation samples": {**of_data(self.valid), "speakers": list(self.valid.speakers)},
            "starting weights": self._start,
        }

    def prepare(self, device: torch.device) -> None:
        """A classifier for the encoder as it is."""
        self.fit(self.model)

    def finish(self, model: nn.Module) -> None:
        """A classifier for the encoder as the tuning left it."""
        assert isinstance(model, VoiceNetwork)
        if self.config.epochs:
            self.fit(model)

    @torch.no_grad()
    def fit(self, model: VoiceNetwork) -> None:
        """Set the scale of a network's statistics and its classifier, by what its encoder gives."""
        config = self.config
        copies = [self._hear(self.train, model, copy) for copy in range(1 + config.copies)]
        mean, deviation = copies[0].mean(0), np.maximum(copies[0].std(0), _LEAST)
        model.centre += model.spread * torch.from_numpy(mean).to(model.centre)
        model.spread *= torch.from_numpy(deviation).to(model.spread)
        rng = np.random.default_rng(config.seed)
        values = []
        for copy in copies:
            pooled = (copy - mean) / deviation
            counts = rng.integers(1, config.known_most + 1, len(pooled))
            values.append(pooled - heard_before(pooled, self.train.speakers, counts, rng, config.shrink))
        who = np.unique(self.train.speakers, return_inverse=True)[1]
        found = calibrated(values, self._classes, who, config.kept, config.spread)
        model.classes.weight.copy_(torch.from_numpy(found.weights))
        model.classes.bias.copy_(torch.from_numpy(found.bias))

    def optimizer(self, index: int) -> Optimizer:
        """AdamW, slower for lower layers."""
        config, below = self.config, len(self.model.layers) - 1
        groups: list[dict[str, Any]] = [
            {"params": list(layer.parameters()), "lr": config.lr * config.layer_factor ** (below - i)}
            for i, layer in enumerate(self.model.layers)
        ]
        learned = [group for group in groups if group["lr"] > 0]
        return AdamW([*learned, {"params": list(self.model.classes.parameters())}], lr=config.lr, weight_decay=0.0)

    def schedule(self, index: int, optimizer: Optimizer, clock: Clock) -> Schedule:
        """Up, and down along a half cosine."""
        return warm_cosine(optimizer, clock, self.config.warmup)

    def batches(self, index: int, epoch: int, processes: Processes) -> _Epoch:
        """Each utterance once, freshly changed."""
        seed = self.epoch_seed(index, epoch)
        order = processes.share(np.random.default_rng(seed).permutation(len(self.train)))
        if not len(order):
            raise EmotionError(f"{len(self.train)} utterances cannot be shared among {processes.count} processes")
        size = min(self.config.batch_size, len(order))
        rows = [order[i * size : (i + 1) * size] for i in range(len(order) // size)]
        return _Epoch(self, rows, seed, processes.device)

    def loss(self, index: int, output: Any, batch: Batch) -> Tensor:
        """Cross-entropy."""
        return -(batch.targets * output.logits.float().log_softmax(-1)).sum(1).mean()

    def measure(self, index: int, model: nn.Module) -> Measured:
        """Loss, accuracy and macro F1 (percent) of speakers not heard before, and accuracy after the most in HEARD."""
        assert isinstance(model, VoiceNetwork)
        pooled = self._hear(self.valid, model)
        results = self._evaluate(model, pooled, (0, HEARD[-1]))
        with torch.no_grad():
            said = model.eval().classify(torch.from_numpy(pooled).to(model.centre)).log_softmax(-1).cpu().numpy()
        plain, known = results[0], results[HEARD[-1]]
        columns = {
            "valid_loss": float(-said[np.arange(len(said)), self._truth].mean()),
            "valid_accuracy": plain.accuracy,
            "macro_f1": plain.macro_f1,
            "known_accuracy": known.accuracy,
        }
        return Measured((plain.accuracy + known.accuracy) / 2, columns)

    def evaluate(self, model: VoiceNetwork, heard: Sequence[int] = HEARD) -> dict[int, Classification]:
        """How well the validation is judged after so many utterances of each speaker."""
        return self._evaluate(model, self._hear(self.valid, model), heard)

    def _evaluate(
        self, model: VoiceNetwork, pooled: NDArray[np.float32], heard: Sequence[int]
    ) -> dict[int, Classification]:
        model.eval()

        @torch.no_grad()
        def classify(statistics: NDArray[np.float32], speakers: NDArray[np.float32]) -> NDArray[np.float32]:
            arrays = (torch.from_numpy(array).to(model.centre) for array in (statistics, speakers))
            return model.classify(*arrays).cpu().numpy()

        speakers, shrink = self.valid.speakers, self.config.shrink
        return evaluate_voices(pooled, self._truth, speakers, classify, self.labels, heard, shrink=shrink)

    @torch.no_grad()
    def _hear(self, voices: Voices, model: VoiceNetwork, copy: int = 0) -> NDArray[np.float32]:
        """Statistics (N, size) of utterances as they are (copy 0), or changed; nothing of the speaker is taken off."""
        model.eval()
        config = self.config
        # Masks are for what learns to do without: to an encoder that stays as it is they are no sound.
        changes = replace(config.augment, bands=0, frames=0) if copy else None
        utterances = Utterances(voices, model.config.gate, changes, config.seed * 10_007 + copy)
        rows = []
        for start in range(0, len(voices), _ENCODE_AT_ONCE):
            mels = [utterances[i] for i in range(start, min(start + _ENCODE_AT_ONCE, len(voices)))]
            rows.append(model(padded(mels).to(model.centre)).pooled.cpu().numpy())
        return np.concatenate(rows)


class _Epoch:
    """Freshly changed utterances, read batch by batch."""

    def __init__(self, task: VoiceTask, rows: list[NDArray[np.int64]], seed: int, device: torch.device) -> None:
        self.task, self.rows, self.device = task, rows, device
        config = task.config
        self.utterances = Utterances(task.train, task.model.config.gate, config.augment, seed, config.longest)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        for rows in self.rows:
            mels = padded([self.utterances[int(i)] for i in rows])
            yield Batch(mels.to(self.device), self.task.targets[torch.from_numpy(rows)].to(self.device))


def write_result(
    loop: Loop, name: str, about: Mapping[str, Any], licence: str, dataset: str, half: bool = False
) -> tuple[Path, ModelCard]:
    """Write the network of a finished training as ``model.safetensors`` with its card; returns both.

    Args:
        about: further entries of the card's training, such as data and command.
        licence: of the weights.
        dataset: what was learned from and validated on, for people.
        half: store the weights as float16.
    """
    task, model = loop.task, loop.model
    assert isinstance(task, VoiceTask) and isinstance(model, VoiceNetwork)
    card = describe(
        entry_of(model),
        name=name,
        labels=task.labels,
        licence=licence,
        training={
            **about,
            **{key: value for key, value in task.config.to_dict().items() if key != "model"},
            **({"init": task.init} if task.init else {}),
        },
    )
    path = loop.out / "model.safetensors"
    results = card_results(task.evaluate(model), card, dataset, task.valid.speakers)
    card = replace(card, results=tuple(results))
    save_network(model, card, path, half)
    return path, card


def card_results(
    results: Mapping[int, Classification], card: ModelCard, dataset: str, speakers: Sequence[str]
) -> list[dict[str, object]]:
    """An entry of a card for each number of utterances heard before."""
    names = sorted(set(speakers) - {""})
    who = f"{len(names)} speakers" if names else "speakers"
    if 0 < len(names) <= 8:
        who += f" ({', '.join(names)})"
    return [
        {
            "dataset": dataset,
            "split": "validation",
            "protocol": f"{len(card.labels)} classes, unseen {who}, {_heard_text(count)}",
            "n": result.n,
            "accuracy": round(result.accuracy, 2),
            "macro_f1": round(result.macro_f1, 2),
            "calibration_error": round(result.calibration_error, 2),
            "precision": card.precision,
        }
        for count, result in results.items()
    ]


def _heard_text(count: int) -> str:
    return f"after {count} utterances of each speaker, drawn at random" if count else "nothing heard before"
