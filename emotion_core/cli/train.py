"""``emotion train``: train a network."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_core.cli.train_audiovisual import add_audiovisual
from emotion_core.cli.train_fusion import add_fusion
from emotion_core.cli.train_options import (
    add_machine,
    add_networks,
    add_numbers,
    begin,
    claim,
    command,
    files_read,
    given,
    is_first_process,
    open_splits,
    read_recipe,
    train,
)
from emotion_core.cli.train_own import add_own, run_own
from emotion_core.cli.train_voice import add_voice
from emotion_core.data.registry import DATASETS, open_fold
from emotion_core.errors import EmotionError

if TYPE_CHECKING:
    from emotion_core.training.loop import Loop

LOOP = ("ema_decay", "clip_norm", "patience", "seed")
MODEL = ("branches", "width", "dropout")
JOINT = (
    "epochs", "batch_size", "lr", "weight_decay", "calm_epochs", "prune", "unpruned_epochs", "teacher_weight", *LOOP,
)  # fmt: skip
CLASSIFIER = (
    "epochs", "batch_size", "lr", "weight_decay", "label_smoothing", "center_loss", "teacher_weight", "workers", *LOOP,
)  # fmt: skip
FACIAL = (
    "ensemble_size", "max_training_epoch", "max_first_branch_epoch", "max_tuning_epoch", "batch_size", "lr",
    "tuning_lr", "images_per_class", "workers", *LOOP,
)  # fmt: skip
AGAIN = "May be stopped at any time: the same command goes on from the last finished epoch. "
SEVERAL = "Several GPUs: torchrun --nproc-per-node N -m emotion_core.cli train {} --device cuda ..."


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = "Train a network."
    learners = parser.add_subparsers(dest="learner", metavar="LEARNER", required=True)
    for add_one in (_add_esr, _add_classifier, add_voice, add_audiovisual, add_fusion, _add_facial, _add_ckplus):
        add_one(learners)


def _add_esr(learners: argparse._SubParsersAction) -> None:
    esr = learners.add_parser(
        "esr",
        help="a small ESR on the label distributions of FER+, all branches at once",
        description="Train all branches of a compact ESR at once on the FER+ Training faces with label "
        f"distributions. {AGAIN}Writes checkpoint.pt, history.csv, history.png, tensorboard/ and at the end "
        f"model.safetensors with its card. {SEVERAL.format('esr')}",
    )
    esr.add_argument("--data", required=True, metavar="DIR", help="FER+: folder with FER2013Train and FER2013Valid")
    esr.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    esr.add_argument(
        "--config", metavar="FILE.yaml", help="a recipe such as recipes/esr_compact.yaml; options below go before it"
    )
    add_numbers(esr, (*JOINT, *MODEL))
    add_machine(esr)
    add_networks(esr)
    esr.add_argument("--half", action="store_true", help="store the weights as float16, in half the space")
    esr.add_argument("--name", default="esr_compact", help="name of the model in its card (default: %(default)s)")
    esr.set_defaults(run=run_esr)


def _add_classifier(learners: argparse._SubParsersAction) -> None:
    classifier = learners.add_parser(
        "classifier",
        help="any network that tells classes apart, on any dataset of faces",
        description="Train a network of the registry (see `emotion models`, --plugin) on the classes or the label "
        f"distributions of a dataset; the best weights by validation accuracy are kept. {AGAIN}Writes checkpoint.pt, "
        "history.csv, history.png, tensorboard/ and at the end model.safetensors with its card, ready for `emotion "
        f"export`. {SEVERAL.format('classifier')}",
    )
    classifier.add_argument(
        "--model",
        metavar="PRESET|FILE.yaml",
        help="a preset such as esr_compact, or a recipe such as recipes/classifier_fer2013.yaml; options below go "
        "before it; with --classes that of --init",
    )
    classifier.add_argument("--dataset", choices=DATASETS, default="folder", help="default: %(default)s")
    classifier.add_argument("--data", required=True, metavar="DIR", help="folder with the dataset")
    classifier.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    classifier.add_argument(
        "--fold",
        type=int,
        metavar="K",
        help="learn from all folds of the dataset but this one, counted from 1, and validate on it; see `emotion eval "
        "--folds`",
    )
    add_numbers(classifier, CLASSIFIER)
    classifier.add_argument("--optimizer", choices=("sgd", "adamw", "radam"), help="default: sgd")
    classifier.add_argument("--schedule", choices=("cosine", "step", "plateau", "constant"), help="default: cosine")
    classifier.add_argument(
        "--class-weights", choices=("none", "balanced"), help="balanced: each class counts alike, however rare"
    )
    add_machine(classifier)
    add_networks(classifier)
    classifier.add_argument("--half", action="store_true", help="store the weights as float16, in half the space")
    classifier.add_argument("--name", default="classifier", help="name of the model in its card (default: %(default)s)")
    classifier.add_argument(
        "--licence", default="that of the data it was trained on", help="of the weights (default: %(default)s)"
    )
    add_own(classifier)
    classifier.set_defaults(run=run_classifier)


def _add_facial(learners: argparse._SubParsersAction) -> None:
    facial = learners.add_parser(
        "facial",
        help="the published ESR or ESR*, branch by branch, then valence and arousal",
        description="Train as the authors of ESR do (FacialEmotionLearner): one branch after another on the faces that "
        f"`emotion prepare affectnet` wrote, then the heads for valence and arousal. {AGAIN}The options are the "
        f"learner's arguments. {SEVERAL.format('facial')}",
    )
    facial.add_argument("--data", required=True, metavar="DIR", help="folder with the dataset")
    facial.add_argument(
        "--dataset",
        choices=DATASETS,
        help="default: affectnet, as prepared, and with --preset ferplus ferplus; only affectnet has valence and "
        "arousal to tune",
    )
    facial.add_argument("--out", required=True, metavar="DIR", help="folder for the trained network")
    facial.add_argument(
        "--preset",
        choices=("affectnet", "ferplus"),
        help="epochs and learning rates of the authors; ferplus starts from weights of AffectNet, see --init",
    )
    facial.add_argument(
        "--init", metavar="FOLDER", help="start from this network: a folder that was saved, or the authors' files"
    )
    add_numbers(facial, FACIAL)
    add_machine(facial)
    facial.add_argument("--diversify", action="store_true", help="ESR*: attention, kept apart between the branches")
    facial.add_argument("--bfloat16", action="store_true", help="the same as --amp bfloat16")
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
    add_machine(ckplus)
    ckplus.add_argument("--json", action="store_true", help="print JSON")
    ckplus.set_defaults(run=run_ckplus)


def run_esr(args: argparse.Namespace) -> int:
    """Train, then write the network and its card."""
    from emotion_core.data.ferplus import load_ferplus
    from emotion_core.training.esr_joint import EsrJointTask, write_result
    from emotion_core.training.esr_joint_config import EsrTrainingConfig

    begin(args)
    config = EsrTrainingConfig.from_dict(read_recipe(args.config)) if args.config else EsrTrainingConfig()
    try:
        model = replace(config.model, **given(args, MODEL))
    except ValueError as error:
        raise EmotionError(str(error)) from None
    config = replace(config, model=model, **given(args, (*JOINT, "amp")))
    faces = load_ferplus(args.data, "train"), load_ferplus(args.data, "valid")
    words = ["esr", "--data", "ferplus", "--out", "run"]
    words += ["--config", f"recipes/{Path(args.config).name}"] if args.config else []
    said = command(words, args, (*MODEL, *JOINT))
    task = EsrJointTask(config, *faces, args.init, args.teachers)
    return train(args, task, lambda loop: write_result(loop, args.name, said, args.half))


def run_classifier(args: argparse.Namespace) -> int:
    """Train, then write the network and its card."""
    from emotion_core.training.classifier import ClassifierTask, write_result
    from emotion_core.training.classifier_config import ClassifierConfig

    options = (*CLASSIFIER, "optimizer", "schedule", "class_weights", "amp")
    if args.classes is not None:
        return run_own(args, options)
    if args.model is None or args.faces is not None:
        raise EmotionError("say what to train: --model PRESET, or --classes A,B for classes of your own (with --faces)")
    begin(args)
    is_recipe = Path(args.model).suffix in (".yaml", ".yml")
    settings = read_recipe(args.model) if is_recipe else {"model": args.model}
    config = ClassifierConfig.from_dict({**settings, **given(args, options)})
    if args.fold is None:
        learned, valid = open_splits(args.dataset, args.data)
    else:
        learned, valid = open_fold(args.dataset, args.data, args.fold)
    model = _recipe_name(Path(args.model)) if is_recipe else args.model
    words = ["classifier", "--model", model, "--dataset", args.dataset, "--data", args.dataset, "--out", "run"]
    kind = DATASETS[args.dataset]
    part = kind.splits["train"] if args.fold is None else f"all folds but {args.fold}"
    about = {
        "data": f"{kind.title} {part}, {len(learned)} faces",
        "command": command(words, args, (*options[:-1], "fold")),
    }
    task = ClassifierTask(config, learned, valid, args.init, args.teachers)
    split = "valid" if args.fold is None else f"fold {args.fold}"

    def write(loop: Loop) -> Path:
        return write_result(loop, args.name, about, args.licence, args.dataset, args.half, split)

    return train(args, task, write)


def _recipe_name(path: Path) -> str:
    """A recipe as the card tells it: below the folder recipes, wherever that is."""
    parts = path.absolute().parts
    below = parts[parts.index("recipes") + 1 :] if "recipes" in parts else parts[-1:]
    return "/".join(("recipes", *below))


def run_facial(args: argparse.Namespace) -> int:
    """Train branch by branch, then save the network."""
    from emotion_core.cli.progress import training_progress
    from emotion_core.learners.facial import FacialEmotionLearner
    from emotion_core.learners.facial_config import FacialLearnerConfig
    from emotion_core.learners.facial_files import original_names

    begin(args)
    known = {item.name for item in fields(FacialLearnerConfig)}
    arguments = {name: value for name, value in vars(args).items() if name in known and value is not None}
    if args.device.startswith("cuda:"):
        arguments |= {"device": "cuda", "device_ind": (int(args.device[5:]),)}
    dataset = args.dataset or ("ferplus" if args.preset == "ferplus" else "affectnet")
    learned, valid = open_splits(dataset, args.data)
    tuned = dataset == "affectnet" and not args.no_tuning and args.preset != "ferplus"
    learner = FacialEmotionLearner(
        **arguments,
        preset=args.preset,
        categorical_train=True,
        dimensional_finetune=tuned,
        base_path_to_dataset=args.data,
        base_path_experiment=args.out,
        name_experiment=args.name,
        labels=learned.labels,
    )
    folder = Path(args.out) / args.name / "network"
    sources = files_read(args) + list(Path(args.init).glob("*") if args.init else ())
    results = (f"{args.name}.safetensors", f"{args.name}.json", *original_names(learner.config.ensemble_size))
    claim(folder, sources, results)
    if args.init:
        learner.load(None, args.init)
    elif args.preset == "ferplus":
        logging.getLogger(__name__).warning("the authors start this from weights of AffectNet: give --init FOLDER")
    with training_progress() as show:
        learner.fit(learned, valid, on_event=show)
    if is_first_process():
        folder = learner.save(path=folder, model_name=args.name)
        result = learner.eval(dataset=valid)
        print(f"{folder}: {result['accuracy']:.2f} % on the {result['n']} validation faces (vote of the branches)")
    return 0


def run_ckplus(args: argparse.Namespace) -> int:
    """Train and test fold by fold."""
    import numpy as np

    from emotion_core.cli.progress import training_progress
    from emotion_core.data.ckplus import load_ckplus
    from emotion_core.training.crossvalidation import AUTHORS, cross_validate

    begin(args)
    config = replace(AUTHORS, first_epochs=args.epochs, later_epochs=args.epochs, **given(args, ("amp",)))
    data = load_ckplus(args.data)
    with training_progress() as show:
        results = cross_validate(data, args.out, args.folds, config, args.device, show)
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
