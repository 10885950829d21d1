"""How a branch-by-branch training went, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emotion_core.dependencies import matplotlib_apart
from emotion_core.store.files import atomic_write


def plot_training(rows: Sequence[Any], path: str | Path) -> Path:
    """Write a PNG: the loss above, below it the accuracy of the ensemble and of each branch, over the epochs.

    A dotted line marks where a branch was added; the epochs that tuned valence and arousal have a picture of their
    own on the right, their errors below the loss.

    Args:
        rows: of ``emotion_core.training.history.History``.
    """
    matplotlib_apart()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = [[r for r in rows if r.stage == "categorical"], [r for r in rows if r.stage == "dimensional"]]
    shown = [part for part in parts if part] or [[]]
    figure = Figure(figsize=(4.5 + 5.0 * len(shown), 6.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(shown), squeeze=False, sharex="col", width_ratios=[2, 1][: len(shown)])
    for column, part in enumerate(shown):
        loss, measured = grid[0][column], grid[1][column]
        epochs = range(1, len(part) + 1)
        loss.plot(epochs, [r.train_loss for r in part], color="#444444", marker=".", label="training loss")
        loss.set_ylabel("loss, summed over branches")
        measured.set_xlabel("epoch")
        if part is parts[0]:
            loss.set_title("Branches", loc="left")
            _accuracies(measured, part)
            for x in [x for x, a, b in zip(epochs, part, part[1:], strict=False) if b.branches > a.branches]:
                for axes in (loss, measured):
                    axes.axvline(x + 0.5, color="#bbbbbb", linestyle=":", linewidth=1)
        else:
            loss.set_title("Valence and arousal", loc="left")
            for name, colour in (("valence", "#1f77b4"), ("arousal", "#d62728")):
                values = [getattr(r, f"rmse_{name}") for r in part]
                measured.plot(epochs, values, color=colour, marker=".", label=name)
            measured.set_ylabel("validation RMSE")
        for axes in (loss, measured):
            axes.spines[["top", "right"]].set_visible(False)
            axes.xaxis.get_major_locator().set_params(integer=True)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(frameon=False, fontsize=8, ncols=2)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
    return Path(path)


def _accuracies(axes: Any, rows: Sequence[Any]) -> None:
    """The ensemble thick, each branch thin, from its first epoch on."""
    import matplotlib

    measured = [(x, r) for x, r in enumerate(rows, 1) if r.valid_accuracy == r.valid_accuracy]
    count = max((len(r.branch_accuracy) for _, r in measured), default=0)
    colours = matplotlib.colormaps["viridis"]
    for i in range(count):
        points = [(x, r.branch_accuracy[i]) for x, r in measured if i < len(r.branch_accuracy)]
        colour = colours(0.15 + 0.7 * i / max(1, count - 1))
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=1, label=f"branch {i + 1}")
    points = [(x, r.valid_accuracy) for x, r in measured]
    if points:
        axes.plot(*zip(*points, strict=True), color="black", linewidth=2, label="ensemble (vote)")
    axes.set_ylabel("validation accuracy, %")
