"""Where what is printed goes: a terminal, whose width and wishes count, or a file or a pipe, which has neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 1000  # of lines in a file or a pipe: nothing is cut off or wrapped for a screen that there is not


def output() -> Console:
    """stdout: coloured only on a terminal, and not where ``NO_COLOR`` is set; a file or pipe is never too narrow."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)
