"""``emotion yardstick``: how good a recipe is, by five folds and by photos, with intervals."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_core.data.registry import DATASETS
from emotion_core.errors import EmotionError
from emotion_core.vision.detect import DETECTORS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emotion_core.evaluation.evaluate import Network
    from emotion_core.evaluation.folds import FoldAnswers
    from emotion_core.evaluation.intervals import Figures
    from emotion_core.evaluation.photos import Photos
    from emotion_core.store.calibration import Calibration
    from emotion_core.store.card import ModelCard

FOLDS = "five folds of Training and PublicTest"
FRESH = "PublicTest without the photos of Training"
_WIDTH = 140  # of a table that goes into a file
_SHOWN = ("accuracy", "macro_recall", "calibration_error")
TOGETHER = "together"
PHOTOS_PX = 640
"""Longer side in which faces are searched in photos; part of the protocol, whatever is the default elsewhere."""


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Measure a recipe rather than one network: each fold of the dataset is judged by the network "
        "that has not learned from it (train them with `emotion train classifier --fold K --out "
        "RUN/fold_K`), and photos by each of these networks. FER+ is parted without its published "
        "splits, since a fifth of PublicTest shows photos that Training shows, too; faces of one photo "
        "are in one fold. Printed are accuracy, mean recall of the classes and expected calibration "
        "error in percent, each with the interval in which 95 % of 1,000 bootstrap samples lie. Make "
        "choices by this, and measure a finished model once with `emotion eval`."
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder with fold_1, fold_2, …, or a model that learned from Training: of it are measured the faces of "
        "PublicTest whose photos Training does not show",
    )
    parser.add_argument(
        "--dataset",
        choices=[name for name, kind in DATASETS.items() if kind.open_fold],
        default="ferplus",
        help="default: %(default)s",
    )
    parser.add_argument("--data", metavar="DIR", help="folder with the dataset, for the folds")
    parser.add_argument("--photos", metavar="DIR", help="folder of photos with a labels.csv (columns file, emotion)")
    parser.add_argument(
        "--detector", choices=DETECTORS, default="auto", help="for the photos, at 640 pixels (default: %(default)s)"
    )
    parser.add_argument(
        "--together",
        action="store_true",
        help="also measure all of them as one, by their mean probability, on the faces that all were asked about",
    )
    parser.add_argument(
        "--answers",
        metavar="FILE.npz",
        help="write what the last row says about each face, for `--teacher FILE.npz` of a training",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="fit temperature and prior on the folds, and show what they give; see --into",
    )
    parser.add_argument(
        "--into",
        metavar="MODEL",
        help="write the calibration and the figures of the last row into the card of this .onnx, which was trained by "
        "the same recipe or is the one that was measured",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from rich.console import Console
    from rich.progress import Progress

    from emotion_core.data.ferplus_folds import COUNT
    from emotion_core.data.registry import open_dataset
    from emotion_core.evaluation.folds import ask_folds, ask_fresh, together
    from emotion_core.evaluation.photos import load_photos
    from emotion_core.store.finding import find_model
    from emotion_core.vision.detect import create_detector

    folders = [run for run in args.runs if Path(run).is_dir()]
    if not args.data and (folders or not args.photos):
        raise EmotionError("faces are missing: give --data DIR with the dataset, or for models --photos DIR")
    if (args.answers or args.calibrate or args.into) and not args.data:
        raise EmotionError("--answers, --calibrate and --into need --data DIR")
    if args.together and args.answers and 0 < len(folders) < len(args.runs):
        raise EmotionError("--answers is of all faces, and folds and models --together know only those new to all")
    answers_file = _claim(args, folders)
    rows: list[dict[str, Any]] = []
    asked: list[FoldAnswers] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        photos = None
        if args.photos:
            task = progress.add_task("finding faces", total=None)
            detector = create_detector(args.detector, PHOTOS_PX)
            photos = load_photos(
                args.photos, detector, lambda done, of: progress.update(task, completed=done, total=of)
            )
            progress.remove_task(task)
        for name in args.runs:
            task = progress.add_task(f"asking {name}", total=COUNT)
            row: dict[str, Any] = {"run": Path(name).name}
            if name in folders:
                answers = ask_folds(
                    name,
                    args.dataset,
                    args.data,
                    open_uncalibrated,
                    COUNT,
                    lambda done, of, task=task: progress.update(task, completed=done, total=of),  # type: ignore[misc]
                )
                asked.append(answers)
                row |= _of_folds(answers, None)
            elif args.data:
                asked.append(ask_fresh(find_model(name), args.dataset, args.data, open_uncalibrated))
                row |= _of_folds(asked[-1], None)
                row["fresh"] = True
            if photos is not None:
                row["photos"] = _of_photos(_networks(name, name in folders, COUNT), photos).to_dict()
                row["photos"]["without_face"] = photos.without_face
            rows.append(row)
            progress.remove_task(task)
        if args.together and asked:
            asked.append(together(asked))
            rows.append({"run": TOGETHER, **_of_folds(asked[-1], None)})
            rows[-1] |= {"fresh": True} if len(folders) < len(args.runs) else {}
    report: dict[str, Any] = {"dataset": args.dataset, "detector": args.detector, "rows": rows}
    if args.calibrate or args.into:
        learned = None
        if rows[-1].get("fresh"):
            learned = open_dataset(args.dataset, args.data, "train").targets
        calibration, steps = fit(asked[-1], args.dataset, learned)
        report["calibration"] = vars(calibration)
        report["steps"] = [vars(step) for step in steps]
        rows.append({"run": f"{rows[-1]['run']}, calibrated", **_of_folds(asked[-1], calibration)})
        if args.into:
            _note(args.into, calibration, rows[-1], args.dataset, FRESH if rows[-2].get("fresh") else FOLDS)
    if answers_file is not None:
        asked[-1].save(answers_file)
    print(json.dumps(report)) if args.json else _print(report)
    return 0


def _claim(args: argparse.Namespace, folders: list[str]) -> Path | None:
    """The file for the answers; raises EmotionError where what is asked for cannot be written, before the work."""
    from emotion_core.evaluation.folds import ANSWERS_SUFFIX
    from emotion_core.export.onnx_file import check_target
    from emotion_core.store.finding import find_model
    from emotion_core.store.outputs import Outputs, model_files

    if args.into:
        check_target(find_model(args.into))
    if not args.answers:
        return None
    if Path(args.answers).suffix != ANSWERS_SUFFIX:
        raise EmotionError(f"--answers {args.answers}: expected a file ending in {ANSWERS_SUFFIX}")
    models = [file for run in args.runs if run not in folders for file in model_files(run)]
    return Outputs(models, [args.data, *folders]).claim(args.answers, "--answers")


def open_uncalibrated(path: Path) -> tuple[Network, ModelCard]:
    """A network as it was trained, whatever its card says about its probabilities."""
    if path.suffix == ".safetensors":
        from emotion_core.export.torch_network import TorchNetwork
        from emotion_core.export.weights import load_network

        network, card = load_network(path)
        return TorchNetwork(network), card
    from emotion_core.runtime.classifier import Classifier

    classifier = Classifier.load(path, threads=0)
    return classifier.uncalibrated, classifier.card


def fit(answers: FoldAnswers, dataset: str, learned: NDArray[np.int64] | None = None) -> tuple[Calibration, list[Any]]:
    """Temperature and prior, by faces that were not learned from.

    Args:
        learned: (N,) the classes of those that were; by default as frequent as in the answers.
    """
    import numpy as np

    from emotion_core.evaluation.calibrate import fit_calibration

    classes = answers.truth if learned is None else learned
    counts = np.maximum(np.bincount(classes, minlength=len(answers.labels)), 0.5)  # no class is impossible
    shares = counts / counts.sum()
    indices = next(iter(answers.protocols.values()))
    output = answers.output().restricted(indices, range(len(answers.labels)))
    return fit_calibration(output, answers.truth[indices], shares.tolist(), dataset)


def _networks(name: str, is_run: bool, count: int) -> list[tuple[Network, ModelCard]]:
    from emotion_core.evaluation.folds import find_fold
    from emotion_core.runtime.classifier import Classifier

    if is_run:
        return [open_uncalibrated(find_fold(name, fold)) for fold in range(1, count + 1)]
    classifier = Classifier.load(name, threads=0)
    return [(classifier, classifier.card)]


def _of_folds(answers: FoldAnswers, calibration: Calibration | None) -> dict[str, Any]:
    """Figures of each protocol, and the accuracy in each fold under the first one."""
    from emotion_core.evaluation.intervals import figures

    output = answers.output()
    if calibration is not None:
        output = output.calibrated(calibration.temperature, calibration.offsets("", answers.labels))
    said = output.probabilities
    found = {
        name: figures(answers.truth[indices], said[indices]).to_dict() for name, indices in answers.protocols.items()
    }
    first = next(iter(answers.protocols.values()))
    right = said[first].argmax(1) == answers.truth[first]
    folds = answers.folds[first]
    each = [round(100 * float(right[folds == fold].mean()), 2) for fold in sorted(set(folds.tolist()))]
    return {"protocols": found, "accuracy_of_folds": each}


def _of_photos(networks: list[tuple[Network, ModelCard]], photos: Photos) -> Figures:
    """Of all networks together; what is drawn for the interval is a photo."""
    import numpy as np

    from emotion_core.evaluation.evaluate import run_network
    from emotion_core.evaluation.intervals import figures

    said = [run_network(network, photos, card.inputs).probabilities for network, card in networks]
    truth = [photos.classes(card.labels) for _, card in networks]
    groups = np.tile(np.arange(len(photos)), len(networks))
    return figures(np.concatenate(truth), np.concatenate(said), groups=groups)


def _note(model: str, calibration: Calibration, row: dict[str, Any], dataset: str, split: str) -> None:
    """The calibration and the figures in a model's card."""
    from dataclasses import asdict

    from emotion_core.export.onnx_file import change_card
    from emotion_core.runtime.processor import describe_cpu
    from emotion_core.store.finding import find_model
    from emotion_core.store.metadata import read_card

    card = read_card(find_model(model))
    title = DATASETS[dataset].title
    entries = [
        {
            "dataset": title,
            "split": split,
            "protocol": f"{figures_of}, calibrated" if figures_of else "calibrated",
            "n": values["n"],
            **{name: values[name][0] for name in _SHOWN},
            "intervals": {name: values[name][1:] for name in _SHOWN},
            "precision": card.precision,
            **({"cpu": describe_cpu()} if card.precision == "int8" else {}),
        }
        for figures_of, values in row["protocols"].items()
    ]
    change_card(find_model(model), results=entries, calibration=asdict(calibration))


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{report['dataset']}: faces that were not learned from, with 95 % intervals", box=None)
    for name in ("run", "measured on", "n", "accuracy %", "macro recall %", "calibration error %"):
        table.add_column(name, justify="left" if name in ("run", "measured on") else "right", overflow="fold")
    for row in report["rows"]:
        parts = {**row.get("protocols", {}), **({"photos": row["photos"]} if "photos" in row else {})}
        for i, (name, values) in enumerate(parts.items()):
            shown = [f"{values[key][0]:.2f} [{values[key][1]:.1f}, {values[key][2]:.1f}]" for key in _SHOWN]
            where = f"{name}, fresh" if row.get("fresh") and name != "photos" else name
            table.add_row("" if i else row["run"], where or "folds", f"{values['n']:,}", *shown)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(table)
    for row in report["rows"]:
        if len(row.get("accuracy_of_folds", ())) > 1:
            console.print(f"{row['run']}: accuracy in the folds {', '.join(map(str, row['accuracy_of_folds']))}")
    if "calibration" in report:
        chosen = report["calibration"]
        console.print(
            f"temperature {chosen['temperature']}, prior {', '.join(f'{share:.3f}' for share in chosen['prior'])}"
        )
