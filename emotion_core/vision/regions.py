"""Regions of interest: where faces count, as shares of the picture."""

from __future__ import annotations

from dataclasses import dataclass

from emotion_core.errors import EmotionError
from emotion_core.types import Box


@dataclass(frozen=True)
class Regions:
    """Some rectangles of a picture, or all of it.

    Attributes:
        parts: (x, y, width, height) in [0, 1], of the picture's width and height; none for the whole picture.
    """

    parts: tuple[tuple[float, float, float, float], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Regions:
        """From "x y width height; …", such as "0 0 0.5 1" for the left half; nothing is the whole picture.

        Raises:
            EmotionError: there are other than four numbers, or a rectangle does not lie inside the picture.
        """
        parts = []
        for words in (part.replace(",", " ").split() for part in text.split(";") if part.strip()):
            try:
                x, y, width, height = map(float, words)
            except ValueError:
                x = y = width = height = float("nan")
            if not (0 <= x < x + width <= 1 + 1e-9 and 0 <= y < y + height <= 1 + 1e-9):
                raise EmotionError(
                    "parameter regions: expected x y width height as shares of the picture between 0 and 1, "
                    f"such as 0 0 0.5 1 for its left half, with a semicolon between two, got {' '.join(words)!r}"
                )
            parts.append((x, y, width, height))
        return cls(tuple(parts))

    def around(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(x, y, width, height) in pixels of the smallest rectangle that holds all of them, at least 1 x 1."""
        if not self.parts:
            return 0, 0, width, height
        left, top = min(p[0] for p in self.parts), min(p[1] for p in self.parts)
        right, bottom = max(p[0] + p[2] for p in self.parts), max(p[1] + p[3] for p in self.parts)
        x, y = min(int(left * width), width - 1), min(int(top * height), height - 1)
        return x, y, max(1, min(width, round(right * width)) - x), max(1, min(height, round(bottom * height)) - y)

    def hold(self, box: Box, width: int, height: int) -> bool:
        """Whether the middle of a box lies in one of them."""
        x, y = box.centre[0] / width, box.centre[1] / height
        return not self.parts or any(p[0] <= x <= p[0] + p[2] and p[1] <= y <= p[1] + p[3] for p in self.parts)
