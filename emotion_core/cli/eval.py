"""``emotion eval``: measure a model on a dataset."""

from __future__ import annotations

import argparse
import json
from collections import ChainMap
from typing import TYPE_CHECKING, Any

from emotion_core.cli.eval_clips import ALL_MODES, run_clips
from emotion_core.cli.train_audiovisual import CLIP_SETS, add_pairs
from emotion_core.data.clips import MODES, PER_VOICE
from emotion_core.data.registry import DATASETS, SPLITS
from emotion_core.errors import EmotionError
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.store.outputs import Outputs, model_files

if TYPE_CHECKING:
    from emotion_core.evaluation.evaluate import CategoryResult

ALL_SETS: ChainMap[str, Any] = ChainMap(dict[str, Any].fromkeys(CLIP_SETS), DATASETS)
"""Names of all that can be measured on, with those that a plug-in registers later."""

BRIEF = ("n", "accuracy", "macro_f1", "calibration_error")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "eval",
        help="measure a model on a dataset",
        description="Measure a model's accuracy, without test-time augmentation, on the labels that model and data "
        "share. FER+ has two protocols, and both are reported: in either, single votes count as none. plurality: the "
        "class with the most votes is the label, faces whose largest class is unknown or NF are dropped. majority: "
        "that class must also hold more than half of the remaining votes; most published figures are of this kind, "
        "and some 3.6 points higher. AffectNet: the folders that `emotion prepare affectnet` writes; with "
        "--dimensional valence and arousal in place of the classes. ravdess: a voice model on recordings, or an "
        "audiovisual one on what `emotion prepare ravdess` wrote, in the five modes of the audiovisual paper. pairs: "
        "faces of FER+ and voices of RAVDESS that share nothing but the class, for audiovisual models and late_fusion.",
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="M", help="model name or path (default: %(default)s)")
    parser.add_argument("--dataset", choices=ALL_SETS, default="ferplus", help="default: %(default)s")
    parser.add_argument("--data", required=True, metavar="DIR", help="folder with the dataset")
    parser.add_argument("--split", choices=SPLITS, default="valid", help="default: %(default)s")
    parser.add_argument("--protocol", metavar="NAME", help="only this one: plurality or majority (ferplus)")
    parser.add_argument("--dimensional", action="store_true", help="measure valence and arousal (affectnet)")
    parser.add_argument(
        "--vote", action="store_true", help="label by the branches' vote instead of their mean probability"
    )
    parser.add_argument(
        "--mode",
        choices=(*MODES, ALL_MODES),
        default=ALL_MODES,
        help="which senses, for ravdess and pairs (default: %(default)s)",
    )
    add_pairs(parser, per_voice=PER_VOICE)
    parser.add_argument("--confusion", metavar="FILE.png", help="write the confusion matrix as a picture")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    if args.dataset in CLIP_SETS:
        return run_clips(args)
    if args.mode != ALL_MODES or args.faces:
        raise EmotionError(f"--mode and --faces go with --dataset {' or '.join(CLIP_SETS)}")
    from rich.console import Console
    from rich.progress import Progress

    from emotion_core.data.registry import open_dataset
    from emotion_core.evaluation.evaluate import evaluate_affect, evaluate_protocols, run_network
    from emotion_core.runtime.classifier import Classifier

    outputs = Outputs(model_files(args.model), [args.data])
    picture = outputs.claim(args.confusion, "--confusion") if args.confusion else None
    if args.dimensional and (picture or args.protocol):
        raise EmotionError("--confusion and --protocol go with classes, not with --dimensional")
    classifier = Classifier.load(args.model, threads=0)
    card = classifier.card
    data = open_dataset(args.dataset, args.data, args.split, dimensional=args.dimensional)
    if args.protocol and args.protocol not in data.protocols:
        known = ", ".join(data.protocols) or "none"
        raise EmotionError(f"{args.dataset} has no protocol {args.protocol!r}: expected one of its own ({known})")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("evaluating", total=len(data))
        output = run_network(
            classifier, data, card.inputs, on_progress=lambda done: progress.update(task, completed=done)
        )
    head = {"model": card.name, "dataset": args.dataset, "split": args.split}
    if args.dimensional:
        report = {**head, **evaluate_affect(output, data).to_dict()}
        print(json.dumps(report)) if args.json else _print_affect(report)
        return 0
    results = evaluate_protocols(output, data, card.labels, "vote" if args.vote else "mean")
    if args.protocol:
        results = {args.protocol: results[args.protocol]}
    report = {**head, **_report(results)}
    if picture is not None:
        from emotion_core.plots.confusion import plot_confusion

        first = next(iter(results.values()))
        which = f", {report['protocol']}" if report["protocol"] else ""
        title = f"{card.name} on {args.dataset} {args.split}{which}: {report['accuracy']:.2f} %"
        plot_confusion(first.ensemble.confusion, first.labels, picture, title)
    print(json.dumps(report)) if args.json else _print(report)
    return 0


def _report(results: dict[str, CategoryResult]) -> dict[str, Any]:
    """The first protocol in full, and of each the figures that one compares."""
    protocol, first = next(iter(results.items()))
    report = {"protocol": protocol, **first.to_dict()}
    if protocol:
        details = {name: result.to_dict() for name, result in results.items()}
        report["protocols"] = {name: {key: detail[key] for key in BRIEF} for name, detail in details.items()}
    return report


def _print_affect(report: dict[str, Any]) -> None:
    print(f"{report['model']} on {report['dataset']} {report['split']}, {report['n']} faces")
    for name in ("valence", "arousal"):
        values = report[name]
        print(f"{name}: RMSE {values['rmse']:.3f}, CCC {values['ccc']:.3f}, Pearson {values['pearson']:.3f}")


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from emotion_core.evaluation.results import left_out_text

    labels = report["confusion"]["labels"]
    table = Table(
        title=f"{report['model']} on {report['dataset']} {report['split']}: truths in rows, predictions in columns"
    )
    for name in ("", *labels, "recall %"):
        table.add_column(name, justify="right")
    for name, row in zip(labels, report["confusion"]["rows"], strict=True):
        recall = report["recall"][name]
        table.add_row(name, *map(str, row), "" if recall is None else f"{recall:.1f}")
    console = Console()
    console.print(table)
    members = report["branch_accuracy"]
    combined = ""
    if len(members) > 1:
        combined = f" ({report['combination']} of {len(members)} branches, alone {', '.join(map(str, members))})"
    for name, figures in report.get("protocols", {"": report}).items():
        console.print(
            f"{name}{': ' * bool(name)}accuracy {figures['accuracy']:.2f} % of {figures['n']}"
            f"{combined if name == report['protocol'] else ''}, macro F1 {figures['macro_f1']:.2f} %, "
            f"calibration error {figures['calibration_error']:.2f} %"
        )
    if text := left_out_text(report):
        console.print(text)
