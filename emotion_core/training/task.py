"""What a method supplies so that the one loop can train it.

To add a method: a subclass of ``Task`` in a file of its own, with its settings (a subclass of ``LoopConfig``). Epochs,
stages, devices, processes, mixed precision, averages, checkpoints and histories are the loop's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from emotion_core.training.distributed import Processes
from emotion_core.training.loop_config import LoopConfig


@dataclass(frozen=True)
class Stage:
    """One part of a training; each has an optimizer and a schedule of its own."""

    kind: str
    epochs: int

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True)
class Batch:
    """One batch, on the device of its process.

    Attributes:
        inputs: what the network takes, (N, ...), or a tuple of such tensors for a network with several inputs.
        targets: what its output is compared with, (N, ...).
        weights: (N,) what each sample counts, or None where all count alike.
        indices: (N,) positions in the dataset, on the CPU, where the task needs them again.
    """

    inputs: Tensor | tuple[Tensor, ...]
    targets: Tensor
    weights: Tensor | None = None
    indices: Tensor | None = None

    @property
    def all_inputs(self) -> tuple[Tensor, ...]:
        """The network's arguments."""
        return self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)


class Batches(Protocol):
    """The batches of an epoch: their number is known before."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class Measured:
    """A validation: columns of the history by their names, and the score by which weights are better (larger)."""

    score: float
    columns: dict[str, Any] = field(default_factory=dict)


class Clock:
    """How much of a stage is done, for schedules that follow it step by step.

    Attributes:
        share: in [0, 1], before the step that comes next.
    """

    def __init__(self, share: float = 0.0) -> None:
        self.share = share


Scheduler = torch.optim.lr_scheduler.LRScheduler | torch.optim.lr_scheduler.ReduceLROnPlateau


@dataclass(frozen=True)
class Schedule:
    """A learning rate scheduler of torch, and when it is stepped: after each 'step' or each 'epoch'.

    ReduceLROnPlateau is stepped with the score of each validation.
    """

    scheduler: Scheduler | None = None
    by: str = "epoch"


class Task(ABC):
    """A method: its network, data, loss and measure.

    Everything random in an epoch is drawn anew from (seed, stage, epoch), see ``epoch_seed``: so a training that was
    interrupted goes on exactly as if it had not been.

    Attributes:
        name: of the method, in checkpoints.
        config: its settings, with those of the loop.
        model: the network that learns; the loop moves it to its device.
        columns: names in ``history.csv``, among them epoch, lr, train_loss and seconds; the others come from
            ``describe`` and ``measure``.
    """

    name: str
    config: LoopConfig
    model: nn.Module
    columns: tuple[str, ...]

    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """What is trained, in order."""

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """What decides the result besides the settings, JSON-ready: data, starting weights, teachers, by their names.

        See ``emotion_core.training.fingerprint``.
        """

    @abstractmethod
    def batches(self, index: int, epoch: int, processes: Processes) -> Batches:
        """This process's batches of an epoch (from 0) of the stage with this index; as many in every process."""

    @abstractmethod
    def optimizer(self, index: int) -> Optimizer:
        """Made at the beginning of a stage. Weights in none of its groups do not learn."""

    @abstractmethod
    def schedule(self, index: int, optimizer: Optimizer, clock: Clock) -> Schedule:
        """Made with the optimizer."""

    @abstractmethod
    def loss(self, index: int, output: Any, batch: Batch) -> Tensor:
        """A scalar, from what ``network(index)`` gave for the batch's inputs; outside of mixed precision."""

    @abstractmethod
    def measure(self, index: int, model: nn.Module) -> Measured:
        """Validate a network of the same kind as ``model``, in the first process."""

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result, JSON-ready."""
        return asdict(self.config)

    def epoch_seed(self, index: int, epoch: int) -> int:
        """Where everything random in this epoch comes from."""
        return (self.config.seed * 10_007 + index) * 10_007 + epoch

    # Hooks: most methods need few of them, so none is abstract.

    def prepare(self, device: torch.device) -> None:  # noqa: B027
        """Before the first stage of a training that does not go on with another: ask teachers, measure the data."""

    def begin_stage(self, index: int) -> None:  # noqa: B027
        """Change the network for a stage, such as by another branch. Called again when a stage is gone on with."""

    def network(self, index: int) -> nn.Module:
        """What is run on a batch's inputs: the model, or a view of it with tensors as its output."""
        return self.model

    def train_mode(self, index: int) -> None:
        """Which parts are in training mode in this stage."""
        self.model.train()

    def end_epoch(self, processes: Processes) -> None:  # noqa: B027
        """Called in every process after an epoch's last step, to exchange what they saw."""

    def finish(self, model: nn.Module) -> None:  # noqa: B027
        """After the last stage, also of a training that was finished before: ``model`` is the one to keep."""

    def describe(self, stage: Stage) -> dict[str, Any]:
        """Columns of the history that belong to a stage."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds besides weights and optimizer: tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take it back; called before the weights are loaded, so that the network can be given its shape."""
