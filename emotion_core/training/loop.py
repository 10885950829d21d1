"""The one training loop: stages, epochs, batches; checkpoints, averages, mixed precision, several processes.

What is trained is a ``Task``; the loop knows no method. Results lie in one folder: ``checkpoint.pt`` (to go on from),
``history.csv``, ``history.png``, TensorBoard events. A training may be stopped at any time: made again with the same
folder it goes on from the last finished epoch, and ends with the same weights as an undisturbed one. With ``torchrun``
every process takes its share of each epoch, and the first one writes.
"""

from __future__ import annotations

import json
import logging
import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from emotion_core.errors import EmotionError
from emotion_core.store.files import prepare_folder, user_path
from emotion_core.training import checkpoint
from emotion_core.training.average import Average
from emotion_core.training.cpu import reuse_freed_memory
from emotion_core.training.distributed import Processes
from emotion_core.training.events import AlreadyFinished, EpochDone, Event, OnEvent, Resumed, StepDone
from emotion_core.training.history import History, in_words
from emotion_core.training.task import Batch, Clock, Measured, Schedule, Task

log = logging.getLogger(__name__)

CHECKPOINT = checkpoint.CHECKPOINT
FLOAT16_DEVICES = ("cuda",)
"""Where computing in float16 is fast; elsewhere bfloat16 is."""
_AMP = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Loop:
    """Trains one task in one folder.

    Args:
        task: what is trained.
        out: folder for the results; made when missing.
        device: 'cpu', 'cuda' or 'cuda:1'; with torchrun and 'cuda' each process takes the GPU of its local rank.

    Attributes:
        history: one row an epoch.
        finished: whether there is nothing left to train.

    Raises:
        EmotionError: the folder cannot be written, or holds the checkpoint of another training.
    """

    def __init__(self, task: Task, out: str | Path, device: str | torch.device = "cpu") -> None:
        self.task, self.config = task, task.config
        self.processes = Processes(device)
        self.device = self.processes.device
        if self.config.amp == "float16" and self.device.type not in FLOAT16_DEVICES:
            raise EmotionError("amp 'float16' needs device 'cuda': use 'bfloat16' or 'none' on a CPU")
        self.out = prepare_folder(out) if self.processes.first else user_path(out)
        self.stages = list(task.stages())
        self.history = History(task.columns)
        self.task.model.to(self.device)
        self.average: Average | None = None
        self._stage, self._epoch, self._stale = 0, 0, 0
        self._best_score = -math.inf
        self._best_state: dict[str, Tensor] | None = None
        self._stepping: dict[str, Any] | None = None  # optimizer, scheduler and scaler of the stage in progress
        # As the checkpoint will hold it: tuples are lists in JSON. The size of a batch is that of each process.
        decided = {"task": task.name, "settings": task.settings(), **task.fingerprint()}
        self._fingerprint = json.loads(json.dumps({**decided, "processes": self.processes.count}))
        if not self._resume():
            task.prepare(self.device)

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return self._stage == len(self.stages)

    @property
    def model(self) -> nn.Module:
        """The network to keep: the average where there is one."""
        return self.task.model if self.average is None else self.average.model

    def run(self, on_event: OnEvent | None = None) -> History:
        """Train what is left; returns the history. The network is then ``model``, in eval mode.

        Args:
            on_event: called with each event in the first process, see ``emotion_core.training.events``.

        Raises:
            EmotionError: the loss is no longer a finite number, or the disk is full.
        """
        tell = on_event if on_event is not None and self.processes.first else lambda event: None
        reuse_freed_memory()
        self._tell_beginning(tell)
        drawn = self.finished and (self.out / "history.png").exists()
        if not self.finished:
            with self._board() as board:
                for index in range(self._stage, len(self.stages)):
                    self._run_stage(index, tell, board)
                    self._stage, self._epoch, self._stale, self._stepping = index + 1, 0, 0, None
                    self._best_score, self._best_state = -math.inf, None
                    self._save()
        self.model.eval()
        self.task.finish(self.model)
        if self.processes.first and not drawn:
            self.history.plot(self.out / "history.png")
        return self.history

    def _tell_beginning(self, tell: OnEvent) -> None:
        if not self.history or not self.processes.first:
            return
        event: Event
        if self.finished:
            event = AlreadyFinished(self.out, len(self.history))
            log.warning("%s", event)
        else:
            event = Resumed(self.out, len(self.history))
            log.info("resuming after epoch %d from %s", len(self.history), self.out / CHECKPOINT)
        tell(event)

    def _board(self) -> AbstractContextManager[Any]:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.out / "tensorboard")) if self.processes.first else nullcontext()

    def _run_stage(self, index: int, tell: OnEvent, board: Any) -> None:
        stage = self.stages[index]
        self.task.begin_stage(index)
        if self.config.ema_decay > 0 and (self.average is None or self._epoch == 0):
            self.average = Average(self.task.model, self.config.ema_decay)
        stepper = _Stepper(self.task, index, self.processes, Clock(self._epoch / stage.epochs), self._stepping)
        for epoch in range(self._epoch, stage.epochs):
            if self.config.patience and self._stale >= self.config.patience:
                break
            start = time.perf_counter()
            loss = self._train_epoch(index, epoch, stepper, tell)
            measured = None
            if (epoch + 1) % self.config.validation_interval == 0 or epoch + 1 == stage.epochs:
                measured = self._validate(index)
            stepper.end_epoch(measured)
            row = self.history.add(
                {
                    **self.task.describe(stage),
                    "epoch": epoch + 1,
                    "lr": stepper.lr,
                    "train_loss": loss,
                    **(measured.columns if measured else {}),
                    "seconds": time.perf_counter() - start,
                }
            )
            self._epoch, self._stepping = epoch + 1, stepper.state_dict()
            self._save()
            if self.processes.first:
                self.history.log_last(board)
                log.info("%s", in_words(row, stage.epochs))
            tell(EpochDone(row))
        self._end_stage()

    def _end_stage(self) -> None:
        """The best weights, where they are asked for, and the same ones in all processes."""
        if self._best_state is not None:
            self.task.model.load_state_dict(self._best_state)
            self.average = None if self.average is None else Average(self.task.model, self.config.ema_decay)
        self.processes.align(self.task.model)
        if self.average is not None:
            self.processes.align(self.average.model)

    def _train_epoch(self, index: int, epoch: int, stepper: _Stepper, tell: OnEvent) -> float:
        stage = self.stages[index]
        torch.manual_seed(self.task.epoch_seed(index, epoch) + self.processes.rank)
        self.task.train_mode(index)
        batches = self.task.batches(index, epoch, self.processes)
        before, epochs = sum(s.epochs for s in self.stages[:index]) + epoch, sum(s.epochs for s in self.stages)
        total, count = 0.0, len(batches)
        for i, batch in enumerate(batches):
            loss = stepper.step(batch, (epoch + (i + 1) / count) / stage.epochs)
            if self.average is not None:
                self.average.follow(self.task.model)
            total += loss
            tell(StepDone(stage, epoch + 1, (before + (i + 1) / count) / epochs, loss))
        self.task.end_epoch(self.processes)
        mean = self.processes.mean(total / count)
        if not math.isfinite(mean):
            raise EmotionError(f"the training loss is {mean} in epoch {epoch + 1}: use a smaller lr")
        return mean

    def _validate(self, index: int) -> Measured:
        """Measure in the first process, and keep the weights when they are the best of the stage."""
        measured = Measured(0.0)
        if self.processes.first:
            measured = self.task.measure(index, self.model)
        measured = Measured(self.processes.same(measured.score), measured.columns)
        self._stale += 1
        if measured.score > self._best_score:
            self._best_score, self._stale = measured.score, 0
            if self.config.keep_best:
                self._best_state = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        return measured

    def _save(self) -> None:
        if not self.processes.first:
            return
        average = self.average
        state = {
            "stage": self._stage,
            "epoch": self._epoch,
            "model": self.task.model.state_dict(),
            "average": None if average is None else average.model.state_dict(),
            **(self._stepping or {"optimizer": None, "scheduler": None, "scaler": None}),
            "best": {"score": self._best_score, "state": self._best_state},
            "stale": self._stale,
            "steps": 0 if average is None else average.steps,
            "task": self.task.state_dict(),
            "history": self.history.to_list(),
        }
        checkpoint.save(state, self._fingerprint, self.out / CHECKPOINT)
        self.history.write_csv(self.out / "history.csv")

    def _resume(self) -> bool:
        """Go on where the checkpoint in the folder was written; False when there is none."""
        path = self.out / CHECKPOINT
        if not path.exists():
            return False
        state = checkpoint.load(path, self.device)
        checkpoint.refuse_another(state, self._fingerprint, path)
        self.task.load_state_dict(state["task"])
        self.task.model.load_state_dict(state["model"])
        if state["average"] is not None:
            self.average = Average(self.task.model, self.config.ema_decay, state["steps"])
            self.average.model.load_state_dict(state["average"])
        self._stage, self._epoch, self._stale = state["stage"], state["epoch"], state["stale"]
        self._best_score, self._best_state = state["best"]["score"], state["best"]["state"]
        if state["optimizer"] is not None:
            self._stepping = {name: state[name] for name in ("optimizer", "scheduler", "scaler")}
        self.history = History(self.task.columns, state["history"])
        return True


class _Stepper:
    """Optimizer, learning rate, mixed precision and processes of one stage: one batch in, one step done.

    Attributes:
        lr: the largest learning rate of the last step.
    """

    def __init__(
        self, task: Task, index: int, processes: Processes, clock: Clock, state: dict[str, Any] | None
    ) -> None:
        self.task, self.index, self.clock = task, index, clock
        self.device = processes.device
        self.optimizer = task.optimizer(index)
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        learned = set(map(id, self.parameters))
        for parameter in task.model.parameters():
            parameter.requires_grad_(id(parameter) in learned)
        self.schedule: Schedule = task.schedule(index, self.optimizer, clock)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=task.config.amp == "float16")
        if state is not None:
            self.optimizer.load_state_dict(state["optimizer"])
            if state["scheduler"] is not None and self.schedule.scheduler is not None:
                self.schedule.scheduler.load_state_dict(state["scheduler"])
            if state["scaler"]:
                self.scaler.load_state_dict(state["scaler"])
        self.network = processes.parallel(task.network(index))
        self.lr = self._largest_lr()

    def step(self, batch: Batch, share: float) -> float:
        """Learn from a batch; ``share`` of the stage is done afterwards. Returns the loss."""
        self.lr = self._largest_lr()
        with self._autocast():
            output = self.network(*batch.all_inputs)
        loss: Tensor = self.task.loss(self.index, output, batch)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        if self.task.config.clip_norm > 0:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.task.config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.clock.share = share
        if self.schedule.scheduler is not None and self.schedule.by == "step":
            self.schedule.scheduler.step()
        return loss.item()

    def end_epoch(self, measured: Measured | None) -> None:
        """Step a schedule that goes by epochs."""
        scheduler = self.schedule.scheduler
        if isinstance(scheduler, ReduceLROnPlateau):
            if measured is not None:
                scheduler.step(measured.score)
        elif scheduler is not None and self.schedule.by == "epoch":
            scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """What a later stepper goes on from."""
        scheduler = self.schedule.scheduler
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if scheduler is None else scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def _autocast(self) -> AbstractContextManager[Any]:
        kind = _AMP.get(self.task.config.amp)
        return nullcontext() if kind is None else torch.autocast(self.device.type, kind)

    def _largest_lr(self) -> float:
        return max(float(group["lr"]) for group in self.optimizer.param_groups)
