"""``emotion models --table``: the published benchmark, and what was trained here beside it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emotion_core.evaluation.published import Row
    from emotion_core.store.card import ModelCard

_HEAD = ("network", "published %", "here %", "with TTA %", "split, n", "px", "model", "seed")
_NONE = "not trained here"


def show_table(args: argparse.Namespace, cards: Sequence[ModelCard]) -> None:
    """Print the table from the cards of the models that are here."""
    from emotion_core.evaluation.published import TABLES, compare

    rows = compare(args.table, cards)
    if args.json:
        print(json.dumps([row.to_dict() for row in rows]))
        return
    sizes = {card.name: "/".join(str(max(item.size)) for item in card.inputs if item.shows_faces) for card in cards}
    cells = [_cells(row, sizes) for row in rows]
    where = "PrivateTest; that of ResMaskingNet with TTA" if args.table == "fer2013" else "validation split, top-1"
    print(f"{TABLES[args.table][0]}: published by Pham, Vu, Tran ({where}), and measured here (split as given)\n")
    aligned = ["---" if name in ("network", "split, n", "model") else "---:" for name in _HEAD]
    for line in (_HEAD, aligned, *cells):
        print(f"| {' | '.join(line)} |")
    commands = [(row.model, (row.training or {}).get("command")) for row in rows if row.model]
    if any(command for _, command in commands):
        print()
    for name, command in commands:
        if command:
            print(f"- {name}: `{command}`")


def _cells(row: Row, sizes: dict[str, str]) -> list[str]:
    published = "" if row.published is None else f"{row.published:.2f}"
    if row.result is None:
        return [row.network, published, _NONE, *[""] * (len(_HEAD) - 3)]
    result, training = row.result, row.training or {}
    tta = result.get("tta")
    return [
        row.network,
        published,
        f"{result['accuracy']:.2f}",
        f"{tta['accuracy']:.2f}" if tta else "",
        f"{result['split']}, {result['n']}" + (", chosen on it" if result.get("chosen_on_it") else ""),
        sizes.get(row.model, ""),
        row.model,
        str(training.get("seed", "")),
    ]
