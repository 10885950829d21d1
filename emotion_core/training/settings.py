"""Settings checked once, the same way for every method: unknown names, types and ranges, in one clear line."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from emotion_core.errors import EmotionError

_Config = TypeVar("_Config")


def check_ranges(config: Any, **intervals: str) -> None:
    """Check numbers of a dataclass.

    Args:
        config: the dataclass; a field declared ``int`` takes whole numbers only.
        **intervals: of each field in the notation of mathematics, such as ``lr="(0, inf)"`` or ``momentum="[0, 1)"``.

    Raises:
        EmotionError: a value is no number or lies outside; the message has its name and what is allowed.
    """
    kinds = {item.name: item.type for item in fields(config)}
    for name, interval in intervals.items():
        value = getattr(config, name)
        wanted = numbers.Integral if kinds[name] in ("int", int) else numbers.Real
        if isinstance(value, bool) or not isinstance(value, wanted):
            kind = "a whole number" if wanted is numbers.Integral else "a number"
            raise EmotionError(f"{name} must be {kind}, got {value!r}")
        low, high = (float(bound) for bound in interval[1:-1].split(","))
        number = float(value)
        above = number >= low if interval[0] == "[" else number > low
        below = number <= high if interval[-1] == "]" else number < high
        if not (above and below and math.isfinite(number)):
            raise EmotionError(f"{name} must be {_in_words(interval, low, high)}, got {value}")


def _in_words(interval: str, low: float, high: float) -> str:
    if math.isinf(high):
        return f"at least {low:g}" if interval[0] == "[" else "positive" if low == 0 else f"above {low:g}"
    return f"in {interval}"


def check_choices(config: Any, **choices: Collection[str]) -> None:
    """Check words of a dataclass; raises EmotionError that lists what is allowed."""
    for name, allowed in choices.items():
        if (value := getattr(config, name)) not in allowed:
            raise EmotionError(f"unknown {name} {value!r}: use one of {', '.join(allowed)}")


def refuse_unknown(given: Collection[str], known: Collection[str], what: str) -> None:
    """Raise EmotionError for a name that is not known, with the one that may be meant.

    Args:
        what: what the names are, such as 'setting of a training'.
    """
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1, 0.4)
            hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"
            raise EmotionError(f"{name!r} is no {what}: {hint}")


def from_mapping(kind: type[_Config], settings: Any, what: str) -> _Config:
    """A dataclass from what a recipe says.

    Raises:
        EmotionError: ``settings`` is no mapping, names something unknown, or a value has another type or range.
    """
    if not isinstance(settings, Mapping):
        raise EmotionError(f"{what}: expected lines such as `name: value`, got {settings!r}")
    refuse_unknown(settings, [item.name for item in fields(kind)], f"setting of {what}")  # type: ignore[arg-type]
    try:
        return kind(**settings)
    except (TypeError, ValueError) as error:
        raise EmotionError(f"these are no settings of {what}: {error}") from None
