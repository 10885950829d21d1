"""Lists that come with datasets as plain text, a face a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotion_core.errors import EmotionError


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a list that are not blank, counted from 1; raises EmotionError where it is no readable text."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\n")
    except OSError as error:
        raise EmotionError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise EmotionError(f"{path} is no list in plain text: {error}") from None
