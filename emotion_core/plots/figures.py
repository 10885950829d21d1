"""How pictures for papers are drawn and written: as PNG, or as PDF and SVG, which stay sharp at any size."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_core.dependencies import matplotlib_apart
from emotion_core.errors import EmotionError
from emotion_core.store.files import atomic_write, user_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = (".png", ".pdf", ".svg")
DPI = 200
"""Of PNGs; a column of a paper at this resolution is sharp in print."""

_ODD = {"_": r"$\_$", "<": "$<$", ">": "$>$", "|": "$|$", "{": r"$\{$", "}": r"$\}$", "\\": r"$\backslash$"}
"""Computer Modern has other letters in these places, and has these in formulas."""
_DATES: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""Left out, so that the same figures give the same file."""
_LATEX: dict[str, Any] = {
    "font.family": ["cmr10", "DejaVu Serif"],
    "mathtext.fontset": "cm",
    "axes.formatter.use_mathtext": True,  # the font has no minus
    "font.size": 11,
}


def check_kind(path: str | Path) -> Path:
    """The path, where its suffix names a kind that is written here; raises EmotionError otherwise."""
    path = user_path(path)
    if path.suffix.lower() not in ("", *KINDS):
        raise EmotionError(f"{path}: expected a picture's name that ends in {', '.join(KINDS)}")
    return path


@contextmanager
def drawing(latex_fonts: bool = False) -> Iterator[None]:
    """Settings under which everything is drawn and written.

    Args:
        latex_fonts: letters of Computer Modern, as documents in LaTeX have them. They come with matplotlib: LaTeX
            itself is not needed.
    """
    matplotlib_apart()
    import matplotlib

    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of the age of Computer Modern
    # Letters stay letters: they can be searched, and journals ask for it.
    settings: dict[str, Any] = {"pdf.fonttype": 42, "svg.hashsalt": "emotion"}
    if latex_fonts:
        settings |= _LATEX
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]
        yield


def letters(text: str, latex_fonts: bool = False) -> str:
    """Text as matplotlib is to be given it, so that it shows every letter as it is and takes nothing for a formula."""
    shown = {"$": r"\$", **(_ODD if latex_fonts else {})}
    return "".join(shown.get(letter, letter) for letter in text)


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty one, which opens no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write it, whole or not at all, in the kind that the suffix names, PNG without one; raises as ``check_kind``."""
    path = check_kind(path)
    kind = path.suffix.lower().lstrip(".") or "png"
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=kind, metadata=_DATES.get(kind))
    return path
