"""The panel beside a face: a bar for each class, and the valence-arousal dial. OpenCV only, for speed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from emotion_core.types import EmotionEstimate, Picture
from emotion_core.vision.dial import dial_width, draw_dial
from emotion_core.vision.glyphs import blend_column, blend_text, text_height, text_width
from emotion_core.vision.palette import bgr
from emotion_core.vision.trace import TracePoint

Rect = tuple[int, int, int, int]
"""x, y, width, height in whole pixels."""

GROUND = (28, 24, 22)  # BGR, nearly black
_OPACITY = 0.72
_TRACK, _DIM, _BRIGHT = (72, 68, 66), (190, 190, 190), (255, 255, 255)

SMALLER = 0.8
"""Of the usual size, where there is no room for that."""
_OWN_FACE = 0.2  # of a face may lie behind its own panel when there is no other room


def overlap(a: Rect, b: Rect) -> int:
    """Shared area in pixels."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0, wide) * max(0, high)


def shade(canvas: Picture, rect: Rect) -> None:
    """Darken a rectangle so that light text reads on any background."""
    x, y, w, h = rect
    area = canvas[y : y + h, x : x + w]
    if area.size:
        cv2.addWeighted(area, 1 - _OPACITY, _fill(w, h), _OPACITY, 0, dst=area)


@lru_cache(maxsize=64)
def _fill(width: int, height: int) -> Picture:
    return np.full((height, width, 3), GROUND, np.uint8)


def draw_panels(
    canvas: Picture,
    anchors: Sequence[tuple[Rect, EmotionEstimate]],
    traces: Mapping[str, Sequence[TracePoint]],
    scale: float,
    blocked: Sequence[Rect],
) -> None:
    """For each estimate bars, and below them the dial unless valence and arousal are NaN.

    Right of a face wherever that can be; else left of it, below, above, or over its edge. Below the chip of a voice.
    Where there is no room, smaller, and then without the dial; where there is none at all, nowhere. A line in the
    colour of the label is on the side of the face that the panel belongs to.

    Args:
        canvas: (H, W, 3) uint8, BGR, changed in place.
        anchors: the face, or the chip of an estimate without one, and the estimate; the most important first.
        traces: where valence and arousal were lately, by track, the oldest first.
        scale: of the drawing.
        blocked: what must stay visible, the faces among it.
    """
    blocked = list(blocked)
    done: set[int] = set()
    # The first places for all before the second for any: panels of a row of faces are then all on the same side.
    for spots in (1, None):
        for i, (anchor, estimate) in enumerate(anchors):
            found = None if i in done else _place(canvas, anchor, estimate, scale, blocked, spots)
            if found is not None:
                layout, rect = found
                layout.draw(canvas, rect, estimate, traces.get(estimate.track_id, ()))
                _link(canvas, rect, anchor, layout.gap, estimate)
                blocked.append(rect)
                done.add(i)


def _place(
    canvas: Picture, anchor: Rect, estimate: EmotionEstimate, scale: float, blocked: Sequence[Rect], count: int | None
) -> tuple[_Layout, Rect] | None:
    """Size and place of a panel, among the first so many places; None without room."""
    height, width = canvas.shape[:2]
    affect = not (math.isnan(estimate.valence) or math.isnan(estimate.arousal))
    others = [rect for rect in blocked if rect != anchor]
    for own in (blocked, others) if count is None else (blocked,):
        for with_dial in (True, False) if affect and count is None else (affect,):
            for factor in (1.0, SMALLER):
                layout = _Layout.of(estimate.labels, factor * scale, with_dial)
                spots = _spots(anchor, layout, width, height, estimate.face is not None)[:count]
                rect = _free(canvas, anchor, layout, spots, own, others)
                if rect is not None:
                    return layout, rect
    return None


def _link(canvas: Picture, rect: Rect, anchor: Rect, gap: int, estimate: EmotionEstimate) -> None:
    """A line along the side of the panel that looks at its face, in the gap between the two."""
    x, y, w, h = rect
    thick, colour = max(2, gap // 2), bgr(estimate.label)
    if x >= anchor[0] + anchor[2]:
        canvas[y : y + h, max(0, x - thick) : x] = colour
    elif x + w <= anchor[0]:
        canvas[y : y + h, x + w : x + w + thick] = colour
    elif y >= anchor[1] + anchor[3]:
        canvas[max(0, y - thick) : y, x : x + w] = colour
    elif y + h <= anchor[1]:
        canvas[y + h : y + h + thick, x : x + w] = colour


def _free(
    canvas: Picture,
    anchor: Rect,
    layout: _Layout,
    spots: Iterable[tuple[int, int]],
    own: Sequence[Rect],
    others: Sequence[Rect],
) -> Rect | None:
    """The first place inside the picture that covers nothing; of its own face a little when that is not blocked."""
    height, width = canvas.shape[:2]
    for left, top in spots:
        rect = left, top, layout.wide, layout.high
        inside = 0 <= left <= width - layout.wide and 0 <= top <= height - layout.high
        if not inside or any(overlap(rect, other) for other in own):
            continue
        if own is others and overlap(rect, anchor) > _OWN_FACE * anchor[2] * anchor[3]:
            continue
        return rect
    return None


def _spots(anchor: Rect, layout: _Layout, width: int, height: int, beside: bool) -> list[tuple[int, int]]:
    """Top left corners, the best first: beside the anchor, below or above it, at the edges of the picture."""
    x, y, w, h = anchor
    wide, high, gap = layout.wide, layout.high, layout.gap
    level = [max(0, min(top, height - high)) for top in (y, y + h - high)]
    along = [max(0, min(left, width - wide)) for left in (x, x + w - wide)]
    sides = [(left, top) for top in level for left in (x + w + gap, x - gap - wide)]
    ends = [(left, top) for left in along for top in (y + h + gap, y - gap - high)]
    edges = [(left, top) for top in level for left in (width - wide, 0)]
    return [*sides, *ends, *edges] if beside else [*ends, *sides, *edges]


@dataclass(frozen=True)
class _Layout:
    """Sizes of a panel's parts in pixels."""

    wide: int
    high: int
    bars: int
    gap: int
    pad: int
    row: int
    names: int
    bar: int
    radius: int
    size: float

    @classmethod
    def of(cls, labels: Sequence[str], scale: float, with_dial: bool) -> _Layout:
        gap, pad, size = max(2, round(5 * scale)), max(3, round(6 * scale)), 0.72 * scale
        row = text_height(size) + max(2, round(3.5 * scale))
        names, bar = max(text_width(label, size) for label in labels), round(52 * scale)
        radius = round(26 * scale)
        bars = len(labels) * row + 2 * pad
        wide = max(names + bar + 3 * pad, dial_width(radius, size) + 2 * pad)
        return cls(wide, bars + with_dial * (2 * radius + pad), bars, gap, pad, row, names, bar, radius, size)

    def draw(self, canvas: Picture, rect: Rect, estimate: EmotionEstimate, trace: Sequence[TracePoint]) -> None:
        shade(canvas, rect)
        x, y = rect[0] + self.pad, rect[1] + self.pad
        self._draw_bars(canvas, x, y, estimate)
        if self.high > self.bars:
            top = rect[1] + self.bars - self.pad // 2
            draw_dial(canvas, x, top, self.radius, self.size, estimate, trace, GROUND)

    def _draw_bars(self, canvas: Picture, x: int, y: int, estimate: EmotionEstimate) -> None:
        thick = max(3, round(0.55 * self.row))
        blend_column(canvas, estimate.labels, x, y, self.row, self.size, _DIM)
        best = estimate.labels.index(estimate.label)
        blend_text(canvas, estimate.label, x, y + best * self.row, self.size, _BRIGHT)
        left, first = x + self.names + self.pad, y + (text_height(self.size) - thick) // 2
        for i, (label, p) in enumerate(zip(estimate.labels, estimate.probabilities, strict=True)):
            top = first + i * self.row
            cv2.rectangle(canvas, (left, top), (left + self.bar - 1, top + thick - 1), _TRACK, cv2.FILLED)
            length = round(self.bar * min(1.0, max(0.0, p)))
            if length > 0:
                cv2.rectangle(canvas, (left, top), (left + length - 1, top + thick - 1), bgr(label), cv2.FILLED)
