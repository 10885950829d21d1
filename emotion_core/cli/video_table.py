"""The table that ``emotion video --csv`` writes."""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.store.files import atomic_write, cannot_write
from emotion_core.types import FACE, VOICE

if TYPE_CHECKING:
    from emotion_core.runtime.ensemble import EnsembleOutput
    from emotion_core.types import EmotionEstimate

SENSES = {FACE: "face", FACE | VOICE: "face + voice", VOICE: "voice"}
"""What an estimate is from, by its modalities."""


class Table:
    """Rows of a table, each frame's own values without smoothing."""

    def __init__(self, file: Any, labels: tuple[str, ...]) -> None:
        self._labels, self._writer = labels, csv.writer(file, lineterminator="\n")
        names = ("frame", "stamp_s", "track_id", "branch", "label", "confidence", "valence", "arousal")
        self._writer.writerow((*names, *(f"p_{label}" for label in labels)))

    def add(
        self,
        index: int,
        stamp_s: float,
        estimates: Sequence[EmotionEstimate],
        output: EnsembleOutput | None,
        voice: tuple[float, ...] | None,
    ) -> None:
        """Rows of a frame: its number and time, what was estimated, what the network said, and what the voice says."""
        none = (math.nan, math.nan)
        if voice is not None:
            self._row((index, f"{stamp_s:.6f}", ""), SENSES[VOICE], voice, none)
        for i, estimate in enumerate(estimates):
            common = (index, f"{stamp_s:.6f}", estimate.track_id)
            if estimate.modalities == FACE | VOICE:
                self._row(common, SENSES[FACE | VOICE], estimate.probabilities, (estimate.valence, estimate.arousal))
            if estimate.face is None or output is None:
                continue
            members = zip(output.branch_probabilities[i], output.branch_affect[i], strict=True)
            self._row(common, "ensemble", output.probabilities[i], output.affect[i])
            for branch, (probabilities, affect) in enumerate(members, 1):
                self._row(common, branch, probabilities, affect)

    def _row(self, common: tuple[object, ...], branch: object, probabilities: Any, affect: Any) -> None:
        winner = int(np.argmax(probabilities))
        values = (probabilities[winner], *affect, *probabilities)
        numbers = ["" if math.isnan(value) else f"{value:.6f}" for value in values]
        self._writer.writerow((*common, branch, self._labels[winner], *numbers))


@contextlib.contextmanager
def open_table(path: Path, labels: tuple[str, ...]) -> Iterator[Table]:
    """A CSV file that is whole or absent."""
    try:
        with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            yield Table(file, labels)
    except OSError as error:
        raise EmotionError(cannot_write(path, error)) from None
