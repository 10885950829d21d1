"""One colour for each emotion word, the same in every picture: overlays, plots, markers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from emotion_core.labels import canonical

RGB = tuple[int, int, int]
"""Red, green, blue in 0…255."""

COLOURS: Mapping[str, RGB] = MappingProxyType(
    {
        "neutral": (0x9E, 0x9E, 0x9E),  # grey
        "calm": (0xA6, 0xDF, 0xA0),  # pale green
        "happy": (0xF2, 0xC2, 0x18),  # yellow
        "sad": (0x2A, 0x66, 0xF2),  # blue
        "surprise": (0x62, 0xDA, 0xF8),  # cyan
        "fear": (0x6F, 0x3D, 0xAE),  # violet
        "disgust": (0x08, 0xA5, 0x50),  # green
        "anger": (0xE5, 0x26, 0x1F),  # red
        "contempt": (0xB5, 0x67, 0xB2),  # mauve
    }
)
"""Chosen so that every two keep a distance of at least 20 (CIE76 in CIELAB, where 2 can just be seen) for
normal sight and for simulated protanopia, deuteranopia and tritanopia (Machado, Oliveira, Fernandes: A
physiologically-based model for simulation of color vision deficiency. IEEE TVCG 2009), and that all stand out
from a dark panel and a white page."""

UNKNOWN: RGB = (0xE8, 0xA0, 0x7A)
"""Colour of a label that has none of its own."""


def colour(label: str) -> RGB:
    """(red, green, blue) of a label; other word forms share the colour, unknown labels get UNKNOWN."""
    return COLOURS.get(canonical(label), COLOURS.get(label.lower(), UNKNOWN))


def bgr(label: str) -> RGB:
    """The same as (blue, green, red), the order of OpenCV."""
    red, green, blue = colour(label)
    return blue, green, red


def hex_colour(label: str) -> str:
    """The same as "#rrggbb", for matplotlib and HTML."""
    return "#{:02x}{:02x}{:02x}".format(*colour(label))


def ink(background: RGB) -> RGB:
    """Black or white, whichever reads better on the background (its luminance by ITU-R BT.709, order RGB)."""
    linear = [(c / 255) ** 2.2 for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Where the WCAG contrast with black and with white is the same.
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)
