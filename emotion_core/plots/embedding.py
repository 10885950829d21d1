"""Where a network puts faces: its features in two dimensions, coloured by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_core.dependencies import matplotlib_apart
from emotion_core.errors import EmotionError
from emotion_core.store.files import atomic_write

_NAMED = 20  # more classes get no legend


def plot_embedding(
    features: NDArray[np.floating],
    classes: NDArray[np.integer],
    labels: Sequence[str],
    path: str | Path,
    centers: NDArray[np.floating] | None = None,
    title: str = "",
) -> Path:
    """Write a PNG: one point a sample. More than two features are seen from where they spread most.

    Args:
        features: (N, D), D at least 2.
        classes: (N,) index into the labels.
        labels: names of the classes.
        centers: (classes, D) of each class, drawn as crosses.
        title: above the picture.

    Raises:
        EmotionError: there are fewer than two samples or features, or the file cannot be written.
    """
    samples, classes = _checked(features, classes, len(labels))
    matplotlib_apart()
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    mean, axes_of_spread, shares = _two_axes(samples)
    points = (samples - mean) @ axes_of_spread
    figure = Figure(figsize=(8.5, 6.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours = matplotlib.colormaps["tab10" if len(labels) <= 10 else "nipy_spectral"]
    size = float(np.clip(20_000 / len(points), 4, 30))
    for number, label in enumerate(labels):
        colour = colours(number if len(labels) <= 10 else number / (len(labels) - 1))
        chosen = points[classes == number]
        name = f"{label} ({len(chosen):,})"
        axes.scatter(chosen[:, 0], chosen[:, 1], s=size, color=colour, alpha=0.6, linewidths=0, label=name)
    if centers is not None:
        places = (np.asarray(centers, np.float64) - mean) @ axes_of_spread
        axes.scatter(
            places[:, 0], places[:, 1], s=110, marker="X", color="black", edgecolors="white", label="centre", zorder=3
        )
    if len(labels) <= _NAMED:
        legend = axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        for handle in legend.legend_handles:
            handle.set_sizes([60])  # type: ignore[union-attr]  # points of a scatter have sizes
    names = [
        f"{name} feature" if samples.shape[1] == 2 else f"{name} principal axis, {100 * share:.0f} % of the spread"
        for name, share in zip(("first", "second"), shares, strict=True)
    ]
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.set_title(title or "Features of the network's last layer", loc="left")
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
    return Path(path)


def _two_axes(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Origin (D,), two axes (D, 2) and their shares of the variance; two features stay as they are."""
    if features.shape[1] == 2:
        spread = features.var(0)
        return np.zeros(2), np.eye(2), spread / max(float(spread.sum()), np.finfo(float).tiny)
    mean = features.mean(0)
    _, lengths, axes = np.linalg.svd(features - mean, full_matrices=False)
    shares = lengths**2 / max(float((lengths**2).sum()), np.finfo(float).tiny)
    # The sign of an axis is arbitrary: the largest entry is positive, so that a picture stays the same.
    signs = np.sign(axes[[0, 1], np.abs(axes[:2]).argmax(1)])
    return mean, (axes[:2] * signs[:, None]).T, shares[:2]


def _checked(features: object, classes: object, count: int) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """(N, D) features and (N,) classes; raises EmotionError for anything else."""
    try:
        samples, chosen = np.asarray(features, np.float64), np.asarray(classes)
    except (TypeError, ValueError) as error:
        raise EmotionError(f"an embedding needs features (N, D) and classes (N,) as arrays: {error}") from None
    if samples.ndim != 2 or min(samples.shape) < 2:
        raise EmotionError(f"an embedding needs at least two samples of two features, got {samples.shape}")
    if not np.isfinite(samples).all():
        raise EmotionError("an embedding needs finite features, got NaN or infinity")
    whole = chosen.shape == samples.shape[:1] and chosen.dtype.kind in "iu"
    if not whole or not 0 <= chosen.min() <= chosen.max() < count:
        raise EmotionError(
            f"an embedding needs {len(samples)} classes in 0..{count - 1}, got {chosen.dtype} of shape {chosen.shape}"
        )
    return samples, chosen
