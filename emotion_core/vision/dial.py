"""The valence-arousal plane in a picture: a dial with a dot, and the path that led there. OpenCV only, for speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2

from emotion_core.types import EmotionEstimate, Picture
from emotion_core.vision.glyphs import blend_text, text_height, text_width
from emotion_core.vision.palette import RGB, bgr
from emotion_core.vision.trace import TracePoint

_AXES, _RIM, _DIM, _BRIGHT = (110, 106, 104), (160, 156, 154), (190, 190, 190), (255, 255, 255)  # BGR


def draw_path(
    canvas: Picture,
    trace: Sequence[TracePoint],
    pixel: Callable[[float, float], tuple[int, int]],
    thick: int,
    ground: RGB,
) -> None:
    """Where somebody was lately: points in the colours of the labels, which fade with their age, and lines.

    Args:
        canvas: (H, W, 3) uint8, BGR, changed in place.
        trace: the oldest first.
        pixel: from (valence, arousal) to (x, y).
        thick: of the lines in pixels.
        ground: BGR of what is below, into which they fade.
    """
    before: tuple[int, int] | None = None
    last = len(trace) - 1
    for i, point in enumerate(trace):
        here = pixel(point.valence, point.arousal)
        near = before is not None and max(abs(here[0] - before[0]), abs(here[1] - before[1])) <= thick
        if near and point.joined and i < last:
            continue  # it would hardly be seen, and there are hundreds
        colour = _mixed(bgr(point.label), ground, 1 - point.age)
        if before is not None and point.joined:
            cv2.line(canvas, before, here, colour, thick, cv2.LINE_AA)
        cv2.circle(canvas, here, thick, colour, cv2.FILLED, cv2.LINE_AA)
        before = here


def dial_width(radius: int, size: float) -> int:
    """Of dial, a gap that the dot at full valence needs, and numbers of a size."""
    return 2 * radius + round(0.45 * radius) + text_width("V +0.00", size)


def draw_dial(
    canvas: Picture,
    x: int,
    y: int,
    radius: int,
    size: float,
    estimate: EmotionEstimate,
    trace: Sequence[TracePoint],
    ground: RGB,
) -> None:
    """Valence to the right and arousal upwards, both in [-1, 1], the circle where their length is 1.

    Args:
        canvas: (H, W, 3) uint8, BGR, changed in place.
        x, y: top left corner.
        radius: of the circle in pixels.
        size: of the numbers.
        estimate: of now; neither value is NaN.
        trace: where it was lately, the oldest first.
        ground: BGR of what is below.
    """

    def pixel(valence: float, arousal: float) -> tuple[int, int]:
        return round(x + radius * (1 + valence)), round(y + radius * (1 - arousal))

    cv2.line(canvas, (x, y + radius), (x + 2 * radius, y + radius), _AXES, 1)
    cv2.line(canvas, (x + radius, y), (x + radius, y + 2 * radius), _AXES, 1)
    cv2.circle(canvas, (x + radius, y + radius), radius, _RIM, 1, cv2.LINE_AA)
    mark = max(3, round(0.17 * radius))
    draw_path(canvas, trace, pixel, max(1, round(0.3 * mark)), ground)
    dot = pixel(estimate.valence, estimate.arousal)
    cv2.circle(canvas, dot, mark + 1, _BRIGHT, cv2.FILLED, cv2.LINE_AA)
    cv2.circle(canvas, dot, mark, bgr(estimate.label), cv2.FILLED, cv2.LINE_AA)
    left, line = x + 2 * radius + round(0.45 * radius), text_height(size)
    blend_text(canvas, f"V {estimate.valence:+.2f}", left, y + radius - round(1.4 * line), size, _DIM)
    blend_text(canvas, f"A {estimate.arousal:+.2f}", left, y + radius + round(0.4 * line), size, _DIM)


def _mixed(colour: RGB, ground: RGB, weight: float) -> RGB:
    """The colour, faded into the ground."""
    blue, green, red = (round(weight * c + (1 - weight) * g) for c, g in zip(colour, ground, strict=True))
    return blue, green, red
