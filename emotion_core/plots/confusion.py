"""A confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.plots.figures import drawing, letters, new_figure, save_figure


def plot_confusion(
    counts: NDArray[np.integer],
    labels: Sequence[str],
    path: str | Path,
    title: str = "",
    what: str = "faces",
    latex_fonts: bool = False,
) -> Path:
    """Write a PNG, PDF or SVG: truths in rows, predictions in columns, each row in percent with its count beside it.

    Args:
        counts: (classes, classes), rows are truths.
        labels: names of the classes.
        path: its suffix says the kind.
        what: was counted.
        latex_fonts: see ``drawing``.

    Raises:
        EmotionError: these are no counts of these classes, or the file cannot be written.
    """
    return plot_confusions({title: counts}, labels, path, what, latex_fonts)


def plot_confusions(
    counts: Mapping[str, NDArray[np.integer]],
    labels: Sequence[str],
    path: str | Path,
    what: str = "faces",
    latex_fonts: bool = False,
) -> Path:
    """The same of several models side by side, each below its title; see ``plot_confusion``."""
    checked = {title: checked_counts(each, len(labels)) for title, each in counts.items()}
    side = max(4.5, 0.72 * len(labels) + 2.2)
    with drawing(latex_fonts):
        figure = new_figure((side + 0.6) * len(checked), side)
        for number, (title, each) in enumerate(checked.items(), 1):
            _draw(figure.add_subplot(1, len(checked), number), each, labels, title, what, latex_fonts)
        return save_figure(figure, path)


def _draw(
    axes: Any, counts: NDArray[np.integer], labels: Sequence[str], title: str, what: str, latex_fonts: bool
) -> None:
    totals = counts.sum(1, keepdims=True)
    shares = 100 * counts / np.maximum(totals, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column]:
            share = shares[row, column]
            text = letters(f"{share:.0f}" if share >= 1 else "<1", latex_fonts)
            axes.text(column, row, text, ha="center", va="center", color="white" if share > 55 else "#222222")
    ticks, names = range(len(labels)), [letters(label, latex_fonts) for label in labels]
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, [f"{name} ({total:,})" for name, total in zip(names, totals[:, 0], strict=True)])
    axes.set_xlabel("predicted, percent of the row")
    axes.set_ylabel(f"true ({what})")
    axes.set_title(letters(title, latex_fonts) or "Share of each row in percent", loc="left")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def checked_counts(counts: object, classes: int) -> NDArray[np.integer]:
    """(classes, classes) whole numbers from 0; raises EmotionError for anything else."""
    try:
        found = np.asarray(counts)
    except ValueError:  # rows of different lengths
        found = np.empty(0)
    if found.shape != (classes, classes) or not classes or found.dtype.kind not in "iu" or found.min() < 0:
        raise EmotionError(
            f"expected counts ({classes}, {classes}) of the {classes} labels as whole numbers from 0, got "
            f"{found.dtype} of shape {found.shape}"
        )
    return found
