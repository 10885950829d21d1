"""``emotion train classifier --classes``: a network for classes of one's own, from photos to the file of a node."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_core.cli.progress import item_progress
from emotion_core.cli.train_options import (
    begin,
    claim,
    command,
    files_read,
    given,
    is_first_process,
    read_recipe,
    train,
)
from emotion_core.errors import EmotionError
from emotion_core.store.card import FACE
from emotion_core.store.finding import DEFAULT_MODEL, find_model
from emotion_core.store.metadata import read_card
from emotion_core.vision.detect import DETECTORS

if TYPE_CHECKING:
    from emotion_core.data.own_faces import OwnFaces
    from emotion_core.training.loop import Loop

FACES = (*DETECTORS, "whole")
SETTINGS: dict[str, Any] = {
    "epochs": 20, "batch_size": 32, "lr": 0.01, "label_smoothing": 0.05, "class_weights": "balanced",
    "keep_best": False,
}  # fmt: skip
"""Of a start from a trained network with some hundred faces, where the options do not say otherwise. The last weights
are kept: among few faces the first of many equally good epochs would be taken, and the figure would flatter."""

LEAST_STEPS = 100
"""Of a training whose epochs are not given: with fewer, a new layer has not settled."""

_SHOWN = 5  # pictures without a face that are named


def add_own(classifier: argparse.ArgumentParser) -> None:
    """The options of one's own classes."""
    group = classifier.add_argument_group(
        "classes of your own",
        "photos in --data/CLASS/, or in --data/train/CLASS/ and --data/valid/CLASS/; starts from a trained network and "
        "ends in an ONNX file that the node loads",
    )
    group.add_argument(
        "--classes",
        metavar="A,B,…",
        help="names of the folders, in the order of the network's output; without a split a fifth of each class, drawn "
        "by --seed, is validated on. Settings that are not given suit some hundred photos; --init is then the name or "
        f"path of any model with its weights beside it (default: {DEFAULT_MODEL})",
    )
    group.add_argument(
        "--faces",
        choices=FACES,
        help="what cuts the faces out; whole: the pictures are cut out already (default: auto)",
    )


def run_own(args: argparse.Namespace, names: tuple[str, ...]) -> int:
    """Cut the faces out, train, write the network, export it, and say how it is used.

    Args:
        names: the settings that are options.
    """
    from emotion_core.data.own_faces import load_own_faces
    from emotion_core.training.classifier import ClassifierTask, write_result
    from emotion_core.training.classifier_config import ClassifierConfig

    begin(args)
    if args.dataset != "folder" or args.fold is not None:
        raise EmotionError("--classes are folders of photos: leave --dataset and --fold out")
    classes = [name.strip() for name in args.classes.split(",")]
    args.init = str(weights_of(args.init or DEFAULT_MODEL))
    card = read_card(args.init)
    seen = [item for item in card.inputs if item.kind == FACE]
    if len(seen) != 1 or len(card.inputs) != 1:
        raise EmotionError(
            f"--init {card.name} does not take one face: name a model that does, such as {DEFAULT_MODEL}"
        )
    is_recipe = args.model is not None and Path(args.model).suffix in (".yaml", ".yml")
    settings = read_recipe(args.model) if is_recipe else {**SETTINGS, "model": args.model or dict(card.architecture)}
    config = ClassifierConfig.from_dict({**settings, **given(args, names)})
    exported = Path(args.out) / f"{args.name}.onnx"
    claim(args.out, files_read(args), (exported.name, f"{args.name}.json"))
    with item_progress("faces", "pictures") as tell:
        found = load_own_faces(args.data, classes, seen[0], args.faces or "auto", config.seed, tell)
    _report(found)
    if args.epochs is None and not is_recipe:  # few faces make few steps an epoch
        steps = max(1, len(found.train) // config.batch_size)
        config = replace(config, epochs=max(config.epochs, -(-LEAST_STEPS // steps)))
    words = ["classifier", "--data", "photos", "--classes", ",".join(classes), "--out", "run"]
    words += ["--faces", args.faces] if args.faces else []
    about = {
        "data": f"{len(found.train)} faces of own classes, {len(found.no_face)} pictures without a face left out",
        "command": command(words, args, names[:-1]),
    }
    task = ClassifierTask(config, found.train, found.valid, args.init, args.teachers, own_classes=True)

    def write(loop: Loop) -> Path:
        return write_result(loop, args.name, about, args.licence, "folder", args.half)

    code = train(args, task, write)
    if is_first_process():
        _export(Path(args.out) / "model.safetensors", exported)
    return code


def weights_of(model: str) -> Path:
    """The weights of a model that is named by its name, its .onnx or its .safetensors; raises EmotionError without."""
    path = Path(model) if model.endswith(".safetensors") else find_model(model).with_suffix(".safetensors")
    if not path.is_file():
        raise EmotionError(f"{model} cannot be the start: its weights are missing, expected {path}")
    return path


def _report(found: OwnFaces) -> None:
    """Say what will be learned from, and what was left out."""
    for name, data in (("learned from", found.train), ("validated on", found.valid)):
        counts = ", ".join(f"{label} {int((data.classes == i).sum())}" for i, label in enumerate(data.labels))
        print(f"{len(data)} faces {name}: {counts}", flush=True)
    if found.no_face:
        more = ", …" if len(found.no_face) > _SHOWN else ""
        print(f"no face in {len(found.no_face)} pictures, left out: {', '.join(found.no_face[:_SHOWN])}{more}")
    for where, reason in found.unreadable[:_SHOWN]:
        print(f"left out: {where}: {reason}", file=sys.stderr)
    if found.other_folders:
        print(f"folders that are none of the classes, left out: {', '.join(found.other_folders)}")
    sys.stdout.flush()


def _export(weights: Path, out: Path) -> None:
    from emotion_core.export.quantize import export_as
    from emotion_core.export.weights import load_network

    model, card = load_network(weights)
    export_as("float32", model, card, out)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, its card is inside; use it:")
    print(f"  emotion infer photo.jpg --model {out}")
    print(f"  emotion node facial --ros-args -p model:={out.absolute()}")
