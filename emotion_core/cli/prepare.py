"""``emotion prepare``: bring a dataset into the form that training reads."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from emotion_core.cli.progress import item_progress
from emotion_core.errors import EmotionError
from emotion_core.vision.detect import DETECTORS

if TYPE_CHECKING:
    from emotion_core.data.affectnet_prepare import PreparationReport

SETS = {"unlabeled": 0, "train": 1, "valid": 2}


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = "Bring a dataset into the form that training reads."
    datasets = parser.add_subparsers(dest="dataset", metavar="DATASET", required=True)
    affectnet = datasets.add_parser(
        "affectnet",
        help="cut the faces out of AffectNet's pictures",
        description="Cut the faces of one set out of AffectNet's pictures: 96 x 96 pixels, 500 a folder, with label, "
        "valence and arousal in their names. May be stopped at any time: the same command goes on from there. What "
        "was left out and why is printed, and written to report.json beside the faces.",
    )
    affectnet.add_argument(
        "--images",
        required=True,
        metavar="DIR",
        help="folder that the paths in the table start from; of the release with images/N.jpg the folder of a set, or "
        "of both",
    )
    affectnet.add_argument(
        "--annotations", required=True, metavar="PATH",
        help="a table (CSV), or the folder with training.csv, validation.csv and automatically_annotated.csv; of the "
        "release with annotations/N_exp.npy as --images",
    )  # fmt: skip
    affectnet.add_argument("--out", required=True, metavar="DIR", help="folder for the faces")
    affectnet.add_argument("--set", required=True, choices=SETS, help="which faces")
    affectnet.add_argument("--workers", type=int, default=0, metavar="N", help="threads (default: one a usable core)")
    affectnet.add_argument("--json", action="store_true", help="print the report as one JSON line")
    affectnet.set_defaults(run=run)
    _add_ravdess(datasets)


def _add_ravdess(datasets: argparse._SubParsersAction) -> None:
    ravdess = datasets.add_parser(
        "ravdess",
        help="cut faces and sound out of RAVDESS's videos",
        description="Cut the face out of the frames that the audiovisual network looks at, compute the features of "
        "what it hears, and give each actor to one split. Writes into a folder of the dataset, prepared/, one folder "
        "for each choice of settings. May be stopped at any time: the same command goes on from there, and nobody "
        "changes the split. What was left out and why is in skipped.csv beside the clips.",
    )
    ravdess.add_argument(
        "--data", required=True, metavar="DIR", help="folder with ACTOR01/01-01-….mp4 and 03-01-….wav and so on"
    )
    ravdess.add_argument("--size", type=int, metavar="PX", help="side of the faces (default: the published network's)")
    ravdess.add_argument("--frames", type=int, metavar="N", help="of a clip (default: the published network's)")
    ravdess.add_argument(
        "--seed", type=int, default=0, metavar="N",
        help="decides the split, but for the authors' actors, where all are there (default: %(default)s)",
    )  # fmt: skip
    ravdess.add_argument("--detector", default="auto", choices=DETECTORS, help="face detector (default: %(default)s)")
    ravdess.add_argument("--workers", type=int, default=0, metavar="N", help="threads (default: one a usable core)")
    ravdess.add_argument("--json", action="store_true", help="print the report as one JSON line")
    ravdess.set_defaults(run=run_ravdess)


def run_ravdess(args: argparse.Namespace) -> int:
    """Prepare RAVDESS and tell what was done."""
    from emotion_core.data.clip_files import ClipSpec
    from emotion_core.data.ravdess_clips import prepare_ravdess
    from emotion_core.store.files import user_path

    spec = ClipSpec(**{name: value for name in ("frames", "size") if (value := getattr(args, name)) is not None})
    with item_progress("clips", "clips") as on_progress:
        report = prepare_ravdess(
            user_path(args.data), spec, seed=args.seed, detector=args.detector, workers=args.workers,
            on_progress=on_progress,
        )  # fmt: skip
    if args.json:
        print(json.dumps(asdict(report)))
    else:
        lines = [("written", report.written, ""), ("already there", report.already_there, "")]
        if report.skipped:
            code, reason = next(iter(report.skipped.items()))
            lines.append(("skipped", len(report.skipped), f"e.g. {code}: {reason}"))
        _show_lines(report.folder, lines)
        print("; ".join(f"{name}: actors {', '.join(actors)}" for name, actors in report.actors.items()))
    if report.written + report.already_there == 0:
        raise EmotionError(f"no clip could be prepared: {next(iter(report.skipped.values()))}")
    return 0


def run(args: argparse.Namespace) -> int:
    """Prepare AffectNet and tell what was done."""
    from emotion_core.data.affectnet_prepare import prepare_affectnet
    from emotion_core.store.files import prepare_folder, user_path

    images, annotations, out = user_path(args.images), user_path(args.annotations), prepare_folder(args.out)
    with item_progress("faces", "rows") as on_progress:
        report = prepare_affectnet(
            images, annotations, out, SETS[args.set], workers=args.workers, on_progress=on_progress
        )
    if args.json:
        print(json.dumps(asdict(report)))
    else:
        _show(report)
    if report.written + report.already_there == 0:
        first = next((f"{reason} ({texts[0]})" for reason, texts in report.examples.items()), "the table has no row")
        raise EmotionError(
            f"no face of {report.rows} rows could be prepared: {first}; check --images and --annotations"
        )
    return 0


def _show(report: PreparationReport) -> None:
    lines = [("written", report.written, ""), ("already there", report.already_there, "")]
    for reason, count in report.skipped.items():
        if count:
            lines.append((f"skipped: {reason}", count, f"e.g. {report.examples[reason][0]}"))
    _show_lines(f"{report.folder}: {report.rows} rows", lines)


def _show_lines(title: str, lines: list[tuple[str, int, str]]) -> None:
    """A table on a terminal, else a line for each thing: what, how many, an example."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        print(title)
        for name, count, example in lines:
            print(f"{name}: {count}{example and ', '}{example}")
        return
    table = Table(title=escape(title), title_justify="left", show_header=False)
    for name, count, example in lines:
        table.add_row(name, str(count), escape(example))
    console.print(table)
