"""Training an ESR branch by branch, as its authors do.

One branch learns first together with the base. Then branches are added one at a time: the new one learns fast, the
base and the older branches slowly. Every branch sees a fresh, balanced subset of the data, and after each branch the
best ensemble of that size is restored. At the end the heads for valence and arousal are tuned, everything else frozen.

    Siqueira, Magg, Wermter: Efficient Facial Feature Learning with Wide Ensemble-Based Convolutional Neural
    Networks. AAAI 2020. https://arxiv.org/abs/2001.06338

Results lie in one folder: ``checkpoint.pt`` (to resume), ``history.csv``, ``history.png``, TensorBoard events. With
``torchrun`` every process takes its share of each epoch, and the first one writes.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from emotion_core.data.dataset import FaceDataset
from emotion_core.data.subset import Subset, balanced_indices
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import evaluate_affect, evaluate_categories, run_network
from emotion_core.export.torch_network import TorchNetwork
from emotion_core.export.weights import save_tensors
from emotion_core.models.attention import Attention
from emotion_core.models.esr import Esr
from emotion_core.training.augment import augment
from emotion_core.training.distributed import Processes
from emotion_core.training.diversity import diversity_loss
from emotion_core.training.esr_branchwise_config import CATEGORICAL, DIMENSIONAL, BranchwiseConfig, Stage
from emotion_core.training.history import EpochRow, History
from emotion_core.vision.crop import resize_faces

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
Progress = Callable[["Stage", int, float, float], None]
"""Called after each step with the stage, its epoch (from 1), the share of the whole training done, and the loss."""


@dataclass
class _Best:
    """The best ensemble of a stage so far."""

    score: float = -np.inf
    state: dict[str, Tensor] | None = None


class BranchwiseTrainer:
    """Trains one ESR; ``run`` may be interrupted at any time and goes on from the last finished epoch.

    Args:
        config: see BranchwiseConfig.
        out: folder for the results; made when missing.
        train, valid: faces with classes, for the branches.
        affect_train, affect_valid: faces with valence and arousal, for the tuning.
        model: a network to start from, needed when only the tuning is asked for.
        device: 'cpu', 'cuda' or 'cuda:1'.

    Raises:
        EmotionError: data for a stage is missing or does not fit, or the folder holds the checkpoint of another run.
    """

    def __init__(
        self,
        config: BranchwiseConfig,
        out: str | Path,
        train: FaceDataset | None = None,
        valid: FaceDataset | None = None,
        affect_train: FaceDataset | None = None,
        affect_valid: FaceDataset | None = None,
        model: Esr | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.config, self.out = config, Path(out)
        self.processes = Processes(device)
        self.data = {CATEGORICAL: (train, valid), DIMENSIONAL: (affect_train, affect_valid)}
        self.stages = config.stages()
        self._check_data()
        if not config.categorical and model is None:
            raise EmotionError("tuning valence and arousal needs a trained network: load one first")
        self.out.mkdir(parents=True, exist_ok=True)
        if model is None:
            torch.manual_seed(config.seed)
            model = Esr(replace(config.model, branches=1))
        self.model = model.to(self.processes.device)
        self.history = History()
        self._stage, self._epoch, self._best = 0, 0, _Best()
        self._optimizer_state: dict[str, Any] | None = None
        self._resume()

    def run(self, on_step: Progress | None = None) -> History:
        """Train all stages; returns the history. The network is then ``model``, in eval mode."""
        with self._board() as board:
            for index in range(self._stage, len(self.stages)):
                self._run_stage(index, on_step, board)
                self._stage, self._epoch, self._best, self._optimizer_state = index + 1, 0, _Best(), None
                self._save()
        self.model.eval()
        if self.processes.first:
            self.history.plot(self.out / "history.png")
        return self.history

    def _board(self) -> AbstractContextManager[Any]:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.out / "tensorboard")) if self.processes.first else nullcontext()

    def _run_stage(self, index: int, on_step: Progress | None, board: Any) -> None:
        stage = self.stages[index]
        if stage.kind == CATEGORICAL and len(self.model.branches()) < stage.branches:
            torch.manual_seed(self.config.seed * 1_000_003 + index)
            self.model.add_branch()
        optimizer = self._optimizer(stage)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, self.config.step_epochs, self.config.step_factor)
        if self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state["optimizer"])
            scheduler.load_state_dict(self._optimizer_state["scheduler"])
        subset = self._subset(stage, index)
        for epoch in range(self._epoch, stage.epochs):
            start = time.perf_counter()
            row = EpochRow(stage.kind, stage.branches, epoch + 1, optimizer.param_groups[0]["lr"])
            row.train_loss = self._train_epoch(index, epoch, subset, optimizer, on_step)
            scheduler.step()
            if (epoch + 1) % self.config.validation_interval == 0 or epoch + 1 == stage.epochs:
                self._validate(stage, row)
            row.seconds = time.perf_counter() - start
            self.history.append(row)
            self._epoch = epoch + 1
            self._optimizer_state = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
            self._save()
            if self.processes.first:
                self.history.log_last(board)
                log.info("%s", row)
        if self._best.state is not None:
            self.model.load_state_dict(self._best.state)

    def _train_epoch(
        self,
        index: int,
        epoch: int,
        subset: FaceDataset,
        optimizer: torch.optim.Optimizer,
        on_step: Progress | None,
    ) -> float:
        # Everything random is drawn anew from (seed, stage, epoch), so that a resumed run repeats an undisturbed one.
        stage = self.stages[index]
        seed = (self.config.seed * 10_007 + index) * 10_007 + epoch
        generator = torch.Generator().manual_seed(seed + self.processes.rank)
        torch.manual_seed(seed + self.processes.rank)
        order = np.random.default_rng(seed).permutation(len(subset))
        batches = self._batches(subset, self.processes.share(order), stage)
        network = self.processes.parallel(_Trained(self.model))
        self._set_mode(stage)
        total, done = 0.0, sum(s.epochs for s in self.stages[:index]) + epoch
        for i, (raw, targets) in enumerate(batches):
            faces = augment(raw.to(self.processes.device), self.config.augment, generator)
            targets = targets.to(self.processes.device)
            with self._autocast():
                logits, affect, attentions = network(faces)
            loss = self._loss(stage, logits.float(), affect.float(), attentions, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
            if on_step is not None and self.processes.first:
                share = (done + (i + 1) / len(batches)) / sum(s.epochs for s in self.stages)
                on_step(stage, epoch + 1, share, loss.item())
        mean = self.processes.mean(total / len(batches))
        if not np.isfinite(mean):
            raise EmotionError(f"the training loss is {mean} in epoch {epoch + 1}: use a smaller lr")
        return mean

    def _loss(
        self, stage: Stage, logits: Tensor, affect: Tensor, attentions: list[tuple[Tensor, Tensor]], targets: Tensor
    ) -> Tensor:
        """Summed over branches, averaged over the batch."""
        if stage.kind == DIMENSIONAL:
            squared = (affect - targets[:, None]).square()  # (N, branches, 2)
            return torch.sqrt(squared.mean(0) + 1e-12).sum()
        each = nn.functional.cross_entropy(logits.flatten(0, 1), targets.repeat_interleave(logits.shape[1]))
        loss = each * logits.shape[1]
        if attentions and stage.branches > 1:
            loss = loss + diversity_loss([Attention(*pair) for pair in attentions])
        return loss

    def _autocast(self) -> AbstractContextManager[Any]:
        if not self.config.bfloat16:
            return nullcontext()
        return torch.autocast(self.processes.device.type, torch.bfloat16)

    def _set_mode(self, stage: Stage) -> None:
        """Batch statistics move exactly in the parts whose weights learn."""
        if stage.kind == DIMENSIONAL:
            self.model.eval()
            return
        self.model.train()
        if stage.branches > 1 and self.config.older_lr == 0:
            for part in (self.model.base, *self.model.branches()[:-1]):
                part.eval()

    def _optimizer(self, stage: Stage) -> torch.optim.Optimizer:
        """The newest branch first, then what learned before it."""
        *older, newest = self.model.branches()
        for parameter in self.model.parameters():
            parameter.requires_grad = False
        if stage.kind == DIMENSIONAL:
            groups = [_group([branch.fc_dimensional for branch in self.model.branches()], self.config.tuning_lr)]
        elif stage.branches == 1:
            groups = [_group([newest, self.model.base], self.config.lr)]
        else:
            groups = [_group([newest], self.config.lr)]
            if self.config.older_lr > 0:
                groups.append(_group([self.model.base, *older], self.config.lr * self.config.older_lr))
        return torch.optim.SGD(groups, momentum=self.config.momentum)

    def _subset(self, stage: Stage, index: int) -> FaceDataset:
        data = self.data[stage.kind][0]
        assert data is not None
        rng = np.random.default_rng([self.config.seed, index])
        return Subset(data, balanced_indices(np.asarray(data.targets), self.config.per_class, rng))

    def _batches(self, subset: FaceDataset, order: Any, stage: Stage) -> DataLoader:
        faces = _NetworkInput(subset, self.config.model.input_size, self.config.model.in_channels)
        batches = [order[i : i + self.config.batch_size].tolist() for i in range(0, len(order), self.config.batch_size)]
        return DataLoader(faces, batch_sampler=batches, num_workers=self.config.workers)

    def _validate(self, stage: Stage, row: EpochRow) -> None:
        """Measure the ensemble in the first process, and keep it when it is the best of its size."""
        score = 0.0
        if self.processes.first:
            data, size = self.data[stage.kind][1], self.config.model
            assert data is not None
            output = run_network(TorchNetwork(self.model), data, size.input_size, size.in_channels)
            if stage.kind == CATEGORICAL:
                result = evaluate_categories(output, data, data.labels, "vote")
                row.valid_accuracy, row.branch_accuracy = result.ensemble.accuracy, result.branch_accuracy
                score = result.ensemble.accuracy
            else:
                affect = evaluate_affect(output, data)
                row.rmse_valence, row.rmse_arousal = affect.valence.rmse, affect.arousal.rmse
                score = -affect.valence.rmse - affect.arousal.rmse
        if self.processes.same(score) > self._best.score:
            state = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            self._best = _Best(self.processes.same(score), state)

    def _save(self) -> None:
        if not self.processes.first:
            return
        state = {
            "config": _json(self.config),
            "stage": self._stage,
            "epoch": self._epoch,
            "branches": len(self.model.branches()),
            "model": self.model.state_dict(),
            "training": self._optimizer_state,
            "best": {"score": self._best.score, "state": self._best.state},
            "history": self.history.to_list(),
        }
        save_tensors(state, self.out / CHECKPOINT)
        self.history.write_csv(self.out / "history.csv")

    def _resume(self) -> None:
        path = self.out / CHECKPOINT
        if not path.exists():
            return
        try:
            state = torch.load(path, weights_only=True, map_location=self.processes.device)
            same = state["config"] == _json(self.config)
        except Exception as error:
            reason = str(error).splitlines()[0][:160]
            raise EmotionError(f"{path} is not a readable checkpoint ({reason}): delete it to start over") from error
        if not same:
            raise EmotionError(f"{path} belongs to another configuration: use another folder, or delete it")
        while len(self.model.branches()) < state["branches"]:
            self.model.add_branch()
        self.model.load_state_dict(state["model"])
        self._stage, self._epoch, self._optimizer_state = state["stage"], state["epoch"], state["training"]
        self._best = _Best(**state["best"])
        self.history = History.from_list(state["history"])
        log.info("resuming after %d epochs from %s", len(self.history), path)

    def _check_data(self) -> None:
        for stage in self.stages:
            train, valid = self.data[stage.kind]
            if train is not None and len(train) < self.processes.count:
                raise EmotionError(f"{len(train)} faces cannot be shared among {self.processes.count} processes")
            if train is None or valid is None or not len(train) or not len(valid):
                raise EmotionError(f"{stage.kind} training needs faces to learn from and to validate on, got none")
            if stage.kind != CATEGORICAL:
                continue
            if len(train.labels) != self.config.model.num_classes:
                raise EmotionError(
                    f"the network has {self.config.model.num_classes} classes, the data {len(train.labels)}"
                )
            missing = sorted(set(range(len(train.labels))) - set(np.unique(train.targets).tolist()))
            if missing:
                names = ", ".join(train.labels[i] for i in missing)
                raise EmotionError(f"the training data has no face of {names}: every class needs at least one")


class _Trained(nn.Module):
    """What is trained in one piece: tensors in, tensors out."""

    def __init__(self, model: Esr) -> None:
        super().__init__()
        self.model = model

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """(N, C, S, S) -> logits (N, branches, classes), affect (N, branches, 2), each branch's attention."""
        output, attentions = self.model.attend(faces)
        return output.logits, output.affect, [(a.channel, a.spatial) for a in attentions]


class _NetworkInput(Dataset):
    """The faces of a dataset at the size and in the colours of a network."""

    def __init__(self, data: FaceDataset, size: int, channels: int) -> None:
        self.data, self.size, self.channels = data, size, channels

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        face = torch.from_numpy(resize_faces(self.data.face(index)[None], self.size, self.channels)[0])
        return face, self.data.targets[index]

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        return (self[i] for i in range(len(self)))


def _group(modules: list[nn.Module], lr: float) -> dict[str, Any]:
    """Make modules learn at this rate; classes teach nothing about the heads for valence and arousal."""
    tuned = all(isinstance(module, nn.Linear) for module in modules)
    named = [item for module in modules for item in module.named_parameters()]
    parameters = [p for name, p in named if tuned or not name.startswith("fc_dimensional")]
    for parameter in parameters:
        parameter.requires_grad = True
    return {"params": parameters, "lr": lr}


def _json(config: BranchwiseConfig) -> str:
    return json.dumps(asdict(config), sort_keys=True)
