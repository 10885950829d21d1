"""Progress of long work on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotion_core.training.events import Event, OnEvent

_LINE_S = 10.0
"""Where there is no terminal, a line tells of every ten seconds of the media."""
_LINES = 20  # of ``item_progress``, without a terminal


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


@contextlib.contextmanager
def media_progress(length_s: float | None) -> Iterator[Callable[[float, int], None]]:
    """A bar on a terminal, plain lines elsewhere; takes the time in the media and the frames processed."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("0 frames", total=length_s)
            yield lambda stamp_s, count: bar.update(task, completed=stamp_s, description=f"{count} frames")
        return
    told = 0

    def tell(stamp_s: float, count: int) -> None:
        nonlocal told
        if int(stamp_s / _LINE_S) > told:
            told = int(stamp_s / _LINE_S)
            of = f" of {length_s:.0f}" if length_s else ""
            print(f"{stamp_s:.0f}{of} s, {count} frames", file=sys.stderr, flush=True)

    yield tell


@contextlib.contextmanager
def item_progress(made: str, read: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, a line now and then elsewhere; takes the items done and to do.

    Args:
        made, read: what comes of the items, and what they are, such as 'faces' of 'rows'.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: _tell_items(done, total, read)
        return
    with Progress(console=console) as progress:
        task = progress.add_task(made, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _tell_items(done: int, total: int, what: str) -> None:
    if done == total or done % max(1, total // _LINES) == 0:
        print(f"{done} of {total} {what}", file=sys.stderr, flush=True)
