"""``emotion eval``: measure a model on a dataset."""

from __future__ import annotations

import argparse
import json
from typing import Any

from emotion_core.data.registry import DATASETS
from emotion_core.store.finding import DEFAULT_MODEL


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "eval",
        help="measure a model on a dataset",
        description="Measure a model's accuracy, without test-time augmentation. FER+: the 8-class majority protocol; "
        "single votes count as none, faces whose majority is unknown or NF are dropped. AffectNet: the folders that "
        "`emotion prepare affectnet` writes; with --dimensional valence and arousal in place of the classes.",
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="M", help="model name or path (default: %(default)s)")
    parser.add_argument("--dataset", choices=DATASETS, default="ferplus", help="default: %(default)s")
    parser.add_argument("--data", required=True, metavar="DIR", help="folder with the dataset")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="valid", help="default: %(default)s")
    parser.add_argument("--dimensional", action="store_true", help="measure valence and arousal (affectnet)")
    parser.add_argument(
        "--vote", action="store_true", help="label by the branches' vote instead of their mean probability"
    )
    parser.add_argument("--confusion", metavar="FILE.png", help="write the confusion matrix as a picture")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from emotion_core.data.registry import open_dataset
    from emotion_core.evaluation.evaluate import evaluate_affect, evaluate_categories, run_network
    from emotion_core.runtime.session import FaceClassifier

    classifier = FaceClassifier.load(args.model, threads=0)
    card = classifier.card
    data = open_dataset(args.dataset, args.data, args.split, dimensional=args.dimensional)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("evaluating", total=len(data))
        output = run_network(
            classifier,
            data,
            card.input_size,
            card.channels,
            on_progress=lambda done: progress.update(task, completed=done),
        )
    head = {"model": card.name, "dataset": args.dataset, "split": args.split}
    if args.dimensional:
        report = {**head, **evaluate_affect(output, data).to_dict()}
    else:
        report = {**head, **evaluate_categories(output, data, card.labels, "vote" if args.vote else "mean").to_dict()}
        if args.confusion:
            from emotion_core.plots.confusion import plot_confusion

            title = f"{card.name} on {args.dataset} {args.split}: {report['accuracy']:.2f} %"
            plot_confusion(np.array(report["confusion"]["rows"]), data.labels, args.confusion, title)
    if args.json:
        print(json.dumps(report))
    elif args.dimensional:
        _print_affect(report)
    else:
        _print(report)
    return 0


def _print_affect(report: dict[str, Any]) -> None:
    print(f"{report['model']} on {report['dataset']} {report['split']}, {report['n']} faces")
    for name in ("valence", "arousal"):
        values = report[name]
        print(f"{name}: RMSE {values['rmse']:.3f}, CCC {values['ccc']:.3f}, Pearson {values['pearson']:.3f}")


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

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
    console.print(
        f"accuracy {report['accuracy']:.2f} % of {report['n']} ({report['combination']} of "
        f"{len(report['branch_accuracy'])} branches, alone {', '.join(map(str, report['branch_accuracy']))}), "
        f"macro F1 {report['macro_f1']:.2f} %, calibration error {report['calibration_error']:.2f} %"
    )
