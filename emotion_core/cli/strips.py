"""Who showed what when, in a line of a terminal for each person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emotion_core.plots.spans import Person, people
from emotion_core.types import EmotionEstimate
from emotion_core.vision.palette import colour, hex_colour, ink

if TYPE_CHECKING:
    from rich.text import Text

MAX_PEOPLE = 8
_NAME_WIDTH = 12


def strips(rows: Sequence[EmotionEstimate], stamps_s: Sequence[float], width: int = 80) -> list[Text]:
    """A line for each person, those seen longest first, and one that explains the letters; nothing without people.

    Args:
        rows: estimates in any order.
        stamps_s: times of all frames, also of those without people.
        width: letters of a line; of fewer frames than that it is shorter.
    """
    from rich.text import Text

    seen = people(rows)
    letters = _letters([label for person in seen for label in person.labels])
    start_s, end_s = min(stamps_s, default=0.0), max(stamps_s, default=0.0)
    columns = max(1, min(width - _NAME_WIDTH, len(stamps_s) // 2))  # two frames for each: jitter leaves none empty
    lines, shown = [], set()
    for person in seen[:MAX_PEOPLE]:
        line = Text(f"{person.name[: _NAME_WIDTH - 1]:<{_NAME_WIDTH}}")
        for label in _columns(person, start_s, end_s, columns):
            if label:
                shown.add(label)
                line.append(letters[label], style=_style(label))
            else:
                line.append("·", style="dim")
        lines.append(line)
    if lines:
        legend = Text(f"{f'{end_s - start_s:.1f} s':<{_NAME_WIDTH}}")
        for label in (label for label in letters if label in shown):
            legend.append(letters[label], style=_style(label)).append(f" {label}   ")
        lines.append(legend)
    if len(seen) > MAX_PEOPLE:
        lines.append(Text(f"and {len(seen) - MAX_PEOPLE} more people"))
    return lines


def _columns(person: Person, start_s: float, end_s: float, count: int) -> list[str]:
    """The label that a person showed most in each of ``count`` equal parts of the time, empty while not seen."""
    length = max(end_s - start_s, 1e-9)
    places = np.clip(((person.times - start_s) / length * count).astype(int), 0, count - 1)
    found: list[Counter[str]] = [Counter() for _ in range(count)]
    for place, winner in zip(places, person.winners, strict=True):
        found[place][person.labels[winner]] += 1
    return [counter.most_common(1)[0][0] if counter else "" for counter in found]


def _letters(labels: Sequence[str]) -> dict[str, str]:
    """A letter for each label: the first of its own that no other has."""
    letters: dict[str, str] = {}
    for label in dict.fromkeys(labels):
        free = (letter for letter in label.upper() + "0123456789" if letter not in letters.values())
        letters[label] = next(free, "?")
    return letters


def _style(label: str) -> str:
    return f"{'black' if ink(colour(label)) == (0, 0, 0) else 'white'} on {hex_colour(label)}"
