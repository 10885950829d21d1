"""Progress of long work on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def training_progress() -> Iterator[Callable[[float, str], None]]:
    """Yield a function to call with the share done, in [0, 1], and what to say about it.

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

    if not sys.stderr.isatty():
        yield lambda share, text: None
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("training", total=1.0)
        yield lambda share, text: progress.update(task, completed=share, description=text)
