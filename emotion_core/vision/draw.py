"""Draw estimates into a picture: box, chip, probability bars, valence and arousal. OpenCV only, for speed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2

from emotion_core.types import VOICE, EmotionEstimate, Picture, check_estimates
from emotion_core.vision.glyphs import blend_text, text_height, text_width
from emotion_core.vision.palette import RGB, bgr, ink
from emotion_core.vision.panel import GROUND, Rect, draw_panels, overlap, shade
from emotion_core.vision.picture import as_bgr
from emotion_core.vision.trace import TracePoint

_DIM, _BRIGHT = (190, 190, 190), (255, 255, 255)


def draw_estimates(
    image: Picture,
    estimates: Sequence[EmotionEstimate],
    status: str = "",
    panels: bool = True,
    traces: Mapping[str, Sequence[TracePoint]] | None = None,
) -> Picture:
    """A copy of the image with every estimate drawn into it.

    Each face gets a box and a chip with label and probability; where there is room that covers no other face, also a
    panel with all probabilities and, unless NaN, valence and arousal. What was estimated without a face gets chip and
    panel in the top left corner.

    Args:
        image: (H, W, 3) uint8, BGR; not changed.
        estimates: of this image; boxes may lie partly or wholly outside.
        status: a line as ``draw_status`` writes it, which the rest then keeps clear of.
        panels: whether to draw the panels too; without them, boxes and chips only.
        traces: where valence and arousal were lately, by track; see ``AffectTraces``.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        EmotionError: the image is none, or what is to be drawn are no estimates.
    """
    canvas = as_bgr(image).copy()
    check_estimates(estimates)
    height, width = canvas.shape[:2]
    scale = _scale(width, height)
    # The largest last, so that the person in front is on top.
    seen = [(_visible(e, width, height), e) for e in estimates]
    boxes = sorted(((r, e) for r, e in seen if r is not None), key=lambda item: item[0][2] * item[0][3])
    for rect, estimate in boxes:
        _draw_corners(canvas, rect, bgr(estimate.label), scale)
    taken = [_draw_status(canvas, status)] if status else []
    anchors: list[tuple[Rect, EmotionEstimate]] = []
    for estimate in estimates:
        if estimate.face is None:
            anchors.append((_draw_chip(canvas, None, estimate, scale, [chip for chip, _ in anchors], []), estimate))
    taken += [chip for chip, _ in anchors]
    for rect, estimate in reversed(boxes):
        others = [r for r, _ in boxes if r is not rect]
        taken.append(_draw_chip(canvas, rect, estimate, scale, taken, others))
        anchors.append((rect, estimate))
    if not panels:
        return canvas
    draw_panels(canvas, anchors, traces or {}, scale, taken + [rect for rect, _ in boxes])
    return canvas


def placed(estimates: Sequence[EmotionEstimate], factor: float, offset: tuple[int, int]) -> list[EmotionEstimate]:
    """The estimates with their faces where a picture has put them that was scaled by a factor, then moved (x, y)."""
    return [e if e.face is None else replace(e, face=e.face.placed(factor, *offset)) for e in estimates]


def draw_status(image: Picture, text: str) -> Picture:
    """A copy of the (H, W, 3) uint8 BGR image with one small line of text in the lower left corner."""
    canvas = as_bgr(image).copy()
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
    shade(canvas, rect)
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
    """Label and probability, and on a dark end the track's id, and whether a voice was heard; returns where."""
    height, width = canvas.shape[:2]
    text = f"{estimate.label} {100 * estimate.confidence:.0f} %"
    names = [f"#{estimate.track_id[:8]}"] if estimate.track_id else []
    tag = " + ".join([*names, *(["voice"] if rect is None or estimate.modalities & VOICE else [])])
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
        _rounded(canvas, (x, y, wide, high), radius, GROUND)
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
        cost = 20.0 * sum(overlap(spot, r) for r in taken) + sum(overlap(spot, r) for r in faces)
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
