"""``emotion ensemble``: several models that answer as one."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_core.data.registry import DATASETS, SPLITS
from emotion_core.errors import EmotionError

if TYPE_CHECKING:
    from emotion_core.runtime.ensemble import EnsembleOutput
    from emotion_core.runtime.model_ensemble import ModelEnsemble


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Write a card that lists models and stands for them as one, wherever a model is named: their "
        "probabilities are summed, each having seen the face in its own frame and size. With --data the ensemble is "
        "measured on the validation split, and the figures go into its card. With --choose only those become members "
        "that raise its accuracy there, one after the other; the test split is left to measure the result."
    )
    parser.add_argument("models", nargs="+", metavar="M", help="names or paths of models with the same labels")
    parser.add_argument("--out", required=True, metavar="FILE.json", help="the card to write")
    parser.add_argument("--name", help="of the ensemble (default: that of FILE)")
    parser.add_argument("--weights", nargs="+", type=float, metavar="W", help="one for each model (default: all equal)")
    parser.add_argument("--choose", action="store_true", help="choose the members among the models; needs --data")
    parser.add_argument("--most", type=int, metavar="N", help="with --choose: members at most (default: all)")
    parser.add_argument("--data", metavar="DIR", help="folder with the dataset to choose and measure on")
    parser.add_argument("--dataset", choices=DATASETS, default="fer2013", help="what --data is (default: %(default)s)")
    parser.add_argument(
        "--split", choices=SPLITS, default="valid", help="for choosing; the test split is refused (default: valid)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Choose, write and measure."""
    from emotion_core.data.registry import open_dataset
    from emotion_core.evaluation.evaluate import evaluate_protocols
    from emotion_core.evaluation.results import card_results
    from emotion_core.runtime.ensemble import EnsembleOutput
    from emotion_core.runtime.model_ensemble import ModelEnsemble
    from emotion_core.store.ensemble import EnsembleCard, describe_ensemble, new_member
    from emotion_core.store.outputs import Outputs, model_files

    _check(args)
    outputs = Outputs([file for model in args.models for file in model_files(model)], [args.data] if args.data else [])
    path = outputs.claim(args.out, "--out")
    weights = args.weights or [1.0] * len(args.models)
    members = tuple(new_member(m, path, w) for m, w in zip(args.models, weights, strict=True))
    card = EnsembleCard(args.name or path.stem, members)
    ensemble = ModelEnsemble(card, path, threads=0)  # so that what does not go together is never written
    if args.data:
        data = open_dataset(args.dataset, args.data, args.split)
        output = _run(ensemble, data)
        described = ensemble.card
        if args.choose:
            chosen = _choose(output, data, described.labels, args.most)
            output = EnsembleOutput(output.branch_probabilities[:, chosen], output.branch_affect[:, chosen])
            how = {"dataset": args.dataset, "split": args.split, "among": list(args.models)}
            card = replace(card, members=tuple(members[i] for i in chosen), chosen=how)
            described = replace(
                describe_ensemble(card, [ensemble.members[i].card for i in chosen]), labels=described.labels
            )
        results = evaluate_protocols(output, data, described.labels)
        entries = card_results(results, described, args.dataset, args.split)
        card = replace(
            card, results=tuple(entry | ({"chosen_on_it": True} if args.choose else {}) for entry in entries)
        )
    card.write(path)
    _tell(args, card, path)
    return 0


def _check(args: argparse.Namespace) -> None:
    if not args.out.endswith(".json"):
        raise EmotionError(f"--out {args.out}: expected a name that ends in .json")
    if args.weights and len(args.weights) != len(args.models):
        raise EmotionError(f"expected a weight for each of {len(args.models)} models, got {len(args.weights)}")
    if args.choose and not args.data:
        raise EmotionError("--choose needs data that the models were not trained on: give --data DIR")
    if args.choose and args.weights:
        raise EmotionError("--weights are of all models, and --choose takes some: choose first, then weigh those")
    if args.choose and args.split != "valid":
        why = "the result could not be measured there any more" if args.split == "test" else "the models know it"
        raise EmotionError(f"members are chosen on the valid split, not on {args.split}: {why}")
    if args.most is not None and (not args.choose or args.most < 1):
        raise EmotionError(f"--most goes with --choose, and is at least 1, got {args.most}")


def _run(ensemble: ModelEnsemble, data: Any) -> EnsembleOutput:
    from rich.console import Console
    from rich.progress import Progress

    from emotion_core.evaluation.evaluate import run_network

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking at the faces", total=len(data))
        return run_network(
            ensemble, data, ensemble.card.inputs, on_progress=lambda done: progress.update(task, completed=done)
        )


def _choose(output: EnsembleOutput, data: Any, labels: tuple[str, ...], most: int | None) -> list[int]:
    """Indices of the members, by the dataset's first protocol."""
    import numpy as np

    from emotion_core.evaluation.selection import choose_members
    from emotion_core.labels import share_labels

    shared = share_labels(labels, data.labels)
    truth = np.asarray(data.targets)
    indices = next(iter(data.protocols.values()), np.arange(len(truth)))
    known = indices[np.isin(truth[indices], shared.data)]
    if len(shared.names) < 2 or not len(known):
        raise EmotionError(
            f"nothing to choose by: the models have {', '.join(labels)}; the data {', '.join(data.labels)}"
        )
    said = output.restricted(known, shared.model).branch_probabilities
    place = {label: i for i, label in enumerate(shared.data)}
    targets = np.array([place[label] for label in truth[known].tolist()])
    return choose_members([said[:, i] for i in range(said.shape[1])], targets, most)


def _tell(args: argparse.Namespace, card: Any, path: Path) -> None:
    if args.json:
        print(json.dumps({"path": str(path), "name": card.name, "members": [m.model for m in card.members],
                          "results": list(card.results)}))  # fmt: skip
        return
    print(f"{path}: {card.name} of {', '.join(member.model for member in card.members)}")
    for entry in card.results:
        alone = ", ".join(f"{value:.2f}" for value in entry["branch_accuracy"])
        known = "; its members were chosen on these faces, so measure it on others" if args.choose else ""
        print(f"{entry['dataset']} {entry['split']}: {entry['accuracy']:.2f} % of {entry['n']} (alone {alone}){known}")
