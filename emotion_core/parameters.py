"""Parameters declared once: a dataclass field with its default, description and range.

Nodes declare their ROS parameters from these fields, the documentation table is printed from them, and the
constructor of the dataclass checks the values.
"""

from __future__ import annotations

import math
from dataclasses import Field, dataclass, field, fields
from typing import Any

from emotion_core.errors import EmotionError

_KEY = "parameter"
_SHOWN = 80  # letters of a wrong value; of a longer one its type is told


@dataclass(frozen=True)
class Parameter:
    """What a user needs to know about a value, besides its default.

    Attributes:
        description: one sentence, with the unit.
        low, high: inclusive bounds of a number.
        choices: the allowed strings, when they can be listed.
        read_only: cannot change while the node is configured.
    """

    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = True

    def check(self, name: str, value: object) -> None:
        """Raise EmotionError when the value is not allowed."""
        if self.choices and value not in self.choices:
            raise EmotionError(f"parameter {name}: expected one of {', '.join(self.choices)}, got {value!r}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if not (math.isfinite(value) and low <= value <= high):
            raise EmotionError(f"parameter {name}: expected a number in [{low:g}, {high:g}], got {value!r}")


def check_finite(value: object, what: str) -> None:
    """Raise EmotionError unless a value is a finite number; ``what`` says which, with its unit."""
    try:
        if math.isfinite(value):  # type: ignore[arg-type]
            return
    except TypeError:  # no number at all
        pass
    raise EmotionError(f"expected {what} as a finite number, got {value!r:.60}")


def parameter(default: Any, description: str, **kwargs: Any) -> Any:
    """A dataclass field that carries a Parameter."""
    return field(default=default, metadata={_KEY: Parameter(description, **kwargs)})


def parameter_of(item: Field[Any]) -> Parameter | None:
    """The Parameter of a dataclass field, None where it has none."""
    return item.metadata.get(_KEY)


class CheckedConfig:
    """Base of configuration dataclasses: checks types and ranges when made, raising EmotionError."""

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            declared = parameter_of(item)
            if declared is None:
                continue
            value, kind = getattr(self, item.name), type(item.default)
            if type(value) is int and kind in (float, str):  # what YAML reads in 1 and 0
                value = kind(value)
                object.__setattr__(self, item.name, value)
            if type(value) is not kind:
                shown = repr(value)
                shown = shown if len(shown) <= _SHOWN else type(value).__name__
                raise EmotionError(f"parameter {item.name}: expected {kind.__name__}, got {shown}")
            declared.check(item.name, value)
