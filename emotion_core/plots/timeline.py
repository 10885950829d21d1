"""A picture of a run: who showed which emotion when, valence and arousal, and the latency."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.dependencies import matplotlib_apart
from emotion_core.plots.spans import Person, Span, people, period_s, spans
from emotion_core.store.files import atomic_write
from emotion_core.types import EmotionEstimate, check_estimates
from emotion_core.vision.palette import colour, hex_colour, ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_PX = (1600, 900)
MAX_PEOPLE = 6
"""Strips are drawn for this many people, those who were seen longest."""

_DPI = 100
_TEXT, _MUTED, _GRID, _NOBODY = "#1f2328", "#59636e", "#d8dee4", "#f0f2f4"
_VALENCE, _AROUSAL, _LATENCY = "#0b62a4", "#b35900", "#59636e"
_STYLE: dict[str, Any] = {"family": "DejaVu Sans", "parse_math": False}


def plot_timeline(
    rows: Sequence[EmotionEstimate],
    path: str | Path,
    title: str,
    *,
    stamps_s: Sequence[float] | None = None,
    latency_ms: Sequence[tuple[float, float]] | None = None,
) -> None:
    """Draw a run into a PNG of SIZE_PX; the file is whole or absent.

    Probabilities, valence and arousal are those of the person who was seen in the most frames. Times are
    seconds from the start. A person who is not seen leaves a gap; nobody at all leaves an empty picture that
    says so.

    Args:
        rows: estimates in any order.
        path: the file to write; its folder exists.
        title: headline, plain text.
        stamps_s: times of all processed frames, also of those without people. Without them a gap is a pause
            longer than 2.5 times the usual distance.
        latency_ms: (stamp in seconds, latency in milliseconds) of each frame.

    Raises:
        EmotionError: the rows are no estimates.
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    check_estimates(rows)
    matplotlib_apart()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    stamps = np.unique(np.array(stamps_s if stamps_s is not None else [row.stamp_s for row in rows], float))
    start = float(stamps[0]) if len(stamps) else 0.0
    period = period_s(stamps)
    length = float(stamps[-1]) - start + period if len(stamps) else 0.0
    seen = people(rows)
    affect = bool(seen) and bool(np.isfinite(seen[0].affect).any())

    figure = Figure(figsize=(SIZE_PX[0] / _DPI, SIZE_PX[1] / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    strips = min(len(seen), MAX_PEOPLE) if len(seen) > 1 else 0
    heights = [4.2] + ([0.3 * strips + 0.3] if strips else []) + [1.7] * affect + [1.3] * bool(latency_ms)
    axes = list(
        figure.subplots(
            len(heights),
            1,
            sharex=True,
            squeeze=False,
            gridspec_kw={
                "height_ratios": heights,
                "left": 0.075,
                "right": 0.875,
                "top": 0.86,
                "bottom": 0.075,
                "hspace": 0.16,
            },
        )[:, 0]
    )
    _headline(figure, title, _facts(seen, len(stamps), length, rows))
    for axis in axes:
        _plain(axis)
    # Each frame stands for the time around it.
    axes[0].set_xlim(-period / 2, max(length, period) - period / 2)
    todo = iter(axes)
    _probabilities(next(todo), seen, stamps, start, period)
    if strips:
        _people(next(todo), seen, stamps, start, period)
    if affect:
        _affect(next(todo), seen[0], stamps, start, period)
    if latency_ms:
        _latency(next(todo), np.array(latency_ms, float), start)
    axes[-1].set_xlabel("time [s]", color=_TEXT, fontsize=12)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI)


def _facts(seen: Sequence[Person], frames: int, length: float, rows: Sequence[EmotionEstimate]) -> str:
    models = sorted({row.model for row in rows if row.model})
    count = {0: "nobody seen", 1: "1 person"}.get(len(seen), f"{len(seen)} people")
    if len(seen) > 1:
        count += f", in detail {seen[0].name}, who was seen longest"
    facts = [f"{length:.1f} s", f"{frames} frame{'s' * (frames != 1)}", count]
    return "   ·   ".join(facts + ([f"model {', '.join(models)}"] if models else []))


def _headline(figure: Any, title: str, facts: str) -> None:
    lines = textwrap.wrap(title, 90, max_lines=1, placeholder=" …") or [""]
    figure.text(0.075, 0.935, lines[0], color=_TEXT, fontsize=19, fontweight="bold", **_STYLE)
    figure.text(0.075, 0.895, textwrap.shorten(facts, 130, placeholder=" …"), color=_MUTED, fontsize=12.5, **_STYLE)


def _plain(axis: Axes) -> None:
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(_GRID)
    axis.tick_params(colors=_MUTED, labelcolor=_TEXT, labelsize=11, length=3)


def _margin(axis: Axes, y: float, text: str, color: str, **kwargs: Any) -> None:
    """Text right of the axes, at a height in [0, 1]."""
    axis.text(1.012, y, text, transform=axis.transAxes, color=color, va="center", fontsize=12, **_STYLE, **kwargs)


def _probabilities(
    axis: Axes, seen: Sequence[Person], stamps: NDArray[np.float64], start: float, period: float
) -> None:
    axis.set_ylim(0, 1)
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100"])
    axis.set_ylabel("probability [%]", color=_TEXT, fontsize=12)
    axis.set_facecolor(_NOBODY)
    if not seen:
        text = "nobody was seen" if len(stamps) else "no frame was processed"
        axis.text(0.5, 0.5, text, transform=axis.transAxes, color=_MUTED, fontsize=22, ha="center", **_STYLE)
        return
    person = seen[0]
    parts = spans(person, stamps, period)
    for span in parts:
        x, values = _widened(span, period, start, person.probabilities)
        axis.stackplot(x, values.T, colors=[hex_colour(label) for label in person.labels], linewidth=0)
        _name_bands(axis, person.labels, x, values)
    # Keys as far apart as lines of text, closer when there are too many for that.
    step = min(1 / (len(person.labels) + 1), 38 / axis.get_window_extent().height)
    for i, label in enumerate(reversed(person.labels)):
        y = 1 - (i + 0.5) * step
        axis.text(1.012, y, "■", transform=axis.transAxes, color=hex_colour(label), va="center", fontsize=15)
        axis.text(1.032, y, label[:16], transform=axis.transAxes, color=_TEXT, va="center", fontsize=12.5, **_STYLE)
    if len(parts) > 1 or len(person.times) < len(stamps):
        _margin(axis, 0.5 * step, "gap: not seen", _MUTED, fontstyle="italic")


def _name_bands(axis: Axes, labels: Sequence[str], x: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    """Write the winning label into its band wherever the word fits."""
    winners = values.argmax(axis=1)
    left, right = axis.get_xlim()
    for first, last in _runs(winners):
        middle, k = (first + last) // 2, int(winners[first])
        room = (x[last] - x[first]) / (right - left)
        if room < 0.022 + 0.0085 * len(labels[k]) or values[first : last + 1, k].min() < 0.15:
            continue
        y = values[middle, :k].sum() + values[middle, k] / 2
        dark = "#000000" if ink(colour(labels[k])) == (0, 0, 0) else "#ffffff"
        centre = (x[first] + x[last]) / 2
        axis.text(centre, y, labels[k], color=dark, fontsize=13, ha="center", va="center", **_STYLE)


def _people(axis: Axes, seen: Sequence[Person], stamps: NDArray[np.float64], start: float, period: float) -> None:
    shown = seen[:MAX_PEOPLE]
    begin, end = axis.get_xlim()
    for row, person in enumerate(shown):
        axis.add_patch(_rectangle(begin, row - 0.38, end - begin, 0.76, _NOBODY))
        for span in spans(person, stamps, period):
            winners = person.winners[span.first : span.last + 1]
            times = person.times[span.first : span.last + 1] - start
            for first, last in _runs(winners):
                left = (times[first - 1] + times[first]) / 2 if first else times[0] - period / 2
                right = (times[last] + times[last + 1]) / 2 if last + 1 < len(times) else times[last] + period / 2
                label = person.labels[int(winners[first])]
                axis.add_patch(_rectangle(left, row - 0.38, right - left, 0.76, hex_colour(label)))
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_yticks(range(len(shown)), [person.name for person in shown])
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    for tick in axis.get_yticklabels():
        tick.set_parse_math(False)
    if len(seen) > len(shown):
        _margin(axis, 0.5, f"and {len(seen) - len(shown)} more", _MUTED)


def _affect(axis: Axes, person: Person, stamps: NDArray[np.float64], start: float, period: float) -> None:
    axis.axhline(0, color=_GRID, linewidth=1)
    for span in spans(person, stamps, period):
        x, values = _widened(span, period, start, person.affect)
        for column, line in ((0, _VALENCE), (1, _AROUSAL)):
            axis.plot(x, values[:, column], color=line, linewidth=2, solid_capstyle="butt")
    axis.set_ylim(-1.05, 1.05)
    axis.set_yticks([-1, 0, 1], ["−1", "0", "1"])  # noqa: RUF001
    axis.set_ylabel("affect", color=_TEXT, fontsize=12)
    for y, name, ends, line in (
        (0.85, "valence", "unpleasant to pleasant", _VALENCE),
        (0.35, "arousal", "calm to excited", _AROUSAL),
    ):
        _margin(axis, y, name, line, fontweight="bold")
        axis.text(1.012, y - 0.19, ends, transform=axis.transAxes, color=_MUTED, va="center", fontsize=10, **_STYLE)


def _latency(axis: Axes, latency_ms: NDArray[np.float64], start: float) -> None:
    p50, p95 = np.percentile(latency_ms[:, 1], [50, 95])
    # A single stall must not squeeze everything else into a line at the bottom.
    top = max(1.15 * min(float(latency_ms[:, 1].max()), 2 * float(p95)), 1.0)
    above = latency_ms[:, 1] > top
    axis.scatter(latency_ms[~above, 0] - start, latency_ms[~above, 1], s=9, color=_LATENCY, linewidths=0, alpha=0.6)
    axis.scatter(
        latency_ms[above, 0] - start,
        np.full(above.sum(), 0.94 * top),
        s=40,
        marker="^",
        color="#b3261e",
        linewidths=0,
    )
    for value, style in ((p50, "-"), (p95, "--")):
        axis.axhline(value, color=_TEXT, linewidth=1.2, linestyle=style)
    axis.set_ylim(min(0.0, 1.1 * float(latency_ms[:, 1].min())), top)
    axis.set_ylabel("latency [ms]", color=_TEXT, fontsize=12)
    _margin(axis, 0.85, f"— p50 {p50:.1f} ms", _TEXT)
    _margin(axis, 0.55, f"-- p95 {p95:.1f} ms", _TEXT)
    if above.any():
        _margin(axis, 0.2, f"▲ {above.sum()} above {top:.0f} ms", "#b3261e")


def _widened(
    span: Span, period: float, start: float, values: NDArray[np.float64], limit: int = 2 * SIZE_PX[0]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(times from the start, rows of values) of a span, half a period wider at both ends.

    Blocks of a long span are averaged: more points than pixels only cost time.
    """
    x, y = span.times - start, values[span.first : span.last + 1]
    if len(x) > limit:
        edges = np.linspace(0, len(x), limit + 1).astype(int)[:-1]
        count = np.diff(np.append(edges, len(x)))
        x, y = np.add.reduceat(x, edges) / count, np.add.reduceat(y, edges) / count[:, None]
    x = np.concatenate([[x[0] - period / 2], x, [x[-1] + period / 2]])
    return x, np.concatenate([y[:1], y, y[-1:]])


def _runs(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    """(first, last) of each stretch of equal values."""
    cuts = np.flatnonzero(np.diff(values)) + 1
    return [(int(a), int(b) - 1) for a, b in zip([0, *cuts], [*cuts, len(values)], strict=True)]


def _rectangle(x: float, y: float, width: float, height: float, fill: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor=fill, linewidth=0)
