"""Training the audiovisual network as its authors do.

    Chumachenko, Iosifidis, Gabbouj: Self-attention fusion for audiovisual emotion recognition with incomplete data.
    ICPR 2022. https://arxiv.org/abs/2201.11095

The loop keeps the best weights, those of the last epoch are in ``last``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import MultiStepLR
from torch.utils.data import DataLoader, Dataset

from emotion_core.data.clips import ClipDataset, check_inputs
from emotion_core.data.relabel import order_of
from emotion_core.errors import EmotionError
from emotion_core.evaluation.modes import evaluate_mode, evaluate_modes, mode_results
from emotion_core.export.torch_network import TorchNetwork
from emotion_core.models.audiovisual import Audiovisual
from emotion_core.models.efficientface import FaceFeatures
from emotion_core.models.registry import inputs_of
from emotion_core.store.card import ModelCard
from emotion_core.training.audiovisual_config import AudiovisualTrainingConfig
from emotion_core.training.augment import augment
from emotion_core.training.distributed import Processes
from emotion_core.training.fingerprint import of_data, of_weights
from emotion_core.training.loop import Loop
from emotion_core.training.modality_dropout import drop
from emotion_core.training.result import write_network
from emotion_core.training.task import Batch, Clock, Measured, Schedule, Stage, Task


class AudiovisualTask(Task):
    """One network, one stage.

    Args:
        config: see AudiovisualTrainingConfig.
        train: what to learn from.
        valid: what to choose the best weights by; without it they are chosen by the accuracy on ``train``, measured
            after each epoch in the same mode.
        start: a network to start from, which stays as it is; by default random weights, decided by the seed.

    Attributes:
        last: weights after the last epoch.

    Raises:
        EmotionError: network, data and start do not fit together.
    """

    name = "audiovisual"
    columns = ("epoch", "lr", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "macro_f1", "seconds")

    def __init__(
        self,
        config: AudiovisualTrainingConfig,
        train: ClipDataset,
        valid: ClipDataset | None = None,
        start: Audiovisual | None = None,
    ) -> None:
        self.config: AudiovisualTrainingConfig = config
        if start is not None and start.config != config.model:
            raise EmotionError(
                "the network to start from is of another architecture than the one to train: take its configuration"
            )
        for data, name in ((train, "to learn from"), (valid, "to validate on")):
            if data is not None and not len(data):
                raise EmotionError(f"there are no clips {name}: the dataset is empty")
        if len(train.labels) != config.model.num_classes:
            raise EmotionError(f"the network has {config.model.num_classes} classes, the data {len(train.labels)}")
        if valid is not None:
            order_of(valid.labels, train.labels, "the validation clips", "the training clips")  # raises for others
        torch.manual_seed(config.seed)
        self.model: Audiovisual = Audiovisual(config.model) if start is None else copy.deepcopy(start)
        if config.freeze_frames:
            for module in self._frame_parts():
                module.requires_grad_(False)
        self._start = "random" if start is None else of_weights(self.model.state_dict())
        self.data, self.valid = train, valid
        self.train = _NetworkInput(train, self.model)
        self.last: dict[str, Tensor] = {}
        self._hits, self._seen, self._accuracy = torch.zeros(()), 0, 0.0

    def stages(self) -> list[Stage]:
        """One."""
        return [Stage("training", self.config.epochs)]

    def settings(self) -> dict[str, Any]:
        """See ``Task``."""
        return self.config.to_dict()

    def train_mode(self, index: int) -> None:
        """What is frozen keeps the statistics of its batch normalisation, too."""
        self.model.train()
        if self.config.freeze_frames:
            for module in self._frame_parts():
                module.eval()

    def _frame_parts(self) -> list[nn.Module]:
        names = {name for name, _ in FaceFeatures().named_children()}
        return [module for name, module in self.model.visual_model.named_children() if name in names]

    def fingerprint(self) -> dict[str, Any]:
        """See ``Task``."""
        return {
            "training clips": of_data(_Contents(self.data)),
            "validation clips": "none" if self.valid is None else of_data(_Contents(self.valid)),
            "starting weights": self._start,
        }

    def optimizer(self, index: int) -> Optimizer:
        """Momentum with dampening; everything decays."""
        config = self.config
        return SGD(
            [parameter for parameter in self.model.learned() if parameter.requires_grad],
            lr=config.lr,
            momentum=config.momentum,
            dampening=config.dampening,
            weight_decay=config.weight_decay,
        )

    def schedule(self, index: int, optimizer: Optimizer, clock: Clock) -> Schedule:
        """Steps after given epochs."""
        return Schedule(MultiStepLR(optimizer, list(self.config.lr_steps), self.config.step_factor))

    def batches(self, index: int, epoch: int, processes: Processes) -> _Epoch:
        """All clips in a fresh order, changed at random, with their incomplete copies."""
        seed, size = self.epoch_seed(index, epoch), self.config.batch_size
        order = processes.share(np.random.default_rng(seed).permutation(len(self.data)))
        if not len(order):
            raise EmotionError(f"{len(self.data)} clips cannot be shared among {processes.count} processes")
        self._hits, self._seen = torch.zeros((), device=processes.device), 0
        indices = [order[i : i + size].tolist() for i in range(0, len(order), size)]
        generator = torch.Generator().manual_seed(seed + processes.rank)
        loader = DataLoader(self.train, batch_sampler=indices, num_workers=self.config.workers)
        return _Epoch(loader, self.config, generator, processes.device)

    def loss(self, index: int, output: Any, batch: Batch) -> Tensor:
        """Cross-entropy."""
        self._hits += (output.detach().argmax(1) == batch.targets).sum()
        self._seen += len(batch.targets)
        return nn.functional.cross_entropy(output.float(), batch.targets)

    def end_epoch(self, processes: Processes) -> None:
        """The accuracy while learning, over complete and incomplete clips; and the weights, should this be the end."""
        self._accuracy = processes.mean(100 * float(self._hits) / max(1, self._seen))
        self.last = _copy(self.model)

    def describe(self, stage: Stage) -> dict[str, Any]:
        """See ``end_epoch``."""
        return {"train_accuracy": self._accuracy}

    def measure(self, index: int, model: nn.Module) -> Measured:
        """Loss, accuracy and macro F1 (percent) on the validation clips, in the chosen mode."""
        self.last = _copy(model)  # the average, where there is one; after the last epoch it is always measured
        if self.valid is None and not self.config.keep_best:
            return Measured(0.0)
        data = self.data if self.valid is None else self.valid
        network = TorchNetwork(model, self.config.batch_size)
        result = evaluate_mode(
            network, data, inputs_of(model), self.data.labels, self.config.eval_mode, self.config.batch_size
        )
        found = result.categories.ensemble
        columns = {
            "valid_loss": result.cross_entropy, "valid_accuracy": found.accuracy, "macro_f1": found.macro_f1,
        }  # fmt: skip
        return Measured(found.accuracy, {} if self.valid is None else columns)

    def state_dict(self) -> dict[str, Any]:
        """The weights of the last epoch, which are not always those that the loop keeps."""
        return {"last": self.last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``Task``."""
        self.last = {name: tensor.cpu() for name, tensor in state["last"].items()}


def write_result(
    loop: Loop,
    name: str,
    about: Mapping[str, Any],
    licence: str,
    measured_on: tuple[ClipDataset, str, str],
    half: bool = False,
    notes: str = "",
) -> Path:
    """Write the network of a finished training as ``model.safetensors`` with its card; returns the path.

    Args:
        about: further entries of the card's training, such as data and command.
        licence: of the weights.
        measured_on: clips, and the names of their dataset and split; the card then tells the accuracy in all modes.
        half: store the weights as float16.
        notes: of the card.
    """
    task = loop.task
    assert isinstance(task, AudiovisualTask)
    data, dataset, split = measured_on

    def measure(card: ModelCard) -> list[dict[str, Any]]:
        network = TorchNetwork(loop.model, task.config.batch_size)
        results = evaluate_modes(network, data, card.inputs, card.labels, task.config.batch_size)
        return mode_results(results, dataset, split, card.precision)

    return write_network(loop, name, task.data.labels, licence, about, measure, half, notes=notes)[0]


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


class _NetworkInput(Dataset):
    """Clips as the network takes them."""

    def __init__(self, data: ClipDataset, model: Audiovisual) -> None:
        self.data, self.inputs = data, check_inputs(inputs_of(model))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
        clip, sound = self.data.sample(index, self.inputs)
        return clip, sound, int(self.data.targets[index])


class _Contents:
    """What decides a sample, in the form that fingerprints are taken of."""

    def __init__(self, data: ClipDataset) -> None:
        self.data, self.labels, self.targets = data, data.labels, data.targets

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        sound, clip, target = self.data[index]
        return np.frombuffer(np.asarray(sound).tobytes() + np.asarray(clip).tobytes(), np.uint8), target


class _Epoch:
    def __init__(
        self, loader: DataLoader, config: AudiovisualTrainingConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        self.loader, self.config, self.generator, self.device = loader, config, generator, device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        for clips, sounds, targets in self.loader:
            clips = self._augmented(clips.to(self.device))
            clips, sounds, targets = drop(
                clips, sounds.to(self.device), targets.to(self.device), self.config.dropout, self.generator
            )
            yield Batch((clips, sounds), targets)

    def _augmented(self, clips: Tensor) -> Tensor:
        """All frames of a clip are changed alike: for that they are taken for the channels of one picture."""
        if self.config.augment is None:
            return clips
        return augment(clips.flatten(1, 2), self.config.augment, self.generator).view(clips.shape)
