"""``emotion eval``: measure a model on a dataset."""

from __future__ import annotations

import argparse
import json

from emotion_core.errors import EmotionError
from emotion_core.runtime.store import DEFAULT_MODEL

DATASETS = ("ferplus",)


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "eval",
        help="measure a model on a dataset",
        description="Measure a model's accuracy. FER+: the 8-class majority protocol; single votes count as none, "
        "faces whose majority is unknown or NF are dropped; no test-time augmentation.",
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="M", help="model name or path (default: %(default)s)")
    parser.add_argument("--dataset", choices=DATASETS, default="ferplus", help="default: %(default)s")
    parser.add_argument("--data", required=True, metavar="DIR", help="folder with FER2013Train, FER2013Valid, ...")
    parser.add_argument("--split", choices=("train", "valid", "test"), default="valid", help="default: %(default)s")
    parser.add_argument(
        "--vote", action="store_true", help="label by the branches' vote instead of their mean probability"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from emotion_core.data.ferplus import load_ferplus
    from emotion_core.report.metrics import classification
    from emotion_core.runtime.session import FaceClassifier
    from emotion_core.vision.crop import resize_faces

    classifier = FaceClassifier.load(args.model, threads=0)
    card = classifier.card
    data = load_ferplus(args.data, args.split)
    if set(card.labels) != set(data.labels):
        raise EmotionError(f"{card.name} has the labels {', '.join(card.labels)}; FER+ has {', '.join(data.labels)}")
    outputs = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for chunk in progress.track(np.array_split(data.faces, max(1, len(data) // 64)), description="evaluating"):
            outputs.append(classifier(resize_faces(chunk, card.input_size, card.channels)))
    probabilities = np.concatenate([output.probabilities for output in outputs])
    chosen = np.concatenate([output.votes for output in outputs]) if args.vote else probabilities.argmax(1)
    order = np.array([data.labels.index(name) for name in card.labels])
    confidence = probabilities[np.arange(len(chosen)), chosen]
    result = classification(data.majority, order[chosen], confidence, data.labels)
    branches = np.concatenate([output.branch_probabilities.argmax(2) for output in outputs])
    report = {
        "model": card.name,
        "dataset": args.dataset,
        "split": args.split,
        "n": result.n,
        "combination": "vote" if args.vote else "mean",
        "accuracy": round(result.accuracy, 2),
        "macro_f1": round(result.macro_f1, 2),
        "branch_accuracy": [round(100 * float(hit), 2) for hit in (order[branches] == data.majority[:, None]).mean(0)],
        "calibration_error": round(result.calibration_error, 2),
        # JSON has no NaN: a class that never occurs has no recall
        "recall": {name: None if r != r else round(r, 2) for name, r in result.recall.items()},
        "confusion": {"labels": list(data.labels), "rows": result.confusion.tolist()},
    }
    if args.json:
        print(json.dumps(report))
    else:
        _print(report)
    return 0


def _print(report: dict) -> None:
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
