"""Progress of long work on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotion_core.training.events import Event, OnEvent


@contextlib.contextmanager
def training_progress() -> Iterator[OnEvent]:
    """Yield a function to be called with each event of a training.

    Draws a bar with the time left on stderr when that is a terminal, and nothing elsewhere: there the log speaks.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from emotion_core.training.events import StepDone

    if not sys.stderr.isatty():
        yield lambda event: None
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("training", total=1.0)

        def show(event: Event) -> None:
            if isinstance(event, StepDone):
                text = f"{event.stage}, epoch {event.epoch}/{event.stage.epochs}, loss {event.loss:.3f}"
                progress.update(bar, completed=event.share, description=text)

        yield show
