"""``emotion train``: train a network."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from emotion_core.data.registry import DATASETS
from emotion_core.errors import EmotionError

MODEL = ("branches", "width", "dropout")
TRAINING = (
    "epochs", "batch_size", "lr", "weight_decay", "calm_epochs", "prune", "unpruned_epochs", "teacher_weight", "seed",
)  # fmt: skip


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("train", help="train a network", description="Train a network.")
    learners = parser.add_subparsers(dest="learner", metavar="LEARNER", required=True)
    _add_esr(learners)
    _add_facial(learners)
    _add_ckplus(learners)


def _add_esr(learners: argparse._SubParsersAction) -> None:
    esr = learners.add_parser(
        "esr",
        help="a small ESR on the label distributions of FER+, all branches at once",
        description="Train all branches of a compact ESR at once on the FER+ Training faces with label "
        "distributions. May be stopped at any time: the same command goes on from the last finished epoch. "
        "Writes checkpoint.pt, history.csv, tensorboard/ and at the end model.safetensors with its card.",
    )
    esr.add_argument("--data", required=True, metavar="DIR", help="FER+: folder with FER2013Train and FER2013Valid")
    esr.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    esr.add_argument(
        "--config", metavar="FILE.yaml", help="a recipe such as recipes/esr_compact.yaml; options below go before it"
    )
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
        "--teacher",
        dest="teachers",
        action="append",
        default=[],
        metavar="FILE",
        help="mix the probabilities of this model.safetensors into the targets; given more than once, their mean",
    )
    esr.add_argument("--half", action="store_true", help="store the weights as float16, in half the space")
    esr.add_argument("--name", default="esr_compact", help="name of the model in its card (default: %(default)s)")
    esr.set_defaults(run=run_esr)


def _add_facial(learners: argparse._SubParsersAction) -> None:
    facial = learners.add_parser(
        "facial",
        help="the published ESR or ESR*, branch by branch, then valence and arousal",
        description="Train as the authors of ESR do (FacialEmotionLearner): one branch after another on the faces that "
        "`emotion prepare affectnet` wrote, then the heads for valence and arousal. May be stopped at any time: the "
        "same command goes on from the last finished epoch. The options are the learner's arguments. Several GPUs: "
        "torchrun --nproc-per-node N -m emotion_core.cli train facial --device cuda ...",
    )
    facial.add_argument("--data", required=True, metavar="DIR", help="folder with the dataset")
    facial.add_argument(
        "--dataset",
        choices=DATASETS,
        default="affectnet",
        help="default: %(default)s, as prepared; the others have no valence and arousal to tune",
    )
    facial.add_argument("--out", required=True, metavar="DIR", help="folder for the trained network")
    for name, kind, text in (
        ("ensemble-size", int, "number of branches (default 9)"),
        ("max-training-epoch", int, "epochs of each branch (default 2; the authors: 20)"),
        ("max-first-branch-epoch", int, "epochs of the first branch (the authors: 50)"),
        ("max-tuning-epoch", int, "epochs of the tuning of valence and arousal (default 1)"),
        ("batch-size", int, "faces in a step of each process (default 32)"),
        ("lr", float, "learning rate of a new branch (default 0.1)"),
        ("tuning-lr", float, "learning rate of the tuning (default 0.01)"),
        ("images-per-class", int, "most faces of a class that a branch sees (default 5000)"),
        ("workers", int, "processes that read faces (default 0)"),
        ("seed", int, "decides everything random (default 0)"),
    ):
        facial.add_argument(f"--{name}", type=kind, metavar="N", help=text)
    facial.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    facial.add_argument("--diversify", action="store_true", help="ESR*: attention, kept apart between the branches")
    facial.add_argument("--bfloat16", action="store_true", help="mixed precision")
    facial.add_argument("--no-tuning", action="store_true", help="leave valence and arousal as they are")
    facial.add_argument("--name", default="esr", help="name of the experiment and the model (default: %(default)s)")
    facial.set_defaults(run=run_facial)


def _add_ckplus(learners: argparse._SubParsersAction) -> None:
    ckplus = learners.add_parser(
        "ckplus",
        help="ESR-4 on CK+ in ten folds of people",
        description="Repeat the authors' experiment on CK+: the narrow ESR-4, the base frozen after the first branch. "
        "The people of one fold are tested, those of the next choose the best epoch, the others are learned from.",
    )
    ckplus.add_argument("--data", required=True, metavar="DIR", help="folder with cohn-kanade-images and Emotion")
    ckplus.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    ckplus.add_argument("--folds", type=int, default=10, metavar="N", help="default: %(default)s")
    ckplus.add_argument("--epochs", type=int, default=50, metavar="N", help="of each branch (default: %(default)s)")
    ckplus.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    ckplus.add_argument("--json", action="store_true", help="print JSON")
    ckplus.set_defaults(run=run_ckplus)


def run_esr(args: argparse.Namespace) -> int:
    """Train, then write the network and its card."""
    import torch

    from emotion_core.cli.progress import training_progress
    from emotion_core.data.ferplus import load_ferplus
    from emotion_core.training.cpu import reuse_freed_memory
    from emotion_core.training.esr_joint import EsrTrainer, write_result
    from emotion_core.training.esr_joint_config import EsrTrainingConfig

    reuse_freed_memory()  # before the first large tensor
    if args.threads:
        torch.set_num_threads(args.threads)
    logging.getLogger("emotion_core").setLevel(logging.INFO)
    config = EsrTrainingConfig.from_dict(read_recipe(args.config)) if args.config else EsrTrainingConfig()
    try:
        model = replace(config.model, **{k: v for k in MODEL if (v := getattr(args, k)) is not None})
    except ValueError as error:
        raise EmotionError(str(error)) from None
    config = replace(config, model=model, **{k: v for k in TRAINING if (v := getattr(args, k)) is not None})
    faces = load_ferplus(args.data, "train"), load_ferplus(args.data, "valid")
    trainer = EsrTrainer(config, *faces, args.out, args.init, args.teachers)
    with training_progress() as show:
        trainer.run(lambda done, loss: show(done / config.epochs, f"epoch {done:.2f}/{config.epochs}, loss {loss:.3f}"))
    path = write_result(trainer, args.name, _command(args), args.half)
    print(f"{path}: {trainer.history[-1].valid_accuracy:.2f} % on FER+ PublicTest")
    return 0


def _command(args: argparse.Namespace) -> str:
    """The command without the places of this machine."""
    options = ["--config", f"recipes/{Path(args.config).name}"] if args.config else []
    for name in (*MODEL, *TRAINING):
        if (value := getattr(args, name)) is not None:
            options += [f"--{name.replace('_', '-')}", str(value)]
    for name, files in (("init", [args.init] if args.init else []), ("teacher", args.teachers)):
        for file in files:
            options += [f"--{name}", f"runs/{Path(file).parent.name}/{Path(file).name}"]
    return shlex.join(["emotion", "train", "esr", "--data", "ferplus", "--out", "run", *options])


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


def run_facial(args: argparse.Namespace) -> int:
    """Train branch by branch, then save the network."""
    from emotion_core.data.registry import open_dataset
    from emotion_core.learners.facial import FacialEmotionLearner
    from emotion_core.learners.facial_config import FacialLearnerConfig

    logging.getLogger("emotion_core").setLevel(logging.INFO)
    known = {item.name for item in fields(FacialLearnerConfig)}
    arguments = {name: value for name, value in vars(args).items() if name in known and value is not None}
    train, valid = (open_dataset(args.dataset, args.data, split) for split in ("train", "valid"))
    learner = FacialEmotionLearner(
        **arguments,
        categorical_train=True,
        dimensional_finetune=args.dataset == "affectnet" and not args.no_tuning,
        base_path_to_dataset=args.data,
        base_path_experiment=args.out,
        name_experiment=args.name,
        labels=train.labels,
    )
    learner.fit(train, valid)
    if int(os.environ.get("RANK", 0)):
        return 0  # of the processes of torchrun the first one writes
    folder = learner.save(path=Path(args.out) / args.name / "network", model_name=args.name)
    result = learner.eval(dataset=valid)
    print(f"{folder}: {result['accuracy']:.2f} % on the {result['n']} validation faces (vote of the branches)")
    return 0


def run_ckplus(args: argparse.Namespace) -> int:
    """Train and test fold by fold."""
    import numpy as np

    from emotion_core.data.ckplus import load_ckplus
    from emotion_core.training.crossvalidation import cross_validate

    logging.getLogger("emotion_core").setLevel(logging.INFO)
    data = load_ckplus(args.data)
    results = cross_validate(data, args.out, args.folds, device=args.device, max_training_epoch=args.epochs)
    accuracies = [result.accuracy for result in results]
    report = {
        "dataset": "ckplus",
        "n": len(data),
        "people": len(set(data.subjects)),
        "without_face": len(data.without_face),
        "folds": [round(value, 2) for value in accuracies],
        "mean": round(float(np.mean(accuracies)), 2),
        "std": round(float(np.std(accuracies)), 2),
    }
    if args.json:
        print(json.dumps(report))
    else:
        print(f"CK+, {report['people']} people, {report['n']} faces: {report['mean']} % +- {report['std']}")
    return 0
