"""What options of several commands share, above all numbers, checked as they are read."""

from __future__ import annotations

import argparse
import contextlib
import math

BLURS = ("none", "faces")
BLUR_HELP = "show nobody: every head is blurred in what is drawn, beyond recovery (default: none)"


def count(text: str) -> int:
    """A whole number from 1."""
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """A finite time above 0."""
    with contextlib.suppress(ValueError):
        if 0 < (value := float(text)) < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
