"""Joint training of all branches of an ESR on faces with label distributions.

All branches learn at once, from one pass through the shared base, which suits a small network and a label
distribution for every face. The result is ``model.safetensors`` with its card.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from emotion_core.data.dataset import FaceSet
from emotion_core.data.relabel import relabelled
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import evaluate_protocols, run_network
from emotion_core.evaluation.results import card_results
from emotion_core.export.torch_network import TorchNetwork
from emotion_core.models.esr import Esr, EsrOutput
from emotion_core.models.registry import inputs_of
from emotion_core.store.card import ModelCard
from emotion_core.training.affect import fit_affect, predict
from emotion_core.training.augment import AugmentConfig, augment
from emotion_core.training.cpu import channels_last, pixels_apart
from emotion_core.training.distributed import Processes
from emotion_core.training.esr_joint_config import EsrTrainingConfig
from emotion_core.training.fingerprint import of_data, of_weights
from emotion_core.training.loop import Loop
from emotion_core.training.result import write_network
from emotion_core.training.schedules import warm_cosine
from emotion_core.training.task import Batch, Clock, Measured, Schedule, Stage, Task
from emotion_core.training.teachers import Teachers
from emotion_core.training.trained import load_start

log = logging.getLogger(__name__)

LICENCE = "Apache-2.0; trained on FER2013 images, whose own terms apply"
AFFECT = "derived from the emotion votes (Russell and Mehrabian 1977), not annotated"


class EsrJointTask(Task):
    """All branches at once.

    Args:
        config: see EsrTrainingConfig.
        train, valid: faces to learn from and to report on; grey, of the network's size. When the validation faces, or
            the network to start from, have the same labels in another order, they are put into one.
        init: a ``model.safetensors`` of the same architecture to start from, in place of random weights.
        teachers: models whose mean probabilities are mixed into the targets, see ``Teachers``.

    Raises:
        EmotionError: network, data, start and teachers do not fit together.
    """

    name = "esr_joint"
    columns = ("epoch", "lr", "train_loss", "valid_accuracy", "branch_accuracy", "seconds")

    def __init__(
        self,
        config: EsrTrainingConfig,
        train: FaceSet,
        valid: FaceSet,
        init: str | Path | None = None,
        teachers: Sequence[str | Path] = (),
    ) -> None:
        _check_fit(config, train, valid)
        torch.manual_seed(config.seed)
        self.config: EsrTrainingConfig = config
        self.model: Esr = Esr(config.model)
        self.init: dict[str, Any] = {}
        labels, start = train.labels, "random"
        if init is not None:
            card = load_start(init, self.model)
            self.init, labels, start = card.training, card.labels, of_weights(self.model.state_dict())
        elif config.start_share > 0:
            raise EmotionError(f"start_share {config.start_share} needs weights to start from: give init")
        self._began: dict[str, Tensor] = {}
        if config.start_share > 0:
            self._began = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        channels_last(self.model)
        self.train = _faces(train, labels, "the training faces", "the network" if init else "the data")
        self.valid = _faces(valid, labels, "the validation faces", "the training faces")
        self.teachers = Teachers(teachers)
        self.taught: list[dict[str, Any]] = []
        self._start, self.has_affect = start, False
        self._faces = torch.from_numpy(np.ascontiguousarray(self.train.faces))[:, None]
        self.targets = torch.from_numpy(np.ascontiguousarray(self.train.distributions))
        self.last_loss = torch.full((len(train),), torch.inf)  # of each face, when it was last seen
        self._seen = torch.zeros(len(train), dtype=torch.bool)  # by this process in this epoch

    def stages(self) -> list[Stage]:
        """One."""
        return [Stage("training", self.config.epochs)]

    def settings(self) -> dict[str, Any]:
        """See ``Task``."""
        return self.config.to_dict()

    def fingerprint(self) -> dict[str, Any]:
        """See ``Task``."""
        return {
            "training faces": of_data(self.train, self.train.distributions),
            "validation faces": of_data(self.valid),
            "starting weights": self._start,
            "teachers": self.teachers.hashes,
        }

    def epoch_seed(self, index: int, epoch: int) -> int:
        """There is one stage only."""
        return self.config.seed * 1_000_003 + epoch

    def prepare(self, device: torch.device) -> None:
        """Mix what the teachers see in the upright and the mirrored face into the targets."""
        if not self.teachers:
            return

        self.targets, self.taught = self.teachers.teach(
            self.targets, self.config.teacher_weight, self.train, inputs_of(self.model), self.train.labels, device
        )

    def optimizer(self, index: int) -> Optimizer:
        """Weights decay, biases and batch normalisation do not; the base learns at lr / branches."""
        config, groups = self.config, []
        for module, lr in (
            (self.model.base, config.lr / config.model.branches),
            (self.model.convolutional_branches, config.lr),
        ):
            parameters = [p for name, p in module.named_parameters() if "fc_dimensional" not in name]
            for decay in (True, False):
                chosen = [p for p in parameters if (p.ndim > 1) == decay]
                groups.append({"params": chosen, "lr": lr, "weight_decay": config.weight_decay * decay})
        return SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)

    def schedule(self, index: int, optimizer: Optimizer, clock: Clock) -> Schedule:
        """A warm-up and half a cosine, step by step."""
        return warm_cosine(optimizer, clock, self.config.warmup)

    def batches(self, index: int, epoch: int, processes: Processes) -> _Epoch:
        """Faces of this epoch, augmented."""
        generator = torch.Generator().manual_seed(self.epoch_seed(index, epoch))
        order, weights = self.choose(epoch, generator)
        order = torch.from_numpy(processes.share(order.numpy()))
        if processes.rank:
            generator.manual_seed(self.epoch_seed(index, epoch) + processes.rank)
        calm = epoch >= self.config.epochs - self.config.calm_epochs
        strength = self.config.augment.calmed() if calm else self.config.augment
        self._seen.zero_()
        return _Epoch(self, order, weights, strength, self.config.side(epoch), generator, processes.device)

    def choose(self, epoch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Indices of the faces of an epoch in random order, and the weight of each face of the dataset."""
        weights = torch.ones(len(self.train))
        kept = torch.ones(len(self.train), dtype=torch.bool)
        if epoch < self.config.epochs - self.config.unpruned_epochs and self.config.prune > 0:
            easy = self.last_loss < self.last_loss[self.last_loss.isfinite()].mean()
            kept = ~easy | (torch.rand(len(self.train), generator=generator) >= self.config.prune)
            weights[easy] = 1 / (1 - self.config.prune)
        chosen = kept.nonzero()[:, 0]
        return chosen[torch.randperm(len(chosen), generator=generator)], weights

    def batch(
        self, chosen: Tensor, weights: Tensor, strength: AugmentConfig, side: int, generator: torch.Generator,
        device: torch.device,
    ) -> Batch:  # fmt: skip
        """The faces with these indices, augmented and ``side`` pixels wide."""
        faces = augment(self._faces[chosen].to(device).float() / 255, strength, generator, side)
        return Batch(pixels_apart(faces), self.targets[chosen].to(device), weights[chosen].to(device), chosen)

    def loss(self, index: int, output: EsrOutput, batch: Batch) -> Tensor:
        """Cross-entropy with the distributions, summed over branches; notes what is left of each face's loss."""
        assert batch.weights is not None and batch.indices is not None
        losses = distribution_loss(output.logits.float(), batch.targets)
        # What is left of the loss when the network says exactly the target tells nothing about the network.
        least = self.config.model.branches * torch.special.entr(batch.targets).sum(1)
        self.last_loss[batch.indices] = (losses.detach() - least).cpu()
        self._seen[batch.indices] = True
        return (losses * batch.weights).mean()

    def end_epoch(self, processes: Processes) -> None:
        """Every process needs the losses of all faces, to leave out the same ones."""
        self.last_loss = processes.merge(self.last_loss, self._seen)

    def measure(self, index: int, model: nn.Module) -> Measured:
        """Accuracy of the ensemble's mean probability and mean accuracy of the branches, in percent."""
        assert isinstance(model, Esr)
        probabilities = predict(model, self.valid.faces).softmax(-1).numpy()
        hits = probabilities.mean(1).argmax(-1) == self.valid.classes
        branch_hits = probabilities.argmax(-1) == self.valid.classes[:, None]
        accuracy = 100 * float(hits.mean())
        return Measured(accuracy, {"valid_accuracy": accuracy, "branch_accuracy": 100 * float(branch_hits.mean())})

    def finish(self, model: nn.Module) -> None:
        """Go back towards the start, and teach the heads for valence and arousal, which classes taught nothing."""
        assert isinstance(model, Esr)
        if self.config.start_share > 0:
            for name, tensor in model.state_dict().items():
                if tensor.is_floating_point():
                    tensor.lerp_(self._began[name].to(tensor), self.config.start_share)
        self.has_affect = fit_affect(model, self.train)

    def state_dict(self) -> dict[str, Any]:
        """The targets too: an interrupted training does not need its teachers again."""
        return {"last_loss": self.last_loss, "targets": self.targets, "teachers": json.dumps(self.taught)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``Task``."""
        self.last_loss, self.targets = state["last_loss"].cpu(), state["targets"].cpu()
        self.taught = json.loads(state["teachers"])


class _Epoch:
    """The batches of an epoch; what is left over after the last whole one waits for another epoch."""

    def __init__(self, task: EsrJointTask, order: Tensor, *how: Any) -> None:
        self.task, self.order, self.how = task, order, how

    def __len__(self) -> int:
        return max(1, len(self.order) // self.task.config.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        size = self.task.config.batch_size
        return (self.task.batch(self.order[i * size : (i + 1) * size], *self.how) for i in range(len(self)))


def distribution_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy (N,) with label distributions, summed over branches.

    Args:
        logits: (N, branches, classes).
        targets: (N, classes), rows sum to 1.
    """
    return -(targets[:, None] * logits.log_softmax(-1)).sum((1, 2))


def _check_fit(config: EsrTrainingConfig, train: FaceSet, valid: FaceSet) -> None:
    for data, name in ((train, "training"), (valid, "validation")):
        if not len(data):
            raise EmotionError(f"there are no {name} faces: the dataset is empty")
    if config.model.num_classes != len(train.labels):
        raise EmotionError(f"the network has {config.model.num_classes} classes, the data {len(train.labels)}")
    for data in (train, valid):
        if config.model.in_channels != 1 or data.faces.shape[1:] != (config.model.input_size,) * 2:
            size = config.model.input_size
            found = "x".join(map(str, (data.faces.shape[3] if data.faces.ndim == 4 else 1, *data.faces.shape[1:3])))
            raise EmotionError(
                f"the joint training takes grey faces of the network's size: the network takes "
                f"{config.model.in_channels}x{size}x{size} faces, the data has {found}"
            )
    if len(train) < config.batch_size:
        raise EmotionError(f"batch_size {config.batch_size} is larger than the training set of {len(train)} faces")


def _faces(data: FaceSet, labels: Sequence[str], who: str, whose: str) -> FaceSet:
    faces = relabelled(data, labels, who, whose)
    assert isinstance(faces, FaceSet)
    return faces


def write_result(loop: Loop, name: str, command: str, half: bool = False) -> Path:
    """Write the network of a finished joint training as ``model.safetensors`` with its card; returns the path.

    Args:
        half: store the weights as float16.
    """
    task = loop.task
    assert isinstance(task, EsrJointTask)

    def measure(card: ModelCard) -> list[dict[str, Any]]:
        output = run_network(TorchNetwork(loop.model), task.valid, card.face)
        return card_results(evaluate_protocols(output, task.valid, task.valid.labels), card, "ferplus", "valid")

    about = {
        "data": f"FER+ Training, {len(task.train)} faces, label distributions",
        "data_licence": "FER2013: ICML 2013 challenge data; FER+ labels: MIT",
        "command": command,
    }
    path, _ = write_network(
        loop,
        name,
        task.train.labels,
        LICENCE,
        about,
        measure,
        half,
        task.init,
        task.taught,
        affect=AFFECT if task.has_affect else "",
        notes="Trained on 48x48 grey web photos of posed and spontaneous expressions. It says what raters would see in "
        "a face, not what a person feels; contempt, disgust and fear are rare in the data and recognised less often.",
    )
    return path
