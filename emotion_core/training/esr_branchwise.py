"""Training an ESR branch by branch, as its authors do.

One branch learns first together with the base. Then branches are added one at a time: the new one learns fast, the
base and the older branches slowly. Every branch sees a fresh, balanced subset of the data, and after each branch the
best ensemble of that size is restored. At the end the heads for valence and arousal are tuned, everything else frozen.

    Siqueira, Magg, Wermter: Efficient Facial Feature Learning with Wide Ensemble-Based Convolutional Neural
    Networks. AAAI 2020. https://arxiv.org/abs/2001.06338
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader

from emotion_core.data.dataset import FaceDataset
from emotion_core.data.relabel import relabelled
from emotion_core.data.subset import Subset, balanced_indices
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import evaluate_affect, evaluate_categories, run_network
from emotion_core.export.torch_network import TorchNetwork
from emotion_core.models.attention import Attention
from emotion_core.models.esr import Esr
from emotion_core.models.registry import inputs_of
from emotion_core.training.augment import augment
from emotion_core.training.distributed import Processes
from emotion_core.training.diversity import diversity_loss
from emotion_core.training.esr_branchwise_config import CATEGORICAL, DIMENSIONAL, BranchwiseConfig, EsrStage
from emotion_core.training.fingerprint import of_data, of_weights
from emotion_core.training.network_input import NetworkInput
from emotion_core.training.task import Batch, Clock, Measured, Schedule, Stage, Task


class EsrBranchwiseTask(Task):
    """One branch after another.

    Args:
        config: see BranchwiseConfig.
        train, valid: faces with classes, for the branches. When the validation faces have the same labels in another
            order, they are put into that of the training faces.
        affect_train, affect_valid: faces with valence and arousal, for the tuning.
        start: a network to start from, which stays as it is: each stage takes over the base and the branches that are
            there, further branches are drawn. The tuning alone needs one.

    Raises:
        EmotionError: data for a stage is missing or does not fit, or the start is of another architecture.
    """

    name = "esr_branchwise"
    columns = (
        "stage", "branches", "epoch", "lr", "train_loss", "valid_accuracy", "branch_accuracy", "rmse_valence",
        "rmse_arousal", "seconds",
    )  # fmt: skip

    def __init__(
        self,
        config: BranchwiseConfig,
        train: FaceDataset | None = None,
        valid: FaceDataset | None = None,
        affect_train: FaceDataset | None = None,
        affect_valid: FaceDataset | None = None,
        start: Esr | None = None,
    ) -> None:
        if not config.categorical and start is None:
            raise EmotionError("tuning valence and arousal needs a trained network: load one first")
        if start is not None and replace(start.config, branches=config.model.branches) != config.model:
            raise EmotionError(
                "the network to start from is of another architecture than the one to train: take its configuration"
            )
        self.config: BranchwiseConfig = config
        if train is not None and valid is not None and len(train) and len(valid):
            valid = relabelled(valid, train.labels, "the validation faces", "the training faces")
        self.data = {CATEGORICAL: (train, valid), DIMENSIONAL: (affect_train, affect_valid)}
        self._check_data()
        self._start = copy.deepcopy(start)
        self.model: Esr = self._first_model()

    def stages(self) -> list[EsrStage]:
        """See ``BranchwiseConfig.stages``."""
        return self.config.stages()

    def settings(self) -> dict[str, Any]:
        """See ``Task``."""
        return self.config.to_dict()

    def fingerprint(self) -> dict[str, Any]:
        """See ``Task``."""
        found: dict[str, Any] = {}
        for kind, name in ((CATEGORICAL, "faces"), (DIMENSIONAL, "faces with valence and arousal")):
            if any(stage.kind == kind for stage in self.stages()):
                train, valid = self.data[kind]
                found |= {f"training {name}": of_data(train), f"validation {name}": of_data(valid)}
        start = self._start
        found["starting weights"] = "random" if start is None else of_weights(start.state_dict())
        return found

    def begin_stage(self, index: int) -> None:
        """Add the stage's branch."""
        stage = self.stages()[index]
        if stage.kind == CATEGORICAL and len(self.model.branches()) < stage.branches:
            torch.manual_seed(self.config.seed * 1_000_003 + index)
            branch = self.model.add_branch()
            if self._start is not None and stage.branches <= len(self._start.branches()):
                branch.load_state_dict(self._start.branches()[stage.branches - 1].state_dict())

    def network(self, index: int) -> nn.Module:
        """The ensemble with tensors as its output."""
        return _Trained(self.model)

    def train_mode(self, index: int) -> None:
        """Batch statistics move exactly in the parts whose weights learn."""
        stage = self.stages()[index]
        if stage.kind == DIMENSIONAL:
            self.model.eval()
            return
        self.model.train()
        if stage.branches > 1 and self.config.older_lr == 0:
            for part in (self.model.base, *self.model.branches()[:-1]):
                part.eval()

    def optimizer(self, index: int) -> Optimizer:
        """The newest branch first, then what learned before it."""
        stage, config = self.stages()[index], self.config
        *older, newest = self.model.branches()
        if stage.kind == DIMENSIONAL:
            groups = [_group([branch.fc_dimensional for branch in self.model.branches()], config.tuning_lr)]
        elif stage.branches == 1:
            groups = [_group([newest, self.model.base], config.lr)]
        else:
            groups = [_group([newest], config.lr)]
            if config.older_lr > 0:
                groups.append(_group([self.model.base, *older], config.lr * config.older_lr))
        return SGD(groups, momentum=config.momentum)

    def schedule(self, index: int, optimizer: Optimizer, clock: Clock) -> Schedule:
        """Steps, anew for each branch."""
        return Schedule(StepLR(optimizer, self.config.step_epochs, self.config.step_factor))

    def batches(self, index: int, epoch: int, processes: Processes) -> _Epoch:
        """The faces of the stage's subset in a fresh order, augmented."""
        seed = self.epoch_seed(index, epoch)
        subset = self.subset(index)
        order = processes.share(np.random.default_rng(seed).permutation(len(subset)))
        if not len(order):
            raise EmotionError(f"{len(subset)} faces cannot be shared among {processes.count} processes")
        size = self.config.batch_size
        indices = [order[i : i + size].tolist() for i in range(0, len(order), size)]
        faces = NetworkInput(subset, inputs_of(self.model)[0])
        generator = torch.Generator().manual_seed(seed + processes.rank)
        loader = DataLoader(faces, batch_sampler=indices, num_workers=self.config.workers)
        return _Epoch(loader, self.config, generator, processes.device)

    def subset(self, index: int) -> FaceDataset:
        """The stage's faces: as many of each class, drawn anew for each branch."""
        data = self.data[self.stages()[index].kind][0]
        assert data is not None
        rng = np.random.default_rng([self.config.seed, index])
        return Subset(data, balanced_indices(np.asarray(data.targets), self.config.per_class, rng))

    def loss(self, index: int, output: Any, batch: Batch) -> Tensor:
        """Summed over branches, averaged over the batch."""
        stage, (logits, affect, attentions) = self.stages()[index], output
        if stage.kind == DIMENSIONAL:
            squared = (affect.float() - batch.targets[:, None]).square()  # (N, branches, 2)
            return torch.sqrt(squared.mean(0) + 1e-12).sum()
        targets = batch.targets.repeat_interleave(logits.shape[1])
        loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), targets) * logits.shape[1]
        if attentions and stage.branches > 1:
            loss = loss + diversity_loss([Attention(*pair) for pair in attentions])
        return loss

    def measure(self, index: int, model: nn.Module) -> Measured:
        """Accuracy of the branches' vote and of each branch, in percent; errors of valence and arousal."""
        kind = self.stages()[index].kind
        data = self.data[kind][1]
        assert data is not None
        output = run_network(TorchNetwork(model), data, inputs_of(model)[0])
        if kind == CATEGORICAL:
            result = evaluate_categories(output, data, data.labels, "vote")
            accuracy = result.ensemble.accuracy
            return Measured(accuracy, {"valid_accuracy": accuracy, "branch_accuracy": tuple(result.branch_accuracy)})
        affect = evaluate_affect(output, data)
        valence, arousal = affect.valence.rmse, affect.arousal.rmse
        return Measured(-valence - arousal, {"rmse_valence": valence, "rmse_arousal": arousal})

    def describe(self, stage: Stage) -> dict[str, Any]:
        """What is trained, and the size of the ensemble."""
        assert isinstance(stage, EsrStage)
        return {"stage": stage.kind, "branches": stage.branches, "branch_accuracy": ()}

    def state_dict(self) -> dict[str, Any]:
        """The size of the ensemble so far."""
        return {"branches": len(self.model.branches())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Give the network its size; the weights come after."""
        while len(self.model.branches()) < state["branches"]:
            self.model.add_branch()

    def _first_model(self) -> Esr:
        """What the first stage trains: everything of the start for the tuning alone, else one branch."""
        if not self.config.categorical:
            assert self._start is not None
            return copy.deepcopy(self._start)
        torch.manual_seed(self.config.seed)
        model = Esr(replace(self.config.model, branches=1))
        if self._start is not None:
            model.base.load_state_dict(self._start.base.state_dict())
            model.branches()[0].load_state_dict(self._start.branches()[0].state_dict())
        return model

    def _check_data(self) -> None:
        for stage in self.stages():
            train, valid = self.data[stage.kind]
            for data, what in ((train, "to learn from"), (valid, "to validate on")):
                if data is None:
                    raise EmotionError(f"{stage.kind} training needs faces {what}, got none")
                if not len(data):
                    raise EmotionError(f"{stage.kind} training needs faces {what}: the dataset is empty")
            if stage.kind != CATEGORICAL:
                continue
            assert train is not None
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


class _Epoch:
    """The batches of an epoch, augmented where they are computed with."""

    def __init__(
        self, loader: DataLoader, config: BranchwiseConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        self.loader, self.config, self.generator, self.device = loader, config, generator, device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        for faces, targets in self.loader:
            changed = augment(faces.to(self.device), self.config.augment, self.generator)
            yield Batch(changed, targets.to(self.device))


def _group(modules: list[nn.Module], lr: float) -> dict[str, Any]:
    """These modules learn at this rate; classes teach nothing about the heads for valence and arousal."""
    tuned = all(isinstance(module, nn.Linear) for module in modules)
    named = [item for module in modules for item in module.named_parameters()]
    return {"params": [p for name, p in named if tuned or not name.startswith("fc_dimensional")], "lr": lr}
