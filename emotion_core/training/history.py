"""What happened in every epoch, as a table, in TensorBoard and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from emotion_core.store.files import atomic_write
from emotion_core.training.pictures import draw_history

NAN = float("nan")


class History(list[dict[str, Any]]):
    """One row an epoch, in the order of the training.

    A row has every column: numbers, NaN where nothing was measured; what is measured of each branch is a tuple.
    """

    def __init__(self, columns: Sequence[str], rows: Iterable[dict[str, Any]] = ()) -> None:
        super().__init__(rows)
        self.columns = tuple(columns)

    def add(self, values: dict[str, Any]) -> dict[str, Any]:
        """Append a row, with NaN for the columns that are missing; returns it."""
        unknown = set(values) - set(self.columns)
        assert not unknown, f"no columns of this history: {sorted(unknown)}"
        row = {name: values.get(name, NAN) for name in self.columns}
        self.append(row)
        return row

    def to_list(self) -> list[dict[str, Any]]:
        """Copies of the rows."""
        return [dict(row) for row in self]

    def write_csv(self, path: str | Path) -> None:
        """One line an epoch."""
        with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows({name: _cell(value) for name, value in row.items()} for row in self)

    def log_last(self, board: Any) -> None:
        """The last row as scalars of a TensorBoard ``SummaryWriter``."""
        last = self[-1]
        prefix = f"{last['stage']}/" if "stage" in last else ""
        for name, value in last.items():
            if isinstance(value, tuple):
                for i, part in enumerate(value, 1):
                    board.add_scalar(f"branches/{i}", part, len(self))
            elif not isinstance(value, str) and name not in ("epoch", "branches") and value == value:
                board.add_scalar(prefix + name, value, len(self))

    def plot(self, path: str | Path) -> None:
        """The epochs as a PNG, where matplotlib is there."""
        draw_history(self, path)


def in_words(row: dict[str, Any], epochs: int) -> str:
    """A row as a line for people: ``epoch 3/20: loss 0.5312, valid accuracy 81.20, 12 s``."""
    head = f"{row['stage']}, {_count(row['branches'], 'branch')}, " if "stage" in row else ""
    parts = [f"loss {row['train_loss']:.4f}"]
    for name, value in row.items():
        known = name in ("stage", "branches", "epoch", "lr", "train_loss", "seconds")
        if known or isinstance(value, str | tuple) or value != value:
            continue
        parts.append(f"{name.replace('_', ' ')} {value:.{3 if name.startswith('rmse') else 2}f}")
    return f"{head}epoch {row['epoch']}/{epochs}: {', '.join(parts)}, {row['seconds']:.0f} s"


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}es"


def _cell(value: Any) -> Any:
    return " ".join(f"{part:.2f}" for part in value) if isinstance(value, tuple) else value
