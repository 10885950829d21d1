"""``emotion eval``: measure a model on a dataset."""

from __future__ import annotations

import argparse
import json
from collections import ChainMap
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from emotion_core.cli.eval_clips import ALL_MODES, run_clips
from emotion_core.cli.eval_pictures import Pictures, add_pictures
from emotion_core.cli.train_audiovisual import CLIP_SETS, add_pairs
from emotion_core.data.clips import MODES, PER_VOICE
from emotion_core.data.registry import DATASETS, SPLITS
from emotion_core.errors import EmotionError
from emotion_core.evaluation.tta import TtaConfig
from emotion_core.store.finding import DEFAULT_MODEL

if TYPE_CHECKING:
    from emotion_core.evaluation.evaluate import CategoryResult

ALL_SETS: ChainMap[str, Any] = ChainMap(dict[str, Any].fromkeys(CLIP_SETS), DATASETS)
"""Names of all that can be measured on, with those that a plug-in registers later."""

BRIEF = ("n", "accuracy", "macro_f1", "calibration_error")


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Measure a model's accuracy on the labels that model and data share; with --tta both without and "
        "with test-time augmentation. FER+ has two protocols, and both are reported: in either, single votes count as "
        "none. plurality: the class with the most votes is the label, faces whose largest class is unknown or NF are "
        "dropped. majority: that class must also hold more than half of the remaining votes; most published figures "
        "are of this kind, and some 3.6 points higher. AffectNet: the folders that `emotion prepare affectnet` writes; "
        "with --dimensional valence and arousal in place of the classes. ravdess: a voice model on recordings, or an "
        "audiovisual one on what `emotion prepare ravdess` wrote, in the five modes of the audiovisual paper. pairs: "
        "faces of FER+ and voices of RAVDESS that share nothing but the class, for audiovisual models and late_fusion."
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
    parser.add_argument(
        "--tta",
        nargs="?",
        type=int,
        const=TtaConfig().views,
        metavar="VIEWS",
        help="measure with test-time augmentation too: the sum over the face, its mirror image, and others turned, "
        f"mirrored and cut, always the same ones (default: {TtaConfig().views} in all)",
    )
    add_pictures(parser)
    parser.add_argument("--into-card", action="store_true", help="also note the figures in the model's card")
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
    from emotion_core.evaluation.results import card_results, chosen_here, parts_of
    from emotion_core.evaluation.tta import run_views
    from emotion_core.runtime.classifier import Classifier

    tta = None if args.tta is None else TtaConfig(views=args.tta)
    pictures = Pictures(args, [args.data])
    if args.dimensional and (pictures or args.protocol or tta):
        pairs = "--confusion, --calibration, --risk, --tta and --protocol"
        raise EmotionError(f"{pairs} go with classes, not with --dimensional")
    if args.into_card and args.dimensional:
        raise EmotionError("--into-card goes with classes, not with --dimensional")
    classifier = Classifier.load(args.model, threads=0)
    card = classifier.card
    data = open_dataset(args.dataset, args.data, args.split, dimensional=args.dimensional)
    if args.protocol and args.protocol not in data.protocols:
        known = ", ".join(data.protocols) or "none"
        raise EmotionError(f"{args.dataset} has no protocol {args.protocol!r}: expected one of its own ({known})")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("evaluating", total=len(data) * (tta.views if tta else 1))

        def tell(done: int) -> None:
            progress.update(task, completed=done)

        if tta is None:
            output, summed = run_network(classifier, data, card.inputs, on_progress=tell), None
        else:
            output, summed = run_views(classifier, data, card.inputs, tta, on_progress=tell)
    head = {"model": card.name, "dataset": args.dataset, "split": args.split}
    if args.dimensional:
        report = {**head, **evaluate_affect(output, data).to_dict()}
        print(json.dumps(report)) if args.json else _print_affect(report)
        return 0
    combination = "vote" if args.vote else "mean"
    results = evaluate_protocols(output, data, card.labels, combination)
    with_tta = None if summed is None else evaluate_protocols(summed, data, card.labels, combination)
    first = args.protocol or next(iter(results))
    if args.protocol:
        results = {first: results[first]}
    report = {**head, **_report(results)}
    if with_tta is not None and tta is not None:
        details = with_tta[first].to_dict()
        report["tta"] = {**asdict(tta), **{key: details[key] for key in (*BRIEF, "recall", "precision", "f1")}}
        for name, figures in report.get("protocols", {}).items():
            figures["tta"] = {key: with_tta[name].to_dict()[key] for key in BRIEF}
    if chosen_here(card, args.dataset, args.split):
        report["chosen_on_it"] = True
    if pictures:
        which = f", {report['protocol']}" if report["protocol"] else ""
        shown = {"without TTA" if with_tta else "": results[first].ensemble}
        if with_tta:
            shown["with TTA"] = with_tta[first].ensemble
        pictures.write(shown, results[first].labels, f"{card.name} on {args.dataset} {args.split}{which}")
    report["parts"] = parts_of(card)
    if args.into_card:
        chosen_tta = None if with_tta is None else {name: with_tta[name] for name in results}
        note_results(args.model, card_results(results, card, args.dataset, args.split, tta, chosen_tta))
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


def note_results(model: str, entries: list[dict[str, Any]]) -> None:
    """Write measurements into the card of a model or an ensemble, in place of older ones of the same kind."""
    from emotion_core.evaluation.results import merged
    from emotion_core.store.ensemble import EnsembleCard
    from emotion_core.store.finding import ENSEMBLE_SUFFIX, find_model

    path = find_model(model)
    if path.suffix != ENSEMBLE_SUFFIX:
        from emotion_core.export.onnx_file import add_results

        add_results(path, entries)
        return
    card = EnsembleCard.load(path)
    replace(card, results=merged(entries, card.results)).write(path)


def _figures(figures: dict[str, Any], more: str = "") -> str:
    return (
        f"accuracy {figures['accuracy']:.2f} % of {figures['n']}{more}, macro F1 {figures['macro_f1']:.2f} %, "
        f"calibration error {figures['calibration_error']:.2f} %"
    )


def _print_affect(report: dict[str, Any]) -> None:
    print(f"{report['model']} on {report['dataset']} {report['split']}, {report['n']} faces")
    for name in ("valence", "arousal"):
        values = report[name]
        print(f"{name}: RMSE {values['rmse']:.3f}, CCC {values['ccc']:.3f}, Pearson {values['pearson']:.3f}")


def _print(report: dict[str, Any]) -> None:
    from rich.table import Table

    from emotion_core.cli.terminal import output
    from emotion_core.evaluation.results import left_out_text

    labels = report["confusion"]["labels"]
    table = Table(
        title=f"{report['model']} on {report['dataset']} {report['split']}: truths in rows, predictions in columns"
    )
    for name in ("", *labels):
        table.add_column(name, justify="right", overflow="fold")
    each = Table()
    for name in ("", "recall %", "precision %", "F1 %"):
        each.add_column(name, justify="right", overflow="fold")
    for name, row in zip(labels, report["confusion"]["rows"], strict=True):
        table.add_row(name, *map(str, row))
        shares = (report[figure][name] for figure in ("recall", "precision", "f1"))
        each.add_row(name, *("" if share is None else f"{share:.1f}" for share in shares))
    console = output()
    console.print(table)
    console.print(each)
    members = report["branch_accuracy"]
    combined = ""
    if len(members) > 1:
        alone = ", ".join(map(str, members))
        combined = f" ({report['combination']} of {len(members)} {report['parts']}, alone {alone})"
    for name, figures in report.get("protocols", {"": report}).items():
        begin = f"{name}: " if name else ""
        console.print(begin + _figures(figures, combined if name == report["protocol"] else ""))
        if "tta" in figures:
            console.print(
                f"{begin}with test-time augmentation of {report['tta']['views']} views {_figures(figures['tta'])}"
            )
    if report.get("chosen_on_it"):
        console.print("The members were chosen on these very faces: measure on others what the ensemble is worth.")
    if text := left_out_text(report):
        console.print(text)
