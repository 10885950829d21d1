"""What ``emotion eval`` writes: confusion matrices and reliability diagrams."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_core.errors import EmotionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emotion_core.evaluation.metrics import Classification


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--confusion",
        nargs="+",
        default=(),
        metavar="FILE",
        help="write the confusion matrix: .png, .pdf or .svg for people, .csv with the counts; several at once",
    )
    parser.add_argument(
        "--calibration", metavar="FILE", help="write how far confidences can be believed: .png, .pdf or .svg"
    )
    parser.add_argument(
        "--latex-fonts",
        action="store_true",
        help="letters of Computer Modern in both, as in documents made with LaTeX, which is not needed here",
    )


class Pictures:
    """The files that a command line asks for, claimed before the work begins.

    Raises:
        EmotionError: a file cannot be written, is read as well, or its name ends in something else.
    """

    def __init__(self, args: argparse.Namespace, folders: Sequence[str | None]) -> None:
        from emotion_core.plots.figures import check_kind
        from emotion_core.store.outputs import Outputs, model_files

        outputs = Outputs(model_files(args.model), [folder for folder in folders if folder])
        if args.latex_fonts and not (args.confusion or args.calibration):
            raise EmotionError("--latex-fonts goes with --confusion or --calibration")
        self._latex_fonts = bool(args.latex_fonts)
        self._confusion = [outputs.claim(path, "--confusion") for path in args.confusion]
        self._calibration = outputs.claim(args.calibration, "--calibration") if args.calibration else None
        for path in [*self._confusion, *([self._calibration] if self._calibration else [])]:
            if path.suffix.lower() != ".csv" or path == self._calibration:
                check_kind(path)

    def __bool__(self) -> bool:
        return bool(self._confusion or self._calibration)

    def write(
        self, results: Mapping[str, Classification], labels: Sequence[str], title: str, what: str = "faces"
    ) -> None:
        """Draw the first result's confusion matrix, and how well one or two are calibrated.

        Args:
            results: by what to call them; "" for the only one.
            labels: names of the classes.
            title: of the pictures.
            what: was counted.
        """
        from emotion_core.plots.confusion import plot_confusion
        from emotion_core.plots.reliability import plot_reliability

        first = next(iter(results.values()))
        for path in self._confusion:
            if path.suffix.lower() == ".csv":
                write_counts(first.confusion, labels, path)
            else:
                plot_confusion(
                    first.confusion, labels, path, f"{title}: {first.accuracy:.2f} %", what, self._latex_fonts
                )
        if self._calibration:
            plot_reliability(results, self._calibration, title, self._latex_fonts)


def write_counts(counts: NDArray[np.integer], labels: Sequence[str], path: Path) -> None:
    """A confusion matrix as CSV: a row for each truth, a column for each prediction."""
    from emotion_core.store.files import atomic_write

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["true", *labels])
    for name, row in zip(labels, counts.tolist(), strict=True):
        table.writerow([name, *row])
    with atomic_write(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
