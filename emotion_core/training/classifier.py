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
from emotion_core.models.registry import build, inputs_of, outputs_of, read_entry
from emotion_core.store.card import FACE, LOGITS, Input, ModelCard
from emotion_core.training.augment import augment
from emotion_core.training.classifier_config import ClassifierConfig
from emotion_core.training.cpu import channels_last, in_layout
from emotion_core.training.distributed import Processes
from emotion_core.training.fingerprint import of_data, of_weights
from emotion_core.training.loop import Loop
from emotion_core.training.network_input import NetworkInput, distributions
from emotion_core.training.result import write_network
from emotion_core.training.schedules import warm_cosine
from emotion_core.training.task import Batch, Clock, Measured, Schedule, Stage, Task
from emotion_core.training.teachers import Teachers
from emotion_core.training.trained import class_logits, class_probabilities, load_any_start


class ClassifierTask(Task):
    """One network, one stage.

    Args:
        config: see ClassifierConfig.
        train, valid: what to learn from and to choose the best weights by; see the module. Labels in another order
            than those of the network to start from, or of the training data, are put into that order.
        init: weights to start from in place of random ones: a ``.safetensors`` of the same architecture, or for the
            networks of the zoo ImageNet weights, see ``load_any_start``.
        teachers: models whose mean probabilities are mixed into the targets, see ``Teachers``.

    Attributes:
        labels: of the network, in the order of its output.

    Raises:
        EmotionError: network, data, start and teachers do not fit together.
    """

    name = "classifier"
    columns = ("epoch", "lr", "train_loss", "valid_loss", "valid_accuracy", "macro_f1", "seconds")

    def __init__(
        self,
        config: ClassifierConfig,
        train: Any,
        valid: Any,
        init: str | Path | None = None,
        teachers: Sequence[str | Path] = (),
    ) -> None:
        for data, name in ((train, "to learn from"), (valid, "to validate on")):
            if not len(data):
                raise EmotionError(f"there are no samples {name}: the dataset is empty")
        self.config: ClassifierConfig = config
        self.model = build(_with_classes(config.model, len(train.labels)), "model", config.seed)
        self.input = _only_input(self.model)
        self.labels: tuple[str, ...] = tuple(train.labels)
        self.init: dict[str, Any] = {}
        self._start = "random"
        if init is not None:
            start = load_any_start(init, self.model, self.labels)
            if isinstance(start, ModelCard):
                self.init, self.labels = start.training, tuple(start.labels)
            else:
                self.init = {"weights": Path(init).name, "taken": start}
            self._start = of_weights(self.model.state_dict())
        channels_last(self.model)
        self.data = train, valid
        soft = distributions(train) if config.distributions else None
        own = _as_distributions(np.asarray(train.targets) if soft is None else soft, train.labels)
        order = order_of(train.labels, self.labels, "the training data", "the network")
        self._own_targets, self.targets = own, torch.from_numpy(np.ascontiguousarray(own[:, order]))
        order = order_of(valid.labels, self.labels, "the validation data", "the training data")
        self._truth = np.argsort(order)[_classes(valid)]
        self.train, self.valid = (self._network_input(data) for data in (train, valid))
        self.teachers = Teachers(teachers)
        self.taught: list[dict[str, Any]] = []
        self._class_weights = self._weights()
        self.targets = torch.lerp(self.targets, torch.tensor(1 / len(self.labels)), config.label_smoothing)

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
        order = processes.share(np.random.default_rng(seed).permutation(len(self.train)))
        if len(order) < 1:
            raise EmotionError(f"{len(self.train)} samples cannot be shared among {processes.count} processes")
        count = max(1, len(order) // size)
        return _Epoch(
            self,
            [order[i * size : (i + 1) * size].tolist() for i in range(count)],
            torch.Generator().manual_seed(seed + processes.rank),
            processes.device,
        )

    def loss(self, index: int, output: Any, batch: Batch) -> Tensor:
        """Cross-entropy, summed over the members of an ensemble; samples of heavier classes count the more."""
        assert batch.weights is not None
        logits = class_logits(self.model, output).float()
        targets = batch.targets[:, None] if logits.ndim == 3 else batch.targets
        losses = -(targets * logits.log_softmax(-1)).flatten(1).sum(1)
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
        return Measured(result.accuracy, columns)

    def state_dict(self) -> dict[str, Any]:
        """The targets: an interrupted training does not need its teachers again."""
        return {"targets": self.targets, "teachers": json.dumps(self.taught)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``Task``."""
        self.targets, self.taught = state["targets"].cpu(), json.loads(state["teachers"])

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
            zeros = torch.zeros(1, *self.input.shape, device=parameters[0].device)
            logits = class_logits(self.model.eval().requires_grad_(True), self.model(zeros))
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
        self, task: ClassifierTask, indices: list[list[int]], generator: torch.Generator, device: torch.device
    ) -> None:
        self.task, self.indices, self.generator, self.device = task, indices, generator, device

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Batch]:
        loader = DataLoader(self.task.train, batch_sampler=self.indices, num_workers=self.task.config.workers)
        for indices, (inputs, _) in zip(self.indices, loader, strict=True):
            yield self.task.batch(torch.tensor(indices), inputs, self.generator, self.device)


def _with_classes(entry: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The same network for so many classes."""
    _, config = read_entry(entry, "model")
    if config.num_classes == count:
        return dict(entry)
    changed = {**entry, "num_classes": count}
    if read_entry(changed, "model")[1].num_classes != count:
        raise EmotionError(f"the network has {config.num_classes} classes, the data {count}")
    return changed


def _only_input(model: nn.Module) -> Input:
    inputs = inputs_of(model)
    if len(inputs) != 1 or not any(output.kind == LOGITS for output in outputs_of(model)):
        names = ", ".join(item.name for item in inputs)
        raise EmotionError(f"a plain classifier has one input and gives logits, this network takes {names}")
    return inputs[0]


def _classes(data: Any) -> NDArray[np.int64]:
    targets = np.asarray(data.targets)
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise EmotionError(
            f"a classifier learns classes, the data has targets {targets.dtype} of shape {targets.shape}"
        )
    return targets.astype(np.int64)


def _as_distributions(targets: NDArray[Any], labels: Sequence[str]) -> NDArray[np.float32]:
    """(N, classes) float32, rows sum to 1."""
    if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
        return np.eye(len(labels), dtype=np.float32)[targets]
    if targets.ndim != 2 or targets.shape[1] != len(labels) or not np.allclose(targets.sum(1), 1, atol=1e-3):
        raise EmotionError(
            f"a classifier learns classes (N,) or label distributions (N, {len(labels)}), the data has targets "
            f"{targets.dtype} of shape {targets.shape}"
        )
    return targets.astype(np.float32)


def write_result(
    loop: Loop, name: str, about: Mapping[str, Any], licence: str, dataset: str = "", half: bool = False
) -> Path:
    """Write the network of a finished training as ``model.safetensors`` with its card; returns the path.

    Args:
        about: further entries of the card's training, such as data and command.
        licence: of the weights.
        dataset: name in the registry of what was validated on, by whose protocols the card then tells the accuracy.
        half: store the weights as float16.
    """
    task = loop.task
    assert isinstance(task, ClassifierTask)

    def measure(card: ModelCard) -> list[dict[str, Any]]:
        return _results(task, loop.model, card, dataset)

    return write_network(loop, name, task.labels, licence, about, measure, half, task.init, task.taught)[0]


def _results(task: ClassifierTask, model: nn.Module, card: ModelCard, dataset: str) -> list[dict[str, Any]]:
    """What the card tells of the validation."""
    valid = task.data[1]
    if dataset and isinstance(valid, FaceDataset):
        measured = evaluate_protocols(run_network(TorchNetwork(model), valid, task.input), valid, task.labels)
        return card_results(measured, card, dataset, "valid")
    columns = task.measure(0, model).columns
    figures = {key: round(columns[column], 2) for key, column in (("accuracy", "valid_accuracy"), ("macro_f1",) * 2)}
    return [{"split": "validation", "protocol": f"{len(task.labels)} classes", "n": len(valid), **figures}]
