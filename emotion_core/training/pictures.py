"""Pictures of trainings and of what they reached."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)


def draw_history(rows: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """The epochs as a PNG, where there were any. Nobody asked for it, so without matplotlib there is none, and the log
    says so."""
    if not rows:
        return
    try:
        from emotion_core.plots.training import plot_training

        plot_training(rows, path)
    except ImportError as error:
        log.warning("%s was not drawn: %s is missing (pip install 'emotion-perception[media]')", path, error.name)


def draw_confusion(confusion: NDArray[np.int64], labels: Sequence[str], path: str | Path) -> None:
    """A confusion matrix as a PNG; see ``emotion_core.plots.confusion``. Raises ImportError without matplotlib."""
    from emotion_core.plots.confusion import plot_confusion

    plot_confusion(confusion, labels, path)
