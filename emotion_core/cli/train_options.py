"""What the trainings on the command line share: options, recipes, and the command as the card tells it."""

from __future__ import annotations

import argparse
import logging
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_core.data.dataset import FaceDataset
from emotion_core.errors import EmotionError
from emotion_core.store.finding import BUNDLED
from emotion_core.store.metadata import read_card
from emotion_core.store.outputs import Outputs

if TYPE_CHECKING:
    from emotion_core.training.loop import Loop
    from emotion_core.training.task import Task

log = logging.getLogger(__name__)

AMP = ("none", "bfloat16", "float16")
NUMBERS: Mapping[str, tuple[type, str]] = {
    "epochs": (int, "passes over the data"),
    "batch_size": (int, "samples in a step of each process"),
    "lr": (float, "peak learning rate"),
    "weight_decay": (float, "decay of the weights"),
    "ema_decay": (float, "of the moving average of the weights that is kept; 0: none"),
    "clip_norm": (float, "longer gradients are shortened to this norm; 0: never"),
    "patience": (int, "stop after so many validations without a better one; 0: never"),
    "teacher_weight": (float, "share of the teachers' probabilities in the targets"),
    "center_loss": (float, "weight of the distance of features to their class's centre; 0: none"),
    "label_smoothing": (float, "share of the targets that is spread over all classes"),
    "calm_epochs": (int, "epochs at the end with weaker augmentation"),
    "prune": (float, "share of the faces with a small loss that an epoch leaves out"),
    "unpruned_epochs": (int, "epochs at the end that use every face"),
    "seed": (int, "decides everything random"),
    "workers": (int, "processes that read samples"),
    "branches": (int, "size of the ensemble"),
    "width": (float, "multiplies the channels of every layer"),
    "dropout": (float, "probability of dropping a feature before a classifier"),
    "tuning_lr": (float, "learning rate of the tuning"),
    "ensemble_size": (int, "number of branches"),
    "images_per_class": (int, "most faces of a class that a branch sees"),
    "max_training_epoch": (int, "epochs of each branch; the authors: 20"),
    "max_first_branch_epoch": (int, "epochs of the first branch; the authors: 50"),
    "max_tuning_epoch": (int, "epochs of the tuning of valence and arousal"),
}
"""Every setting that is a number: its type, and what it is. Where it is not given, recipe, preset or default decide."""


def add_numbers(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """Options for settings that are numbers."""
    for name in names:
        kind, text = NUMBERS[name]
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=text)


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Options for where and how a training computes."""
    parser.add_argument(
        "--device", type=_device, default="cpu", metavar="D", help="cpu, cuda or cuda:1 (default: %(default)s)"
    )
    parser.add_argument("--amp", choices=AMP, help="mixed precision; float16 needs cuda (default: none)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")


def _device(text: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"unknown device {text!r}: use cpu, cuda or cuda:1")
    return text


def add_networks(parser: argparse.ArgumentParser) -> None:
    """Options for networks that were trained before."""
    parser.add_argument(
        "--init",
        metavar="FILE",
        help="start from the weights of this model.safetensors, in place of random ones; networks of the zoo and "
        "resmasking_dropout1 also from ImageNet weights in a file of torch, a face_resnet from the manifest of the "
        "published face recognition weights",
    )
    parser.add_argument(
        "--teacher",
        dest="teachers",
        action="append",
        default=[],
        metavar="M",
        help="mix the probabilities of this model into the targets: a model.safetensors, or the name or path of any "
        "model or ensemble, which sees the faces in its own size and colours, or an .npz of answers from `emotion "
        "yardstick`; given more than once, their mean",
    )


def begin(args: argparse.Namespace) -> None:
    """Before the first large tensor: outputs, memory, threads, and a log that tells each epoch."""
    import torch

    from emotion_core.cores import bound_torch
    from emotion_core.training.cpu import reuse_freed_memory

    _spare_data(Path(args.data), Path(args.out))
    reuse_freed_memory()
    bound_torch()
    if args.threads is not None:
        if args.threads < 1:
            raise EmotionError(f"--threads must be at least 1, got {args.threads}")
        torch.set_num_threads(args.threads)
    logging.getLogger("emotion_core").setLevel(logging.INFO)


def _spare_data(data: Path, out: Path) -> None:
    """Refuse a folder where a new training would replace a file of the dataset."""
    from emotion_core.store.outputs import Outputs
    from emotion_core.training.checkpoint import CHECKPOINT

    names = [CHECKPOINT, "history.csv", "history.png", "embedding.png", "model.safetensors", "model.json"]
    there = [out / name for name in names if (out / name).exists()]
    if out / CHECKPOINT not in there:  # else all of it is from an earlier run, or refused as another one's
        outputs = Outputs(folders=[data])
        for path in there:
            outputs.claim(path, "--out")


def open_splits(dataset: str, root: str | Path) -> tuple[FaceDataset, FaceDataset]:
    """Faces to learn from and to validate on; warns when a dataset without splits gives the same twice."""
    from emotion_core.data.registry import open_dataset

    train, valid = (open_dataset(dataset, root, split) for split in ("train", "valid"))
    ends = (0, len(train) - 1)
    if len(train) == len(valid) and all(train.stored(i) == valid.stored(i) for i in ends):
        log.warning("%s has no splits: the validation faces are those that are learned from, and say little", root)
    return train, valid


def train(args: argparse.Namespace, task: Task, write: Callable[[Loop], Path], what: str = "faces") -> int:
    """Train a task in ``--out``, write its network, and tell what was measured of it.

    Args:
        write: writes the network with its card, whose results are told; returns the file.
        what: it was measured on.

    Raises:
        EmotionError: the network would take the place of one that is read, see also ``Loop``.
    """
    from emotion_core.cli.progress import training_progress
    from emotion_core.training.loop import Loop

    claim(args.out, files_read(args), ("model.safetensors", "model.json"))
    loop = Loop(task, args.out, args.device)
    with training_progress() as show:
        loop.run(show)
    if is_first_process():
        path = write(loop)
        for entry in read_card(path).results:
            print(
                f"{path}: {entry['accuracy']:.2f} % on the {entry['n']} {what} of {entry['dataset']} {entry['split']} "
                f"({entry['protocol']})"
            )
    return 0


def files_read(args: argparse.Namespace) -> list[str]:
    """The files that the options name to read from."""
    single = [getattr(args, name, None) for name in ("init", "config", "model", "encoder")]
    return [file for file in (*single, *getattr(args, "teachers", ())) if file is not None]


def claim(folder: str | Path, sources: Iterable[str | Path], results: Sequence[str]) -> None:
    """Raise EmotionError when one of the results, names in a folder, would take the place of a file that is read."""
    outputs = Outputs(sources)
    for name in results:
        outputs.claim_each(folder, [Path(name).stem], Path(name).suffix, "--out")


def is_first_process() -> bool:
    """Of the processes of torchrun the first one writes."""
    return int(os.environ.get("RANK", 0)) == 0


def given(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The options that were given, of these."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file; raises EmotionError when it is missing or no mapping."""
    import yaml

    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise EmotionError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EmotionError(f"{path} is not a YAML file ({' '.join(str(error).split())[:120]})") from None
    if not isinstance(settings, dict):
        raise EmotionError(f"{path} holds no settings: expected lines such as `epochs: 60`")
    return settings


def command(words: Sequence[str], args: argparse.Namespace, names: Sequence[str]) -> str:
    """A command for the card: these words and the options that were given, without the places of this machine."""
    options: list[str] = []
    for name, value in given(args, [*names, "amp"]).items():
        options += [f"--{name.replace('_', '-')}", str(value)]
    for name, files in (("init", [args.init] if args.init else []), ("teacher", args.teachers)):
        for file in files:
            options += [f"--{name}", _for_card(file)]
    return shlex.join(["emotion", "train", *words, *options])


def _for_card(file: str | Path) -> str:
    """A model as a card names it: by its name, by its place in this package, or as the result of another training."""
    path = Path(file)
    if not path.suffix:
        return str(file)
    if path.resolve().parent == BUNDLED:
        return f"emotion_core/weights/{path.name}"
    return f"runs/{path.parent.name}/{path.name}"
