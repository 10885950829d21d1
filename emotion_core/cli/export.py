"""``emotion export``: from a trained network to an ONNX file with its card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_core.data.registry import DATASETS
from emotion_core.errors import EmotionError
from emotion_core.labels import FER2013
from emotion_core.store.card import PRECISIONS
from emotion_core.store.outputs import Outputs

if TYPE_CHECKING:
    from torch import nn

    from emotion_core.models.residual_masking import ResidualMasking
    from emotion_core.store.card import ModelCard


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Write a trained network (model.safetensors, the folder of a published ESR, or the file of the "
        "published Residual Masking Network) as ONNX, and compare both by value. float16 is for GPUs; int8 takes a "
        "third to a half of the time on a CPU and is calibrated on 512 training faces of --data. With --data the copy "
        "is measured on the validation split, and the figures go into its card."
    )
    parser.add_argument(
        "network",
        metavar="NETWORK",
        help="a .safetensors file, a folder with Net-Base-*.pt and Net-Branch_*.pt, or a checkpoint of "
        "resmasking_dropout1 (`emotion download rmn`)",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE.onnx",
        help="the file to write, with its card inside; a copy of the card goes beside it as .json (or .onnx.json where "
        "another file has that name)",
    )
    parser.add_argument("--name", help="name of the model in its card (default: the card's, or the name of FILE)")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="default: %(default)s")
    parser.add_argument(
        "--half", action="store_true", help="store the weights of float32 as float16, in half the space"
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="of an audiovisual network: for streams, which take one frame at a time (named NAME_stream)",
    )
    parser.add_argument("--data", metavar="DIR", help="folder with the dataset to calibrate and measure on")
    parser.add_argument("--dataset", choices=DATASETS, default="ferplus", help="what --data is (default: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export and say where to."""
    from dataclasses import replace

    from emotion_core.data.registry import open_dataset
    from emotion_core.export.backbone_files import load_residual_masking
    from emotion_core.export.esr_files import load_original
    from emotion_core.export.onnx_file import check_target
    from emotion_core.export.quantize import export_as
    from emotion_core.export.weights import card_copy_path, load_network
    from emotion_core.labels import AFFECTNET
    from emotion_core.models.registry import describe, entry_of

    if args.precision == "int8" and not args.data:
        raise EmotionError("int8 needs faces to calibrate on: give the training data with --data DIR")
    source, out = Path(args.network), check_target(args.out)
    outputs = Outputs([source])
    outputs.claim(out, "--out")
    outputs.claim(card_copy_path(out), "the card of --out")  # before an export that may take minutes
    if source.is_dir():
        model: nn.Module = load_original(source)
        card = describe(
            entry_of(model),
            name=args.name or out.stem,
            labels=AFFECTNET,
            licence="the authors' weights are not for commercial use",
            affect="annotated in AffectNet",
            notes="Weights published by the authors of ESR (Siqueira et al., AAAI 2020).",
        )
    elif source.suffix != ".safetensors":
        model = load_residual_masking(source)
        card = describe(
            entry_of(model),
            name=args.name or out.stem,
            labels=_labels_of(model, source),
            licence="MIT, as its authors' code; trained on FER2013, whose own terms apply",
            notes="Weights published by the authors of the Residual Masking Network (Pham et al., ICPR 2020).",
        )
    else:
        model, card = load_network(source)
        card = replace(card, name=args.name or card.name)
    if args.stream:
        model, card = _for_streams(model, card, source, args.name)
    faces = open_dataset(args.dataset, args.data, "train") if args.precision == "int8" else None
    card = export_as(args.precision, model, card, out, faces, half=args.half)
    print(f"{out}: {card.name}, {card.precision}, {out.stat().st_size / 1e6:.2f} MB; its card is inside")
    if args.data:
        _measure(args, out)
    return 0


def _labels_of(model: ResidualMasking, source: Path) -> tuple[str, ...]:
    """Those of FER2013, in whose order the authors train."""
    if model.config.num_classes != len(FER2013):
        raise EmotionError(
            f"{source} has {model.config.num_classes} classes, expected the {len(FER2013)} of FER2013: nobody says "
            "what the others are"
        )
    return FER2013


def _for_streams(model: nn.Module, card: ModelCard, source: Path, name: str | None) -> tuple[nn.Module, ModelCard]:
    from dataclasses import replace

    from emotion_core.models.audiovisual import Audiovisual
    from emotion_core.models.audiovisual_stream import as_stream

    if type(model) is not Audiovisual:
        raise EmotionError(f"--stream is for audiovisual networks, and {source} holds {card.architecture['type']}")
    stream, described = as_stream(model, card)
    return stream, replace(described, name=name or described.name)


def _measure(args: argparse.Namespace, path: Path) -> None:
    """Evaluate the written file and note the figures in its card."""
    from emotion_core.data.registry import open_dataset
    from emotion_core.evaluation.evaluate import evaluate_protocols, run_network
    from emotion_core.evaluation.results import card_results
    from emotion_core.export.onnx_file import add_results
    from emotion_core.runtime.classifier import Classifier

    classifier = Classifier(path, threads=0)
    card, data = classifier.card, open_dataset(args.dataset, args.data, "valid")
    results = evaluate_protocols(run_network(classifier, data, card.inputs), data, card.labels)
    entries = card_results(results, card, args.dataset, "valid")
    add_results(path, entries)
    for entry in entries:
        print(f"{entry['dataset']} {entry['split']}: {entry['accuracy']:.2f} % of {entry['n']} ({entry['protocol']})")
