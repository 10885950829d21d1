"""How often an answer is wrong, when only the surest answers count."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_core.evaluation.metrics import Classification
from emotion_core.plots.figures import drawing, letters, new_figure, save_figure

THRESHOLD = 0.6
"""Confidence above which the documentation says that a robot may act."""
_MARKED = (0.4, THRESHOLD, 0.8)


def risk_coverage(result: Classification) -> NDArray[np.float64]:
    """For each bin's lower edge of confidence, from the highest: (edge, share of the answers above it, share of these
    that are wrong), as shares of 1; edges above which there is no answer are left out.

    Geifman, El-Yaniv: Selective Classification for Deep Neural Networks. NeurIPS 2017.
    """
    share, accuracy = result.reliability[::-1, 0], result.reliability[::-1, 2]
    covered = np.cumsum(share)
    right = np.cumsum(np.where(share > 0, share * accuracy, 0.0))
    edges = np.arange(len(share))[::-1] / len(share)
    some = covered > 0
    return np.column_stack([edges[some], covered[some], 1 - right[some] / covered[some]])


def plot_risk(results: Mapping[str, Classification], path: str | Path, title: str, latex_fonts: bool = False) -> Path:
    """Write a PNG, PDF or SVG: coverage across, error upwards, the confidences 0.4, 0.6 and 0.8 marked.

    Args:
        results: by what to call them; "" for the only one.
        path: its suffix says the kind.
        latex_fonts: see ``drawing``.
    """
    with drawing(latex_fonts):
        figure = new_figure(5.6, 4.2)
        axes = figure.add_subplot()
        for name, result in results.items():
            curve = risk_coverage(result)
            (line,) = axes.plot(100 * curve[:, 1], 100 * curve[:, 2], marker=".", label=letters(name, latex_fonts))
            for marked in _MARKED:
                near = int(np.abs(curve[:, 0] - marked).argmin())
                if abs(curve[near, 0] - marked) < 1e-6:
                    place = 100 * curve[near, 1], 100 * curve[near, 2]
                    axes.plot(*place, "o", color=line.get_color())
                    axes.annotate(
                        letters(f"above {marked:g}: {100 - place[1]:.1f} right", latex_fonts),
                        place,
                        (-8, 8),
                        textcoords="offset points",
                        ha="right",
                    )
        axes.set_xlim(0, 100)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(letters("answers that count, percent of all", latex_fonts))
        axes.set_ylabel(letters("wrong among them, percent", latex_fonts))
        axes.set_title(letters(title, latex_fonts), loc="left")
        axes.grid(alpha=0.3)
        if any(results):
            axes.legend(frameon=False)
        return save_figure(figure, path)
