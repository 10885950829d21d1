"""A plain classifier: any network of the registry that takes one input and gives scores before softmax.

Targets are classes or label distributions, smoothed, mixed with the probabilities of teachers, and weighted by class.
The input need not be a face: a dataset is anything with ``labels``, ``targets``, a length, and items (array, target)
whose arrays have the shape of the network's input. Faces are brought into it. The result is ``model.safetensors``
with its card.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer, RAdam
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader

from emotion_core.data.dataset import FaceDataset
from emotion_core.data.relabel import order_of
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import evaluate_protocols, run_network
from emotion_core.evaluation.metrics import classification
from emotion_core.evaluation.results import card_results
from emotion_core.export.torch_network import TorchNetwork
from emotion_core.models.face_resnet import FaceResnet
from emotion_core.models.registry import build
from emotion_core.plots.embedding import plot_embedding
from emotion_core.store.card import FACE, ModelCard
from emotion_core.training.augment import augment
from emotion_core.training.center_loss import Centers, WithFeatures
from emotion_core.training.classifier_config import ClassifierConfig
from emotion_core.training.classifier_data import as_distributions, classes_of, only_input, with_classes
from emotion_core.training.cpu import channels_last, in_layout
from emotion_core.training.distributed import Processes
from emotion_core.training.fingerprint import of_data, of_weights
from emotion_core.training.loop import Loop
from emotion_core.training.network_input import NetworkInput, distributions
from emotion_core.training.own_start import start_own_classes
from emotion_core.training.result import write_network
from emotion_core.training.schedules import warm_cosine
from emotion_core.training.statistics import settle
from emotion_core.training.task import Batch, Clock, Measured, Schedule, Stage, Task
from emotion_core.training.teachers import Teachers
from emotion_core.training.trained import class_logits, class_probabilities, load_any_start

SETTLING = 512
"""Samples by which layers without statistics of their own get them."""
EMBEDDING = "embedding.png"
"""Where the features of the validation data lie, written when they were drawn to centres."""


class ClassifierTask(Task):
    """One network, one stage.

    Args:
        config: see ClassifierConfig.
        train, valid: what to learn from and to choose the best weights by; see the module. Labels in another order
            than those of the network to start from, or of the training data, are put into that order.
        init: weights to start from in place of random ones: a ``.safetensors`` of the same architecture, or for the
            networks of the zoo ImageNet weights, see ``load_any_start``.
        teachers: models whose mean probabilities are mixed into the targets, see ``Teachers``.
        own_classes: ``init`` need not know any of the classes, see ``start_own_classes``.

    Attributes:
        labels: of the network, in the order of its output.

    Raises:
        EmotionError: network, data, start and teachers do not fit together.
    """

    name = "classifier"
    columns: tuple[str, ...] = ("epoch", "lr", "train_loss", "valid_loss", "valid_accuracy", "macro_f1", "seconds")

    def __init__(
        self,
        config: ClassifierConfig,
        train: Any,
        valid: Any,
        init: str | Path | None = None,
        teachers: Sequence[str | Path] = (),
        own_classes: bool = False,
    ) -> None:
        for data, name in ((train, "to learn from"), (valid, "to validate on")):
            if not len(data):
                raise EmotionError(f"there are no samples {name}: the dataset is empty")
        self.config: ClassifierConfig = config
        self.model = build(with_classes(config.model, len(train.labels)), "model", config.seed)
        self.input = only_input(self.model)
        self.labels: tuple[str, ...] = tuple(train.labels)
        self.init: dict[str, Any] = {}
        self._start, settled = "random", True
        if init is not None:
            begin = start_own_classes if own_classes else load_any_start
            start = begin(init, self.model, self.labels)
            if isinstance(start, ModelCard):
                self.init, self.labels = start.training, tuple(start.labels)
            else:
                self.init = {"weights": Path(init).name, "taken": start}
                settled = not isinstance(self.model, FaceResnet)
            self._start = of_weights(self.model.state_dict())
        channels_last(self.model)
        self.data = train, valid
        soft = distributions(train) if config.distributions else None
        own = as_distributions(np.asarray(train.targets) if soft is None else soft, train.labels)
        order = order_of(train.labels, self.labels, "the training data", "the network")
        self._own_targets, self.targets = own, torch.from_numpy(np.ascontiguousarray(own[:, order]))
        order = order_of(valid.labels, self.labels, "the validation data", "the training data")
        self._truth = np.argsort(order)[classes_of(valid)]
        self.train, self.valid = (self._network_input(data) for data in (train, valid))
        if not settled:
            settle(self.model, torch.stack([self.train[i][0] for i in range(min(len(train), SETTLING))]))
        self.teachers = Teachers(teachers)
        self.taught: list[dict[str, Any]] = []
        self._class_weights = self._weights()
        self.targets = torch.lerp(self.targets, torch.tensor(1 / len(self.labels)), config.label_smoothing)
        self.centers: Centers | None = None
        self._network: nn.Module = self.model
        self._processes: Processes | None = None
        if config.center_loss > 0:
            self._network = with_features = WithFeatures(self.model, self._example(self.model))
            self.centers = Centers(len(self.labels), with_features.layer.in_features, config.center_rate)
        if config.top_k:
            if config.top_k >= len(self.labels):
                raise EmotionError(f"top_k must be below the number of classes, {len(self.labels)}, got {config.top_k}")
            self.columns = (*self.columns[:-1], self.top_column, self.columns[-1])

    def stages(self) -> list[Stage]:
        """One."""
        return [Stage("training", self.config.epochs)]

    def settings(self) -> dict[str, Any]:
        """See ``Task``."""
        return self.config.to_dict()

    def fingerprint(self) -> dict[str, Any]:
        """See ``Task``."""
        train, valid = self.data
        return {
            "training samples": of_data(train, self._own_targets),
            "validation samples": of_data(valid),
            "starting weights": self._start,
            "teachers": self.teachers.hashes,
        }

    def prepare(self, device: torch.device) -> None:
        """Mix what the teachers say, of a face to its mirror image too, into the targets."""
        if not self.teachers:
            return

        self.targets, self.taught = self.teachers.teach(
            self.targets, self.config.teacher_weight, self.data[0], [self.input], self.labels, device
        )

    def optimizer(self, index: int) -> Optimizer:
        """Weights decay, biases and normalisations do not."""
        config, learned = self.config, self._behind_the_logits()
        groups: list[dict[str, Any]] = [
            {"params": [p for p in learned if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
        ]
        if config.optimizer == "sgd":
            return SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)
        if config.optimizer == "adamw":
            return AdamW(groups, lr=config.lr, betas=(config.momentum, 0.999))
        return RAdam(groups, lr=config.lr, betas=(config.momentum, 0.999), decoupled_weight_decay=True)

    def schedule(self, index: int, optimizer: Optimizer, clock: Clock) -> Schedule:
        """As the settings say."""
        config = self.config
        if config.schedule == "cosine":
            return warm_cosine(optimizer, clock, config.warmup)
        if config.schedule == "step":
            return Schedule(StepLR(optimizer, config.step_epochs, config.step_factor))
        if config.schedule == "plateau":
            return Schedule(ReduceLROnPlateau(optimizer, "max", config.step_factor, config.plateau_patience))
        return Schedule()

    def batches(self, index: int, epoch: int, processes: Processes) -> _Epoch:
        """All samples in a fresh order; what is left over after the last whole batch waits for another epoch."""
        seed, size = self.epoch_seed(index, epoch), self.config.batch_size
        self._processes = processes
        order = processes.share(np.random.default_rng(seed).permutation(len(self.train)))
        if len(order) < 1:
            raise EmotionError(f"{len(self.train)} samples cannot be shared among {processes.count} processes")
        count = max(1, len(order) // size)
        return _Epoch(
            self,
            [order[i * size : (i + 1) * size].tolist() for i in range(count)],
            torch.Generator().manual_seed(seed + processes.rank),
            processes.device,
            seed,
        )

    def network(self, index: int) -> nn.Module:
        """With centres the network gives its features, too."""
        return self._network

    def loss(self, index: int, output: Any, batch: Batch) -> Tensor:
        """Cross-entropy, summed over the members of an ensemble, and the distance to the centres of the classes;
        samples of heavier classes count the more."""
        assert batch.weights is not None
        drawn: Tensor | float = 0.0
        if self.centers is not None:
            assert self._processes is not None
            output, features = output
            classes = batch.targets.argmax(1)
            drawn = self.config.center_loss * self.centers.losses(features, classes)
            self.centers.follow(features, classes, self._processes)
        logits = class_logits(self.model, output).float()
        targets = batch.targets[:, None] if logits.ndim == 3 else batch.targets
        losses = -(targets * logits.log_softmax(-1)).flatten(1).sum(1) + drawn
        # A batch of nothing but classes that count 0 teaches nothing: 0 / tiny.
        return (losses * batch.weights).sum() / batch.weights.sum().clamp_min(torch.finfo(torch.float32).tiny)

    def measure(self, index: int, model: nn.Module) -> Measured:
        """Loss, accuracy and macro F1 (percent) of the network, of an ensemble's mean probability."""
        device = next(model.parameters()).device
        loader = DataLoader(self.valid, batch_size=self.config.batch_size, num_workers=self.config.workers)
        said = torch.cat([class_probabilities(model, inputs.to(device)) for inputs, _ in loader]).double().numpy()
        chosen, rows = said.argmax(1), np.arange(len(said))
        result = classification(self._truth, chosen, said[rows, chosen], self.labels)
        loss = -np.log(np.maximum(said[rows, self._truth], np.finfo(np.float64).tiny)).mean()
        columns = {"valid_loss": float(loss), "valid_accuracy": result.accuracy, "macro_f1": result.macro_f1}
        if self.config.top_k:
            likeliest = np.argpartition(said, -self.config.top_k)[:, -self.config.top_k :]
            columns[self.top_column] = 100.0 * float((likeliest == self._truth[:, None]).any(1).mean())
        return Measured(result.accuracy, columns)

    def state_dict(self) -> dict[str, Any]:
        """The targets: an interrupted training does not need its teachers again; and the centres."""
        centers = {} if self.centers is None else {"centers": self.centers.values}
        return {"targets": self.targets, "teachers": json.dumps(self.taught), **centers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``Task``."""
        self.targets, self.taught = state["targets"].cpu(), json.loads(state["teachers"])
        if self.centers is not None:
            self.centers.values = state["centers"]

    @torch.no_grad()
    def embedding(self, model: nn.Module) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """What the last layer sees of each validation sample, (N, features), and its class (N,)."""
        network = WithFeatures(model, self._example(model)).eval()
        device = next(model.parameters()).device
        loader = DataLoader(self.valid, batch_size=self.config.batch_size, num_workers=self.config.workers)
        seen = torch.cat([network(inputs.to(device))[1].float().cpu() for inputs, _ in loader])
        return seen.numpy(), self._truth

    @property
    def top_column(self) -> str:
        """Name of the share of samples whose class is among the likeliest."""
        return f"valid_top{self.config.top_k}"

    def _example(self, model: nn.Module) -> Tensor:
        return torch.zeros(1, *self.input.shape, device=next(model.parameters()).device)

    def _network_input(self, data: Any) -> Any:
        """The data as the network takes it: faces are brought into its input, anything else must fit already."""
        if isinstance(data, FaceDataset) and self.input.kind == FACE:
            return NetworkInput(data, self.input)
        shape = tuple(np.shape(data[0][0]))
        if shape != self.input.shape:
            raise EmotionError(f"the network takes {self.input.name} of shape {self.input.shape}, the data has {shape}")
        return data

    def _behind_the_logits(self) -> list[nn.Parameter]:
        """The weights that classes teach anything about; heads for other things than classes are not among them."""
        parameters = list(self.model.parameters())
        with torch.enable_grad():
            logits = class_logits(self.model.eval().requires_grad_(True), self.model(self._example(self.model)))
            gradients = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
        return [p for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None]

    def _weights(self) -> Tensor:
        """What a sample of each class counts."""
        chosen = self.config.class_weights
        if isinstance(chosen, Mapping):
            order = order_of(list(chosen), self.labels, "class_weights", "the data")
            given = torch.tensor([float(weight) for weight in chosen.values()])[order]
            if not (self.targets @ given > 0).any():
                raise EmotionError("class_weights: every class that has samples counts 0: let one count more")
            return given
        if chosen == "none":
            return torch.ones(len(self.labels))
        counts = self.targets.sum(0)
        if not (counts > 0).all():
            missing = [name for name, count in zip(self.labels, counts.tolist(), strict=True) if not count]
            raise EmotionError(f"class_weights: balanced needs samples of every class, there are none of {missing}")
        return counts.sum() / (len(counts) * counts)

    def augmented(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures of faces changed at random; anything else as it is."""
        if self.config.augment is None or self.input.kind != FACE:
            return inputs
        low, high = self.input.value_range
        changed = augment((inputs - low) / (high - low), self.config.augment, generator)
        return changed * (high - low) + low

    def batch(self, indices: Tensor, inputs: Tensor, generator: torch.Generator, device: torch.device) -> Batch:
        """Samples with their targets and weights."""
        targets = self.targets[indices]
        weights = targets @ self._class_weights
        changed = in_layout(self.augmented(inputs.to(device), generator))
        return Batch(changed, targets.to(device), weights.to(device), indices)


class _Epoch:
    def __init__(
        self,
        task: ClassifierTask,
        indices: list[list[int]],
        generator: torch.Generator,
        device: torch.device,
        seed: int,
    ) -> None:
        self.task, self.indices, self.generator, self.device, self.seed = task, indices, generator, device, seed

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Batch]:
        wanted: list[Any] = self.indices
        if isinstance(self.task.train, NetworkInput):  # a picture shows another part of it in each epoch
            wanted = [[(index, self.seed) for index in part] for part in self.indices]
        loader = DataLoader(self.task.train, batch_sampler=wanted, num_workers=self.task.config.workers)
        for indices, (inputs, _) in zip(self.indices, loader, strict=True):
            yield self.task.batch(torch.tensor(indices), inputs, self.generator, self.device)


def write_result(
    loop: Loop,
    name: str,
    about: Mapping[str, Any],
    licence: str,
    dataset: str = "",
    half: bool = False,
    split: str = "valid",
) -> Path:
    """Write the network of a finished training as ``model.safetensors`` with its card; returns the path.

    Args:
        about: further entries of the card's training, such as data and command.
        licence: of the weights.
        dataset: name in the registry of what was validated on, by whose protocols the card then tells the accuracy.
        half: store the weights as float16.
        split: of that dataset, as the card tells it.
    """
    task = loop.task
    assert isinstance(task, ClassifierTask)

    def measure(card: ModelCard) -> list[dict[str, Any]]:
        return _results(task, loop.model, card, dataset, split)

    path = write_network(loop, name, task.labels, licence, about, measure, half, task.init, task.taught)[0]
    if task.centers is not None:
        centers = task.centers.values.cpu().numpy()
        plot_embedding(*task.embedding(loop.model), task.labels, loop.out / EMBEDDING, centers)
    return path


def _results(task: ClassifierTask, model: nn.Module, card: ModelCard, dataset: str, split: str) -> list[dict[str, Any]]:
    """What the card tells of the validation."""
    valid, top = task.data[1], task.config.top_k
    if dataset and isinstance(valid, FaceDataset):
        measured = evaluate_protocols(run_network(TorchNetwork(model), valid, task.input), valid, task.labels)
        results = card_results(measured, card, dataset, split)
        if top:
            among = round(task.measure(0, model).columns[task.top_column], 2)
            results = [{**entry, f"top{top}_accuracy": among} for entry in results]
        return results
    columns = task.measure(0, model).columns
    figures = {key: round(columns[column], 2) for key, column in (("accuracy", "valid_accuracy"), ("macro_f1",) * 2)}
    return [{"split": "validation", "protocol": f"{len(task.labels)} classes", "n": len(valid), **figures}]
