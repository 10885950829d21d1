"""Draw estimates into a picture: box, chip, probability bars, valence and arousal. OpenCV only, for speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from emotion_core.types import EmotionEstimate, Picture
from emotion_core.vision.glyphs import blend_column, blend_text, text_height, text_width
from emotion_core.vision.palette import RGB, bgr, ink

Rect = tuple[int, int, int, int]
"""x, y, width, height in whole pixels."""

_PANEL = (28, 24, 22)  # BGR, nearly black
_PANEL_OPACITY = 0.72
_DIM, _BRIGHT = (190, 190, 190), (255, 255, 255)


def draw_estimates(
    image: Picture, estimates: Sequence[EmotionEstimate], status: str = "", panels: bool = True
) -> Picture:
    """A copy of the image with every estimate drawn into it.

    Each face gets a box and a chip with label and probability; where there is room beside it that covers no
    other face, also a panel with all probabilities and, unless NaN, valence and arousal. What was estimated
    without a face gets a chip in the top left corner.

    Args:
        image: (H, W, 3) uint8, BGR; not changed.
        estimates: of this image; boxes may lie partly or wholly outside.
        status: a line as ``draw_status`` writes it, which the rest then keeps clear of.
        panels: whether to draw the panels too; without them, boxes and chips only.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    canvas = image.copy()
    height, width = canvas.shape[:2]
    scale = _scale(width, height)
    # The largest last, so that the person in front is on top.
    seen = [(_visible(e, width, height), e) for e in estimates]
    boxes = sorted(((r, e) for r, e in seen if r is not None), key=lambda item: item[0][2] * item[0][3])
    for rect, estimate in boxes:
        _draw_corners(canvas, rect, bgr(estimate.label), scale)
    taken = [_draw_status(canvas, status)] if status else []
    voices = [e for e in estimates if e.face is None]
    for estimate in voices:
        taken.append(_draw_chip(canvas, None, estimate, scale, taken, []))
    for rect, estimate in reversed(boxes):
        others = [r for r, _ in boxes if r is not rect]
        taken.append(_draw_chip(canvas, rect, estimate, scale, taken, others))
    if not panels:
        return canvas
    blocked = taken + [rect for rect, _ in boxes]
    for rect, estimate in reversed(boxes):
        panel = _draw_panel(canvas, rect, estimate, scale, blocked)
        if panel is not None:
            blocked.append(panel)
    return canvas


def draw_status(image: Picture, text: str) -> Picture:
    """A copy of the (H, W, 3) uint8 BGR image with one small line of text in the lower left corner."""
    canvas = image.copy()
    _draw_status(canvas, text)
    return canvas


def _draw_status(canvas: Picture, text: str) -> Rect:
    height, width = canvas.shape[:2]
    size = 0.8 * _scale(width, height)
    pad = max(2, round(5 * size))
    size = _fit(text, size, width - 2 * pad)
    line = text_height(size)
    high = min(height, line + 2 * pad)
    rect = (0, height - high, min(width, text_width(text, size) + 2 * pad), high)
    _shade(canvas, rect)
    blend_text(canvas, text, pad, height - pad - line, size, _BRIGHT)
    return rect


def _scale(width: int, height: int) -> float:
    """Size of the drawing; 1 at 640x480. Grows slower than the image: small text must stay readable."""
    return min(3.0, max(0.72, (min(height, 0.75 * width) / 480) ** 0.8))


def _fit(text: str, size: float, room: int) -> float:
    """The size, or the smaller one at which the text fits."""
    needed = text_width(text, size)
    return size if needed <= room else max(0.1, size * max(1, room) / needed * 0.98)


def _visible(estimate: EmotionEstimate, width: int, height: int) -> Rect | None:
    """The part of the face inside the image; None when there is no face or nothing of it is inside."""
    if estimate.face is None:
        return None
    rect = estimate.face.box.clamped(width, height)
    return rect if rect[2] > 0 and rect[3] > 0 else None


def _overlap(a: Rect, b: Rect) -> int:
    """Shared area in pixels."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0, wide) * max(0, high)


def _shade(canvas: Picture, rect: Rect) -> None:
    """Darken a rectangle so that light text reads on any background."""
    x, y, w, h = rect
    area = canvas[y : y + h, x : x + w]
    if area.size:
        cv2.addWeighted(area, 1 - _PANEL_OPACITY, _panel_fill(w, h), _PANEL_OPACITY, 0, dst=area)


@lru_cache(maxsize=64)
def _panel_fill(width: int, height: int) -> Picture:
    return np.full((height, width, 3), _PANEL, np.uint8)


def _draw_corners(canvas: Picture, rect: Rect, colour: RGB, scale: float) -> None:
    """A thin outline and strong rounded corners, with a dark edge so that they show on any background."""
    thick = max(2, round(2.3 * scale))
    inset = thick // 2 + 1
    x0, y0 = rect[0] + inset, rect[1] + inset
    x1, y1 = rect[0] + rect[2] - 1 - inset, rect[1] + rect[3] - 1 - inset
    side = min(x1 - x0, y1 - y0)
    if side < 8 * thick:  # corners would run together
        cv2.rectangle(canvas, (rect[0], rect[1]), (rect[0] + rect[2] - 1, rect[1] + rect[3] - 1), colour, 1)
        return
    radius, tick = min(side // 4, round(10 * scale)), max(2, min(side // 3, round(26 * scale)))
    for line_colour, line in (((20, 20, 20), thick + 2), (colour, thick)):
        for x, y, dx, dy, turn in (
            (x0, y0, 1, 1, 180),
            (x1, y0, -1, 1, 270),
            (x1, y1, -1, -1, 0),
            (x0, y1, 1, -1, 90),
        ):
            centre = (x + dx * radius, y + dy * radius)
            cv2.ellipse(canvas, centre, (radius, radius), turn, 0, 90, line_colour, line, cv2.LINE_AA)
            cv2.line(canvas, (x + dx * radius, y), (x + dx * tick, y), line_colour, line, cv2.LINE_AA)
            cv2.line(canvas, (x, y + dy * radius), (x, y + dy * tick), line_colour, line, cv2.LINE_AA)
    if x1 - x0 > 2 * tick and y1 - y0 > 2 * tick:
        for y in (y0, y1):
            cv2.line(canvas, (x0 + tick, y), (x1 - tick, y), colour, 1)
        for x in (x0, x1):
            cv2.line(canvas, (x, y0 + tick), (x, y1 - tick), colour, 1)


def _draw_chip(
    canvas: Picture,
    rect: Rect | None,
    estimate: EmotionEstimate,
    scale: float,
    taken: list[Rect],
    faces: list[Rect],
) -> Rect:
    """Label and probability, and the track's id on a dark end; returns where."""
    height, width = canvas.shape[:2]
    text = f"{estimate.label} {100 * estimate.confidence:.0f} %"
    tag = f"#{estimate.track_id[:8]}" if estimate.track_id else ""
    if rect is None:
        tag = "voice"
    # Sizes are multiples of the text's, so one factor makes everything fit into a narrow image.
    size = scale
    for _ in range(4):
        pad = max(2, round(6 * size))
        body = text_width(text, size) + 2 * pad
        end = text_width(tag, 0.8 * size) + round(1.6 * pad) if tag else 0
        if body + end <= width:
            break
        size *= 0.97 * width / (body + end)
    high = min(height, text_height(size) + 2 * max(2, round(4.5 * size)))
    wide = min(width, body + end)
    x, y = _place_chip(rect, wide, high, width, height, round(4 * scale), taken, faces)
    fill = bgr(estimate.label)
    radius = min(high // 3, round(5 * size))
    _rounded(canvas, (x - 1, y - 1, wide + 2, high + 2), radius + 1, (20, 20, 20))
    if end:
        _rounded(canvas, (x, y, wide, high), radius, _PANEL)
    _rounded(canvas, (x, y, min(body, wide), high), radius, fill)
    dark = ink((fill[2], fill[1], fill[0]))
    blend_text(canvas, text, x + pad, y + (high - text_height(size)) // 2, size, dark)
    if end:
        small = 0.8 * size
        blend_text(canvas, tag, x + body + round(0.7 * pad), y + (high - text_height(small)) // 2, small, _DIM)
    return x, y, wide, high


def _place_chip(
    rect: Rect | None,
    wide: int,
    high: int,
    width: int,
    height: int,
    gap: int,
    taken: list[Rect],
    faces: list[Rect],
) -> tuple[int, int]:
    """Top left corner: above the face, below it or inside; the first that is free, else the least covered."""
    if rect is None:
        used = sum(r[3] + 2 * gap for r in taken)
        return min(gap, width - wide), max(0, min(gap + used, height - high))
    x, y, w, h = rect
    rows = (y - gap - high, y + h + gap, y + gap, y + h - gap - high)
    spots = [(left, top) for left in (x, x + w - wide, x + (w - wide) // 2) for top in rows]
    best, least = (0, 0), math.inf
    for left, top in spots:
        inside = 0 <= top <= height - high
        left, top = max(0, min(left, width - wide)), max(0, min(top, height - high))
        spot = (left, top, wide, high)
        # Text over text cannot be read; a corner of another face can be spared.
        cost = 20.0 * sum(_overlap(spot, r) for r in taken) + sum(_overlap(spot, r) for r in faces)
        cost += 0 if inside else 4 * wide * high
        if cost < least:
            best, least = (left, top), cost
        if not cost:
            break
    return best


def _rounded(canvas: Picture, rect: Rect, radius: int, colour: RGB) -> None:
    """A filled rectangle with round corners."""
    x, y, w, h = rect
    if radius < 2:
        cv2.rectangle(canvas, (x, y), (x + w - 1, y + h - 1), colour, cv2.FILLED)
        return
    cv2.rectangle(canvas, (x + radius, y), (x + w - 1 - radius, y + h - 1), colour, cv2.FILLED)
    cv2.rectangle(canvas, (x, y + radius), (x + w - 1, y + h - 1 - radius), colour, cv2.FILLED)
    for cx in (x + radius, x + w - 1 - radius):
        for cy in (y + radius, y + h - 1 - radius):
            cv2.circle(canvas, (cx, cy), radius, colour, cv2.FILLED, cv2.LINE_AA)


def _draw_panel(
    canvas: Picture, rect: Rect, estimate: EmotionEstimate, scale: float, blocked: list[Rect]
) -> Rect | None:
    """Bars, and the dial below them, right or left of the face; returns where, None without room."""
    height, width = canvas.shape[:2]
    gap, pad = max(2, round(5 * scale)), max(3, round(6 * scale))
    size = 0.72 * scale
    row = text_height(size) + max(2, round(3.5 * scale))
    names = max(text_width(label, size) for label in estimate.labels)
    bar = round(52 * scale)
    radius = round(26 * scale)
    wide = max(names + bar + 3 * pad, _dial_width(radius, size) + 2 * pad)
    bars = len(estimate.labels) * row + 2 * pad
    dial = 0 if math.isnan(estimate.valence) or math.isnan(estimate.arousal) else 2 * radius + pad
    for high in dict.fromkeys((bars + dial, bars)):
        x, y, w, _ = rect
        top = max(0, min(y, height - high))
        for left in (x + w + gap, x - gap - wide):
            spot = (left, top, wide, high)
            inside = left >= 0 and left + wide <= width and high <= height
            if inside and not any(_overlap(spot, r) for r in blocked):
                _shade(canvas, spot)
                _draw_bars(canvas, left + pad, top + pad, row, names + pad, bar, size, estimate)
                if high > bars:
                    _draw_dial(canvas, left + pad, top + bars - pad // 2, radius, size, estimate)
                return spot
    return None


def _draw_bars(
    canvas: Picture, x: int, y: int, row: int, names: int, bar: int, size: float, estimate: EmotionEstimate
) -> None:
    thick = max(3, round(0.55 * row))
    blend_column(canvas, estimate.labels, x, y, row, size, _DIM)
    best = estimate.labels.index(estimate.label)
    blend_text(canvas, estimate.label, x, y + best * row, size, _BRIGHT)
    for i, (label, p) in enumerate(zip(estimate.labels, estimate.probabilities, strict=True)):
        left, middle = x + names, y + i * row + (text_height(size) - thick) // 2
        cv2.rectangle(canvas, (left, middle), (left + bar - 1, middle + thick - 1), (72, 68, 66), cv2.FILLED)
        length = round(bar * min(1.0, max(0.0, p)))
        if length > 0:
            cv2.rectangle(canvas, (left, middle), (left + length - 1, middle + thick - 1), bgr(label), cv2.FILLED)


def _dial_width(radius: int, size: float) -> int:
    """Of dial, a gap that the dot at full valence needs, and numbers."""
    return 2 * radius + round(0.45 * radius) + text_width("V +0.00", size)


def _draw_dial(canvas: Picture, x: int, y: int, radius: int, size: float, estimate: EmotionEstimate) -> None:
    """Valence to the right and arousal upwards, both in [-1, 1], the circle where their length is 1."""
    centre = (x + radius, y + radius)
    cv2.line(canvas, (x, y + radius), (x + 2 * radius, y + radius), (110, 106, 104), 1)
    cv2.line(canvas, (x + radius, y), (x + radius, y + 2 * radius), (110, 106, 104), 1)
    cv2.circle(canvas, centre, radius, (160, 156, 154), 1, cv2.LINE_AA)
    dot = (round(x + radius * (1 + estimate.valence)), round(y + radius * (1 - estimate.arousal)))
    mark = max(3, round(0.17 * radius))
    cv2.circle(canvas, dot, mark + 1, _BRIGHT, cv2.FILLED, cv2.LINE_AA)
    cv2.circle(canvas, dot, mark, bgr(estimate.label), cv2.FILLED, cv2.LINE_AA)
    left, line = x + 2 * radius + round(0.45 * radius), text_height(size)
    blend_text(canvas, f"V {estimate.valence:+.2f}", left, y + radius - round(1.4 * line), size, _DIM)
    blend_text(canvas, f"A {estimate.arousal:+.2f}", left, y + radius + round(0.4 * line), size, _DIM)
