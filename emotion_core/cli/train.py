"""``emotion train``: train a network."""

from __future__ import annotations

import argparse
import logging
import shlex
from dataclasses import replace
from typing import Any

from emotion_core.errors import EmotionError

MODEL = ("branches", "width", "dropout")
TRAINING = (
    "epochs", "batch_size", "lr", "weight_decay", "calm_epochs", "prune", "unpruned_epochs", "teacher_weight", "seed",
)  # fmt: skip


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("train", help="train a network", description="Train a network.")
    learners = parser.add_subparsers(dest="learner", metavar="LEARNER", required=True)
    esr = learners.add_parser(
        "esr",
        help="a small ESR on the label distributions of FER+",
        description="Train all branches of the compact ESR at once on the FER+ Training faces with label "
        "distributions. May be stopped at any time: the same command goes on from the last finished epoch. "
        "Writes checkpoint.pt, history.csv, tensorboard/ and at the end model.safetensors with its card.",
    )
    esr.add_argument("--data", required=True, metavar="DIR", help="FER+: folder with FER2013Train and FER2013Valid")
    esr.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    for name, kind, text in (
        ("epochs", int, "passes over the data"),
        ("batch-size", int, "faces in a step"),
        ("lr", float, "peak learning rate"),
        ("weight-decay", float, "decay of the weights"),
        ("calm-epochs", int, "epochs at the end with weaker augmentation"),
        ("prune", float, "share of the faces with a small loss that an epoch leaves out"),
        ("unpruned-epochs", int, "epochs at the end that use every face"),
        ("teacher-weight", float, "share of the teacher's probabilities in the targets"),
        ("seed", int, "decides everything random"),
        ("branches", int, "size of the ensemble"),
        ("width", float, "multiplies the channels of every layer"),
        ("dropout", float, "probability of dropping a feature before a classifier"),
        ("threads", int, "CPU threads (default: all)"),
    ):
        esr.add_argument(f"--{name}", type=kind, metavar="N", help=text)
    esr.add_argument(
        "--init", metavar="FILE", help="start from the weights of this model.safetensors, in place of random ones"
    )
    esr.add_argument(
        "--teacher", metavar="FILE", help="mix the probabilities of this model.safetensors into the targets"
    )
    esr.add_argument("--name", default="esr_compact", help="name of the model in its card (default: %(default)s)")
    esr.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, then write the network and its card."""
    import torch

    from emotion_core.data.ferplus import load_ferplus
    from emotion_core.learners.esr import EsrTrainer, EsrTrainingConfig, write_result
    from emotion_core.learners.memory import reuse_freed_memory
    from emotion_core.models.esr import PRESETS

    reuse_freed_memory()  # before the first large tensor
    if args.threads:
        torch.set_num_threads(args.threads)
    logging.getLogger("emotion_core").setLevel(logging.INFO)
    model = PRESETS["esr_compact"]
    try:
        model = replace(model, **{k: v for k in MODEL if (v := getattr(args, k)) is not None})
    except ValueError as error:
        raise EmotionError(str(error)) from None
    chosen: dict[str, Any] = {k: v for k in TRAINING if (v := getattr(args, k)) is not None}
    config = EsrTrainingConfig(model=model, **chosen)
    faces = load_ferplus(args.data, "train"), load_ferplus(args.data, "valid")
    trainer = EsrTrainer(config, *faces, args.out, args.init, args.teacher)
    with _progress(config.epochs, len(trainer.history)) as on_step:
        trainer.run(on_step)
    options = [f"--{k.replace('_', '-')} {v}" for k in (*MODEL, *chosen) if (v := getattr(args, k)) is not None]
    if args.init:
        options.append("--init init/model.safetensors")
    if args.teacher:
        options.append("--teacher teacher/model.safetensors")
    command = shlex.join(["emotion", "train", "esr", "--data", "ferplus", "--out", "run", *" ".join(options).split()])
    path = write_result(trainer, args.name, command)
    print(f"{path}: {trainer.history[-1].valid_accuracy:.2f} % on FER+ PublicTest")
    return 0


def _progress(total: int, done: int) -> Any:
    """A context manager that yields the callback for a progress bar; without a terminal the log lines speak."""
    import contextlib
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)

    @contextlib.contextmanager
    def bar() -> Iterator[Callable[[float, float], None] | None]:
        if not console.is_terminal:
            yield None
            return
        columns = (
            TextColumn("epoch {task.completed:.2f}/{task.total:g}"), BarColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False),
        )  # fmt: skip
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("training", total=total, completed=done, loss=float("nan"))
            yield lambda epochs, loss: progress.update(task, completed=epochs, loss=loss)

    return bar()
