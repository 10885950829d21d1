"""Joint training of all branches of an ESR on faces with label distributions.

All branches learn at once, from one pass through the shared base, which suits a small network and a label
distribution for every face. Results of every run lie in one folder: ``checkpoint.pt`` (to resume), ``history.csv``,
TensorBoard events, and at the end ``model.safetensors`` with ``model.json``.
"""

from __future__ import annotations

import csv
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emotion_core.data.dataset import FaceSet
from emotion_core.errors import EmotionError
from emotion_core.models.esr import Esr
from emotion_core.store.card import ModelCard
from emotion_core.store.files import atomic_write
from emotion_core.training.affect import fit_affect, predict
from emotion_core.training.augment import augment
from emotion_core.training.cpu import pixels_apart, reuse_freed_memory
from emotion_core.training.esr_joint_config import EsrTrainingConfig

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.csv"
LICENCE = "Apache-2.0; trained on FER2013 images, whose own terms apply"
COLUMNS = ("epoch", "lr", "train_loss", "valid_accuracy", "branch_accuracy", "seconds")


@dataclass
class EpochResult:
    """One row of history.csv; accuracies in percent, of the averaged weights on the validation split."""

    epoch: int
    lr: float
    train_loss: float
    valid_accuracy: float
    branch_accuracy: float
    seconds: float


class EsrTrainer:
    """Trains one ESR; ``run`` may be interrupted at any time and goes on from the last finished epoch.

    Args:
        config: see EsrTrainingConfig.
        train, valid: faces to learn from and to report on.
        out: folder for the results; made when missing.
        init: a ``model.safetensors`` of the same architecture to start from, in place of random weights.
        teachers: ``model.safetensors`` of any ESR with the same input, whose mean probabilities are mixed into the
            targets.

    Raises:
        EmotionError: the folder holds a checkpoint of another configuration or of other data.
    """

    def __init__(
        self,
        config: EsrTrainingConfig,
        train: FaceSet,
        valid: FaceSet,
        out: str | Path,
        init: str | Path | None = None,
        teachers: Sequence[str | Path] = (),
    ) -> None:
        if config.model.num_classes != len(train.labels):
            raise EmotionError(f"the network has {config.model.num_classes} classes, the data {len(train.labels)}")
        if config.model.in_channels != 1 or config.model.input_size != train.faces.shape[-1]:
            raise EmotionError(
                f"the network takes {config.model.in_channels}x{config.model.input_size}x{config.model.input_size} "
                f"faces, the data has 1x{train.faces.shape[1]}x{train.faces.shape[2]}"
            )
        if len(train) < config.batch_size:
            raise EmotionError(f"batch_size {config.batch_size} is larger than the training set of {len(train)} faces")
        self.config, self.train, self.valid, self.out = config, train, valid, Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        self.model = _channels_last(Esr(config.model))
        self.init: dict[str, Any] = {}
        if init is not None:
            self.init = self._start_from(Path(init))
        self.average = _channels_last(Esr(config.model)).eval()
        self.average.load_state_dict(self.model.state_dict())
        self.optimizer = torch.optim.SGD(
            _parameter_groups(self.model, config),
            lr=config.lr,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
        )
        self.history: list[EpochResult] = []
        self._faces = torch.from_numpy(train.faces)[:, None]
        self._targets = torch.from_numpy(train.distributions)
        self.teachers: list[dict[str, Any]] = []
        self._last_loss = torch.full((len(train),), torch.inf)  # of each face, when it was last seen
        self._steps = 0
        if not self._resume() and teachers:
            self.teachers = self._learn_from([Path(path) for path in teachers])

    def run(self, on_step: Callable[[float, float], None] | None = None) -> list[EpochResult]:
        """Train until ``config.epochs``; returns the history.

        Args:
            on_step: called with (epochs done, loss) after each step, for a progress bar.
        """
        from torch.utils.tensorboard import SummaryWriter

        reuse_freed_memory()
        with SummaryWriter(str(self.out / "tensorboard")) as board:
            for epoch in range(len(self.history), self.config.epochs):
                start = time.perf_counter()
                loss = self._train_epoch(epoch, on_step)
                accuracy, branch_accuracy = self._validate()
                lr = self.optimizer.param_groups[-1]["lr"]
                result = EpochResult(epoch + 1, lr, loss, accuracy, branch_accuracy, time.perf_counter() - start)
                self.history.append(result)
                self._save()
                for name in COLUMNS[1:]:
                    board.add_scalar(name, getattr(result, name), epoch + 1)
                log.info(
                    "epoch %d/%d: loss %.4f, valid %.2f %% (branches %.2f %%), %.0f s",
                    *(epoch + 1, self.config.epochs, loss, accuracy, branch_accuracy, result.seconds),
                )
        fit_affect(self.average, self.train)
        return self.history

    def _start_from(self, path: Path) -> dict[str, Any]:
        """Take over trained weights; returns how they were trained."""
        from emotion_core.export.weights import load_network

        network, card = load_network(path)
        try:
            self.model.load_state_dict(network.state_dict())
        except RuntimeError:
            raise EmotionError(f"{path} is a network of another architecture than the one to train") from None
        return card.training

    def _learn_from(self, paths: list[Path]) -> list[dict[str, Any]]:
        """Mix what the teachers see in the upright and the mirrored face into the targets; returns how they were
        trained."""
        from emotion_core.export.weights import load_network

        taught, views = [], torch.zeros_like(self._targets)
        for path in paths:
            network, card = load_network(path)
            if not isinstance(network, Esr) or card.labels != self.train.labels:
                raise EmotionError(f"{path} cannot be a teacher: it knows {', '.join(card.labels)}")
            for faces in (self.train.faces, self.train.faces[..., ::-1]):
                views += predict(network, faces).softmax(-1).mean(1)
            taught.append(card.training)
        self._targets = torch.lerp(self._targets, views / (2 * len(paths)), self.config.teacher_weight)
        return taught

    def _choose(self, epoch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Indices of the faces of an epoch in random order, and the weight of each face of the data set."""
        weights = torch.ones(len(self.train))
        kept = torch.ones(len(self.train), dtype=torch.bool)
        if epoch < self.config.epochs - self.config.unpruned_epochs and self.config.prune > 0:
            easy = self._last_loss < self._last_loss[self._last_loss.isfinite()].mean()
            kept = ~easy | (torch.rand(len(self.train), generator=generator) >= self.config.prune)
            weights[easy] = 1 / (1 - self.config.prune)
        chosen = kept.nonzero()[:, 0]
        return chosen[torch.randperm(len(chosen), generator=generator)], weights

    def _train_epoch(self, epoch: int, on_step: Callable[[float, float], None] | None) -> float:
        # Everything random is drawn anew from (seed, epoch), so that a resumed run repeats an undisturbed one.
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
        torch.manual_seed(self.config.seed * 1_000_003 + epoch)
        order, weights = self._choose(epoch, generator)
        calm = epoch >= self.config.epochs - self.config.calm_epochs
        strength = self.config.augment.calmed() if calm else self.config.augment
        self.model.train()
        total, batch, side = 0.0, self.config.batch_size, self.config.side(epoch)
        steps = max(1, len(order) // batch)
        for i in range(steps):
            chosen = order[i * batch : (i + 1) * batch]
            faces = augment(self._faces[chosen].float() / 255, strength, generator, side)
            targets = self._targets[chosen]
            losses = distribution_loss(self.model(pixels_apart(faces)).logits, targets)
            loss = (losses * weights[chosen]).mean()
            factor = self._lr_factor((epoch + i / steps) / self.config.epochs)
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak_lr"] * factor
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self._update_average()
            # What is left of the loss when the network says exactly the target tells nothing about the network.
            self._last_loss[chosen] = losses.detach() - self.config.model.branches * torch.special.entr(targets).sum(1)
            total += loss.item()
            if on_step is not None:
                on_step(epoch + (i + 1) / steps, loss.item())
        mean = total / steps
        if not np.isfinite(mean):
            raise EmotionError(f"the training loss is {mean} in epoch {epoch + 1}: use a smaller learning rate")
        return mean

    def _lr_factor(self, progress: float) -> float:
        """Share of the peak learning rate after this share of the training."""
        rise = self.config.warmup
        if progress < rise:
            return max(progress / rise, 1e-3)
        return 0.5 * (1 + float(np.cos(np.pi * (progress - rise) / (1 - rise))))

    @torch.no_grad()
    def _update_average(self) -> None:
        self._steps += 1
        decay = min(self.config.ema_decay, self._steps / (self._steps + 9))
        for mean, value in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def _validate(self) -> tuple[float, float]:
        """Accuracy of the ensemble's mean probability and mean accuracy of the branches, in percent."""
        probabilities = predict(self.average, self.valid.faces).softmax(-1).numpy()
        hits = probabilities.mean(1).argmax(-1) == self.valid.majority
        branch_hits = probabilities.argmax(-1) == self.valid.majority[:, None]
        return 100 * float(hits.mean()), 100 * float(branch_hits.mean())

    def _save(self) -> None:
        state = {
            "config": json.dumps(self.config.to_dict(), sort_keys=True),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "last_loss": self._last_loss,
            "steps": self._steps,
            "targets": self._targets,
            "teachers": json.dumps(self.teachers),
            "history": [asdict(row) for row in self.history],
        }
        with atomic_write(self.out / CHECKPOINT) as path:
            torch.save(state, path)
        with atomic_write(self.out / HISTORY) as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.history)

    def _resume(self) -> bool:
        """Go on where the checkpoint in the folder was written; False when there is none."""
        path = self.out / CHECKPOINT
        if not path.exists():
            return False
        try:
            state = torch.load(path, weights_only=True)
            targets, teachers = state["targets"], json.loads(state["teachers"])
            same = json.loads(state["config"]) == json.loads(json.dumps(self.config.to_dict()))
        except Exception as error:
            raise EmotionError(f"{path} is not a readable checkpoint ({error}): delete it to start over") from error
        if not same:
            raise EmotionError(f"{path} belongs to another configuration: use another --out, or delete it")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._last_loss, self._steps = state["last_loss"], state["steps"]
        self._targets, self.teachers = targets, teachers
        self.history = [EpochResult(**row) for row in state["history"]]
        log.info("resuming after epoch %d from %s", len(self.history), path)
        return True


def _channels_last(model: Esr) -> Esr:
    """The same network with the memory layout that convolutions are fastest in on a CPU."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def distribution_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy (N,) with label distributions, summed over branches.

    Args:
        logits: (N, branches, classes).
        targets: (N, classes), rows sum to 1.
    """
    return -(targets[:, None] * logits.log_softmax(-1)).sum((1, 2))


def _parameter_groups(model: Esr, config: EsrTrainingConfig) -> list[dict[str, Any]]:
    """Weights decay, biases and batch normalisation do not; the base learns at lr / branches."""
    groups = []
    for module, lr in (
        (model.base, config.lr / config.model.branches),
        (model.convolutional_branches, config.lr),
    ):
        parameters = [p for name, p in module.named_parameters() if "fc_dimensional" not in name]
        for decay in (True, False):
            chosen = [p for p in parameters if (p.ndim > 1) == decay]
            groups.append({"params": chosen, "peak_lr": lr, "weight_decay": config.weight_decay * decay})
    return groups


def write_result(trainer: EsrTrainer, name: str, command: str, half: bool = False) -> Path:
    """Write the averaged network as ``model.safetensors`` with its card, ``half`` in float16; returns the path."""
    from emotion_core.export.weights import architecture_of, save_network

    config, last = trainer.config, trainer.history[-1]
    card = ModelCard(
        name=name,
        architecture=architecture_of(trainer.average),
        input_size=config.model.input_size,
        channels=config.model.in_channels,
        labels=trainer.train.labels,
        licence=LICENCE,
        affect="derived from the emotion votes (Russell and Mehrabian 1977), not annotated",
        training={
            "data": f"FER+ Training, {len(trainer.train)} faces, label distributions",
            "data_licence": "FER2013: ICML 2013 challenge data; FER+ labels: MIT",
            "command": command,
            **{key: value for key, value in config.to_dict().items() if key != "model"},
            **({"init": trainer.init} if trainer.init else {}),
            **({"teachers": trainer.teachers} if trainer.teachers else {}),
        },
        results=(
            {
                "dataset": "FER+",
                "split": "PublicTest",
                "protocol": "8-class majority, mean of the branches, no test-time augmentation",
                "n": len(trainer.valid),
                "accuracy": round(last.valid_accuracy, 2),
                "branch_accuracy": round(last.branch_accuracy, 2),
            },
        ),
        notes="Trained on 48x48 grey web photos of posed and spontaneous expressions. It says what raters would see in "
        "a face, not what a person feels; contempt, disgust and fear are rare in the data and recognised less often.",
    )
    path = trainer.out / "model.safetensors"
    save_network(trainer.average, card, path, half)
    return path
