"""How a training went, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.store.files import atomic_write

Row = Mapping[str, Any]

STAGES = {"categorical": "Branches", "dimensional": "Valence and arousal"}
"""Titles of the stages of a training branch by branch; a training of one kind of stage needs none."""
NAMES = {"valid_accuracy": "accuracy", "branch_accuracy": "mean of the branches", "macro_f1": "macro F1"}


def plot_training(rows: Sequence[Row], path: str | Path) -> Path:
    """Write a PNG: the training loss above, below it what was measured on the validation data, over the epochs.

    The accuracy of an ensemble is drawn with that of each branch; a dotted line marks where a branch was added. Epochs
    that tuned valence and arousal have a picture of their own on the right.

    Args:
        rows: one mapping an epoch, as in ``emotion_core.training.history.History``.

    Raises:
        EmotionError: these are no such rows, or there is none.
    """
    if not isinstance(rows, Sequence) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise EmotionError(f"expected the epochs of a training as a list of mappings, got {rows!r:.60}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(row.get("stage", "") for row in rows)) or [""]
    figure = Figure(figsize=(4.5 + 5.0 * len(kinds), 6.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(kinds), squeeze=False, sharex="col", width_ratios=[2] + [1] * (len(kinds) - 1))
    for column, kind in enumerate(kinds):
        part = [row for row in rows if row.get("stage", "") == kind]
        loss, measured = grid[0][column], grid[1][column]
        epochs = range(1, len(part) + 1)
        loss.plot(epochs, [row["train_loss"] for row in part], color="#444444", marker=".", label="training loss")
        loss.set_title(STAGES.get(kind, kind), loc="left")
        loss.set_ylabel("loss, summed over branches" if kind in STAGES else "loss")
        measured.set_xlabel("epoch")
        (_errors if kind == "dimensional" else _accuracies)(measured, part)
        for x, before, after in zip(epochs, part, part[1:], strict=False):
            if after.get("branches", 0) > before.get("branches", 0):
                for axes in (loss, measured):
                    axes.axvline(x + 0.5, color="#bbbbbb", linestyle=":", linewidth=1)
        for axes in (loss, measured):
            axes.spines[["top", "right"]].set_visible(False)
            axes.xaxis.get_major_locator().set_params(integer=True)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(frameon=False, fontsize=8, ncols=2)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
    return Path(path)


def _errors(axes: Any, rows: Sequence[Row]) -> None:
    for name, colour in (("valence", "#1f77b4"), ("arousal", "#d62728")):
        axes.plot(*_points(rows, f"rmse_{name}"), color=colour, marker=".", label=name)
    axes.set_ylabel("validation RMSE")


def _accuracies(axes: Any, rows: Sequence[Row]) -> None:
    """The whole network thick; each branch of an ensemble, or their mean, and other figures thin."""
    import matplotlib

    branches = [row.get("branch_accuracy") for row in rows]
    count = max((len(values) for values in branches if isinstance(values, tuple)), default=0)
    colours = matplotlib.colormaps["viridis"]
    for i in range(count):
        points = [(x, v[i]) for x, v in enumerate(branches, 1) if isinstance(v, tuple) and i < len(v)]
        colour = colours(0.15 + 0.7 * i / max(1, count - 1))
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=1, label=f"branch {i + 1}")
    for name in ("branch_accuracy", "macro_f1"):
        if not count and any(name in row for row in rows):
            axes.plot(*_points(rows, name), color="#1f77b4", linewidth=1, label=NAMES[name])
    whole = "ensemble (vote)" if count else NAMES["valid_accuracy"]
    axes.plot(*_points(rows, "valid_accuracy"), color="black", linewidth=2, label=whole)
    axes.set_ylabel("validation accuracy, %")


def _points(rows: Sequence[Row], name: str) -> tuple[list[int], list[float]]:
    """Epochs, counted from 1, and the values of a column, where something was measured."""
    pairs = [(x, row[name]) for x, row in enumerate(rows, 1) if name in row and row[name] == row[name]]  # no NaN
    return [x for x, _ in pairs], [value for _, value in pairs]
