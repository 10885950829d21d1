"""How far a model's confidence can be believed, as a picture.

Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks. ICML 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.evaluation.metrics import Classification
from emotion_core.plots.figures import drawing, letters, new_figure, save_figure

_COLOURS = ("#1f5fbf", "#d9730d")
_STYLES = ("o-", "s--")
_LEAST = 10


def plot_reliability(
    results: Mapping[str, Classification], path: str | Path, title: str = "", latex_fonts: bool = False
) -> Path:
    """Write a PNG, PDF or SVG: accuracy over confidence in 15 bins, and below how many samples are in each.

    The curve leaves out bins of fewer than ten samples, whose accuracy is chance.

    Args:
        results: one or two, by what to call them.
        path: its suffix says the kind.
        latex_fonts: see ``drawing``.

    Raises:
        EmotionError: these are no such results, or the file cannot be written.
    """
    if not isinstance(results, Mapping) or not all(isinstance(item, Classification) for item in results.values()):
        raise EmotionError(f"expected results {{name: Classification}}, got {results!r:.60}")
    with drawing(latex_fonts):
        figure = new_figure(4.6, 5.2)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        above.plot([0, 100], [0, 100], ":", color="#888888", label="as confident as accurate")
        for (name, result), colour, style in zip(results.items(), _COLOURS, _STYLES, strict=False):
            bins = 100 * result.reliability
            filled = result.n * result.reliability[:, 0] > _LEAST - 0.5
            begin = f"{letters(name, latex_fonts)}, " if name else ""
            label = f"{begin}calibration error {result.calibration_error:.1f} %"
            above.plot(bins[filled, 1], bins[filled, 2], style, color=colour, markersize=4, label=label)
            edges = np.linspace(0, 100, len(bins) + 1)
            below.stairs(bins[:, 0], edges, fill=len(results) == 1, color=colour, alpha=0.8)
        above.set(ylabel="accuracy, %", xlim=(0, 100), ylim=(0, 100))
        above.set_title(letters(title, latex_fonts), loc="left")
        above.legend(loc="upper left", frameon=False, fontsize="small")
        above.grid(color="#dddddd", linewidth=0.6)
        below.set(xlabel="confidence, %", ylabel="samples, %")
        for axes in (above, below):
            axes.spines[["top", "right"]].set_visible(False)
        return save_figure(figure, path)
