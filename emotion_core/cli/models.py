"""``emotion models``: the models that are here."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from typing import Any

from emotion_core.cli.models_table import show_table
from emotion_core.errors import EmotionError
from emotion_core.runtime.fusion import FusionCard, fusion_names, is_fusion
from emotion_core.store.card import ModelCard
from emotion_core.store.ensemble import model_card
from emotion_core.store.finding import (
    DEFAULT_MODEL,
    find_file,
    known_files_here,
    model_dir,
    model_names,
)
from emotion_core.store.metadata import read_card


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "List the bundled models, those in the model store and, where torch is installed, the presets "
        "of networks to train; or show one model's card in full."
    )
    parser.add_argument("name", nargs="?", help="show the card of this model (a name or a path)")
    parser.add_argument(
        "--presets", action="store_true", help="list only the presets of networks that `emotion train` makes new"
    )
    parser.add_argument(
        "--table",
        choices=("fer2013", "imagenet"),
        help="print the published table of the Residual Masking Network and, from their cards, what the models here "
        "reach beside it, as Markdown",
    )
    parser.add_argument(
        "--with",
        dest="more",
        nargs="+",
        default=(),
        metavar="M",
        help="with --table: further models, by path (.onnx, .safetensors, .json)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the list or one card; a file in the store that is no model of ours is named, and the rest goes on."""
    if args.presets:
        if args.name:
            raise EmotionError(f"--presets lists all presets: leave {args.name} out")
        presets = _presets()
        if presets is None:
            raise EmotionError("presets need torch, which training needs too: pip install 'emotion-perception[train]'")
        print(json.dumps(presets) if args.json else "\n".join(presets))
        return 0
    if args.more and not args.table:
        raise EmotionError("--with goes with --table")
    if args.table:
        if args.name:
            raise EmotionError(f"--table is of all models: leave {args.name} out, or put it behind --with")
        show_table(args, [*_cards().values(), *(_read(name) for name in args.more)])
        return 0
    if args.name and is_fusion(args.name):
        fusion = FusionCard.load(args.name)
        print(json.dumps(fusion.to_dict(), indent=2)) if args.json else _show_entries(fusion.name, fusion.to_dict())
        return 0
    if args.name:
        card = model_card(args.name)
        print(card.to_json(), end="") if args.json else _show(card)
        return 0
    cards = _cards()
    fusions = [FusionCard.load(name) for name in fusion_names()]
    if args.json:
        print(json.dumps([*(c.to_dict() for c in cards.values()), *(f.to_dict() for f in fusions)]))
        return 0
    for name, card in cards.items():
        best = card.results[0] if card.results else None
        measured = f"{best['accuracy']:.2f} % on {best['dataset']} {best['split']}" if best else "not measured"
        default = " (default)" if name == DEFAULT_MODEL else ""
        taken = ", ".join(f"{item.kind} {'x'.join(map(str, item.shape))}" for item in card.inputs)
        print(f"{name}{default}: {len(card.labels)} labels, {taken}, {measured}, {card.licence}")
    for fusion in fusions:
        print(f"{fusion.name}: {fusion.face_model} and {fusion.voice_model} together{_worth(fusion)}, {fusion.licence}")
    here = [name for name in known_files_here() if find_file(name)]
    print(f"face detectors: haar (with OpenCV){''.join(f', yunet ({name})' for name in here)}")
    if presets := _presets():
        print(f"presets to train: {', '.join(presets)}")
    print(f"model store: {model_dir()}")
    return 0


def _cards() -> dict[str, ModelCard]:
    """Of all models that are here; what is wrong with the others is said."""
    cards: dict[str, ModelCard] = {}
    for name in model_names():
        try:
            cards[name] = model_card(name)
        except EmotionError as error:
            print(f"emotion: left out: {error}", file=sys.stderr)
    return cards


def _read(path: str) -> ModelCard:
    """The card of a model by name or path, also of weights that are not exported."""
    return read_card(path) if path.endswith(".safetensors") else model_card(path)


def _presets() -> list[str] | None:
    """Names of the networks that can be trained from the start; None without torch, which describes them."""
    if importlib.util.find_spec("torch") is None:
        return None
    from emotion_core.models.registry import preset_names

    return list(preset_names())


def _worth(fusion: FusionCard) -> str:
    """What was measured of a fusion."""
    for result in fusion.results:
        if "accuracy" in result:
            said = ", ".join(f"{sense} {value:.2f} %" for sense, value in result["accuracy"].items())
            return f", on {result['protocol']} {said}"
    return ""


def _show(card: ModelCard) -> None:
    _show_entries(card.name, card.to_dict())


def _show_entries(title: str, entries: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from emotion_core.cli.terminal import output

    table = Table(show_header=False, title=Text(title), title_justify="left")
    for name, value in entries.items():
        if value and name != "name":
            text = ", ".join(value) if name == "labels" else value if isinstance(value, str) else json.dumps(value)
            table.add_row(name, Text(text))
    output().print(table)
