"""What ``emotion eval`` writes: confusion matrices, reliability diagrams and risk against coverage."""

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
        "--risk", metavar="FILE", help="write how often answers above a confidence are wrong: .png, .pdf or .svg"
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
        if args.latex_fonts and not (args.confusion or args.calibration or args.risk):
            raise EmotionError("--latex-fonts goes with --confusion, --calibration or --risk")
        self._latex_fonts = bool(args.latex_fonts)
        self._confusion = [outputs.claim(path, "--confusion") for path in args.confusion]
        self._calibration = outputs.claim(args.calibration, "--calibration") if args.calibration else None
        self._risk = outputs.claim(args.risk, "--risk") if args.risk else None
        drawn = [path for path in (self._calibration, self._risk) if path]
        for path in [*self._confusion, *drawn]:
            if path.suffix.lower() != ".csv" or path in drawn:
                check_kind(path)

    def __bool__(self) -> bool:
        return bool(self._confusion or self._calibration or self._risk)

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
        from emotion_core.plots.risk import plot_risk

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
        if self._risk:
            plot_risk(results, self._risk, title, self._latex_fonts)


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
