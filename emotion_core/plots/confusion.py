"""A confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_core.dependencies import matplotlib_apart
from emotion_core.store.files import atomic_write


def plot_confusion(
    counts: NDArray[np.integer], labels: Sequence[str], path: str | Path, title: str = "", what: str = "faces"
) -> Path:
    """Write a PNG: truths in rows, predictions in columns, each row in percent with its count beside it.

    Args:
        counts: (classes, classes), rows are truths.
        labels: names of the classes.
        what: was counted.
    """
    matplotlib_apart()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = np.asarray(counts)
    totals = counts.sum(1, keepdims=True)
    shares = 100 * counts / np.maximum(totals, 1)
    side = max(4.5, 0.72 * len(labels) + 2.2)
    figure = Figure(figsize=(side + 0.6, side), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column]:
            share = shares[row, column]
            text = f"{share:.0f}" if share >= 1 else "<1"
            axes.text(column, row, text, ha="center", va="center", color="white" if share > 55 else "#222222")
    ticks = range(len(labels))
    axes.set_xticks(ticks, labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, [f"{name} ({total:,})" for name, total in zip(labels, totals[:, 0], strict=True)])
    axes.set_xlabel("predicted, percent of the row")
    axes.set_ylabel(f"true ({what})")
    axes.set_title(title or "Share of each row in percent", loc="left")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
    return Path(path)
