"""A picture of an ensemble at work: the frame, what each branch makes of a face, and its path through the
valence-arousal plane. OpenCV only, for speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.types import EmotionEstimate, Picture
from emotion_core.vision.dial import draw_path
from emotion_core.vision.draw import draw_estimates, placed
from emotion_core.vision.glyphs import blend_text, text_height, text_width
from emotion_core.vision.heat import blend_heat
from emotion_core.vision.palette import RGB, bgr, ink
from emotion_core.vision.panel import Rect
from emotion_core.vision.picture import as_bgr
from emotion_core.vision.trace import TracePoint

SIZE_PX = (1280, 720)
MIN_SIZE_PX = (640, 360)
"""In a smaller picture the column beside the frame cannot be read."""

_COLUMN_PX = 432  # of 1280
_GROUND, _CARD, _TRACK = (19, 17, 16), (32, 28, 26), (58, 53, 50)  # BGR
_BRIGHT, _DIM, _FAINT = (245, 245, 245), (178, 174, 172), (104, 98, 94)


@dataclass(frozen=True)
class BranchReading:
    """One face as the members of an ensemble see it.

    Attributes:
        estimate: the ensemble's.
        probabilities: (branches, classes), in the order of the estimate's labels.
        affect: (branches, 2) valence and arousal, NaN where the model has none.
        crop: (T, T, 3) uint8 BGR, the face framed as the network sees it, of any size.
        saliency: (branches, S, S) in [0, 1], see ``grad_cam``; None shows the face alone.
    """

    estimate: EmotionEstimate
    probabilities: NDArray[np.floating]
    affect: NDArray[np.floating]
    crop: Picture
    saliency: NDArray[np.floating] | None = None


def letterbox(image: Picture, size: tuple[int, int]) -> tuple[Picture, float, tuple[int, int]]:
    """The image as large as it fits into a canvas of (width, height), in its middle.

    Returns:
        The canvas (height, width, 3) uint8 BGR, the factor by which the image was scaled, and the (x, y) in pixels
        of its top left corner.

    Raises:
        EmotionError: the image is none.
    """
    image = as_bgr(image)
    height, width = image.shape[:2]
    factor = min(size[0] / width, size[1] / height)
    wide, high = max(1, min(size[0], round(width * factor))), max(1, min(size[1], round(height * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    x, y = (size[0] - wide) // 2, (size[1] - high) // 2
    canvas = np.empty((size[1], size[0], 3), np.uint8)
    canvas[:] = _GROUND
    canvas[y : y + high, x : x + wide] = cv2.resize(image, (wide, high), interpolation=how)
    return canvas, factor, (x, y)


def check_size(size: tuple[int, int]) -> None:
    """Raise EmotionError for a (width, height) in pixels that has no room for frame and branches side by side."""
    if size[0] < MIN_SIZE_PX[0] or size[1] < MIN_SIZE_PX[1] or 3 * size[0] < 4 * size[1]:
        least = f"{MIN_SIZE_PX[0]}x{MIN_SIZE_PX[1]}"
        raise EmotionError(f"a frame with its branches takes at least {least} and 4:3, got {size[0]}x{size[1]}")


def draw_branches(
    image: Picture,
    estimates: Sequence[EmotionEstimate],
    reading: BranchReading | None,
    trace: Sequence[TracePoint] = (),
    size: tuple[int, int] = SIZE_PX,
) -> Picture:
    """The frame with boxes and labels on the left; on the right the ensemble's probabilities, what each branch says,
    and valence and arousal.

    Args:
        image: (H, W, 3) uint8, BGR; not changed.
        estimates: of everybody in it, the largest face first.
        reading: of the face that the column is about; None when there is none.
        trace: its valence and arousal lately, see AffectTrace.
        size: (width, height) of the result in pixels, at least MIN_SIZE_PX, and a third wider than high.

    Returns:
        (height, width, 3) uint8, BGR.

    Raises:
        EmotionError: the size is another.
    """
    check_size(size)
    width, height = size
    unit = min(width / SIZE_PX[0], height / SIZE_PX[1])
    column = round(_COLUMN_PX * unit)
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = _GROUND
    frame, factor, offset = letterbox(image, (width - column, height))
    # The bars are in the column.
    canvas[:, : width - column] = draw_estimates(frame, placed(estimates, factor, offset), panels=False)
    gap = max(4, round(10 * unit))
    x, wide, room = width - column + gap, column - 2 * gap, height - 4 * gap
    labels = () if reading is None else reading.estimate.labels
    branches = 0 if reading is None else len(reading.probabilities)
    # Many branches take room from the two others.
    upper = round((0.32 if branches <= 4 else 0.29) * room)
    middle = round((0.30 if branches <= 4 else 0.45) * room)
    first = _card(canvas, (x, gap, wide, upper), unit)
    if reading is None:
        _centred(canvas, first, "no face", unit)
    else:
        _ensemble(canvas, first, unit, reading.estimate)
        pad = first[0] - x
        grid = _Grid.best(branches, first[2], middle - 2 * pad - _headline_px(unit), unit, labels)
        middle = grid.height + 2 * pad + _headline_px(unit)
        _members(canvas, _card(canvas, (x, upper + 2 * gap, wide, middle), unit), unit, reading, grid)
    y = upper + middle + 3 * gap
    if reading is None:
        _card(canvas, (x, upper + 2 * gap, wide, middle), unit)
    _plane(canvas, _card(canvas, (x, y, wide, height - gap - y), unit), unit, reading, trace)
    return canvas


def _card(canvas: Picture, rect: Rect, unit: float) -> Rect:
    """A lighter rectangle; returns what is inside its padding."""
    x, y, w, h = rect
    cv2.rectangle(canvas, (x, y), (x + w - 1, y + h - 1), _CARD, cv2.FILLED)
    pad = round(11 * unit)
    return x + pad, y + pad, w - 2 * pad, h - 2 * pad


def _centred(canvas: Picture, rect: Rect, text: str, unit: float) -> None:
    x, y, w, h = rect
    left, top = x + (w - text_width(text, unit)) // 2, y + (h - text_height(unit)) // 2
    blend_text(canvas, text, left, top, unit, _FAINT)


def _fitted(text: str, size: float, room: int) -> float:
    """The size, or the smaller one at which the text fits."""
    while size > 0.2 and text_width(text, size) > room:
        size *= 0.95
    return size


def _bar(canvas: Picture, rect: Rect, share: float, colour: RGB) -> None:
    x, y, w, h = rect
    cv2.rectangle(canvas, (x, y), (x + w - 1, y + h - 1), _TRACK, cv2.FILLED)
    if (length := round(w * min(1.0, max(0.0, share)))) > 0:
        cv2.rectangle(canvas, (x, y), (x + length - 1, y + h - 1), colour, cv2.FILLED)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _ensemble(canvas: Picture, rect: Rect, unit: float, estimate: EmotionEstimate) -> None:
    """A headline, and a bar for each label."""
    x, y, w, h = rect
    size = _fitted(f"{estimate.label} 100 %", 1.5 * unit, round(0.72 * w))
    blend_text(canvas, estimate.label, x, y, size, _BRIGHT)
    right = _percent(estimate.confidence)
    blend_text(canvas, right, x + w - text_width(right, size), y, size, _BRIGHT)
    top = y + text_height(size) + round(6 * unit)
    row = (y + h - top) / len(estimate.labels)
    small = min(0.92 * unit, 0.045 * row)
    names = max(text_width(label, small) for label in estimate.labels) + round(10 * unit)
    numbers = text_width("100 %", small) + round(8 * unit)
    thick = max(3, round(0.5 * row))
    for i, (label, p) in enumerate(zip(estimate.labels, estimate.probabilities, strict=True)):
        line, middle = round(top + (i + 0.5) * row - text_height(small) / 2), round(top + (i + 0.5) * row)
        shade = _BRIGHT if label == estimate.label else _DIM
        blend_text(canvas, label, x, line, small, shade)
        _bar(canvas, (x + names, middle - thick // 2, w - names - numbers, thick), p, bgr(label))
        blend_text(canvas, _percent(p), x + w - text_width(_percent(p), small), line, small, shade)


def _headline_px(unit: float) -> int:
    return text_height(0.86 * unit) + round(8 * unit)


def _members(canvas: Picture, rect: Rect, unit: float, reading: BranchReading, grid: _Grid) -> None:
    """A headline with the vote, and a tile for each branch with its label and probability below or beside."""
    x, y, w, _ = rect
    labels, small = reading.estimate.labels, 0.86 * unit
    winners = reading.probabilities.argmax(axis=1)
    counts = np.bincount(winners, minlength=len(labels))
    title, vote = "branches, this frame", f"{counts.max()} of {len(winners)} say {labels[int(counts.argmax())]}"
    blend_text(canvas, title, x, y, small, _DIM)
    fitted = _fitted(vote, small, w - text_width(title, small) - round(12 * unit))
    blend_text(canvas, vote, x + w - text_width(vote, fitted), y, fitted, _DIM)
    for i, winner in enumerate(winners):
        left, top = grid.place(i)
        left, top = x + left, y + _headline_px(unit) + top
        canvas[top : top + grid.tile, left : left + grid.tile] = _tile(reading, i, grid.tile, unit)
        texts = labels[int(winner)], _percent(float(reading.probabilities[i, winner]))
        for text, colour, (tx, ty, room) in zip(texts, (_BRIGHT, _DIM), grid.captions(left, top), strict=True):
            size = _fitted(text, grid.size, room)
            shift = 0 if grid.beside else (room - text_width(text, size)) // 2
            blend_text(canvas, text, tx + shift, ty, size, colour)


@dataclass(frozen=True)
class _Grid:
    """How n tiles are laid out, in pixels: each in a cell of its width, its caption beside it or below."""

    columns: int
    rows: int
    wide: int
    gap: int
    tile: int
    beside: bool
    size: float

    @classmethod
    def best(cls, count: int, width: int, height: int, unit: float, labels: Sequence[str]) -> _Grid:
        """The layout with the largest tiles."""
        found: list[_Grid] = []
        gap, size = round(9 * unit), 0.8 * unit
        caption = max(text_width(label, size) for label in labels)
        for columns in range(1, count + 1):
            rows = -(-count // columns)
            wide, high = (width - (columns - 1) * gap) // columns, (height - (rows - 1) * gap) // rows
            for beside in (True, False):
                if beside or caption <= wide:
                    grid = cls(columns, rows, wide, gap, 0, beside, size)
                    sides = (wide - caption - gap, high) if beside else (wide, high - grid.below)
                    found.append(replace(grid, tile=max(8, min(sides))))
        return max(found, key=lambda grid: grid.tile)

    @property
    def below(self) -> int:
        """Room for the caption under a tile."""
        return 0 if self.beside else 2 * text_height(self.size) + 3 * self.gap // 4

    @property
    def height(self) -> int:
        return self.rows * (self.tile + self.below + self.gap) - self.gap

    def place(self, i: int) -> tuple[int, int]:
        """Top left corner of a tile."""
        x, y = (i % self.columns) * (self.wide + self.gap), (i // self.columns) * (self.tile + self.below + self.gap)
        return x + (0 if self.beside else (self.wide - self.tile) // 2), y

    def captions(self, left: int, top: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """(x, y, width) of the two lines that belong to the tile at a corner."""
        line = text_height(self.size)
        if self.beside:
            x, y, room = left + self.tile + self.gap, top + self.tile // 2 - line, self.wide - self.tile - self.gap
        else:
            x, y, room = left + (self.tile - self.wide) // 2, top + self.tile + self.gap // 2, self.wide
        return (x, y, room), (x, y + line + self.gap // 4, room)


def _tile(reading: BranchReading, branch: int, side: int, unit: float) -> Picture:
    """The face, with the branch's saliency where there is one, its number, and a frame in its label's colour."""
    tile = np.asarray(cv2.resize(reading.crop, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    if reading.saliency is not None:
        heat = cv2.resize(np.asarray(reading.saliency[branch], np.float32), (side, side))
        grey = cv2.cvtColor(cv2.cvtColor(tile, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        tile = blend_heat(np.asarray(grey, np.uint8), np.clip(heat, 0, 1), 0.7)
    label = reading.estimate.labels[int(reading.probabilities[branch].argmax())]
    line = max(1, round(2 * unit))
    cv2.rectangle(tile, (line // 2, line // 2), (side - 1 - line // 2, side - 1 - line // 2), bgr(label), line)
    number, size = str(branch + 1), 0.72 * unit
    pad = max(2, round(3 * unit))
    corner = (0, 0), (text_width(number, size) + 2 * pad, text_height(size) + pad)
    cv2.rectangle(tile, *corner, bgr(label), cv2.FILLED)
    blend_text(tile, number, pad, pad // 2 + 1, size, ink(bgr(label)[::-1]))
    return tile


def _plane(
    canvas: Picture, rect: Rect, unit: float, reading: BranchReading | None, trace: Sequence[TracePoint]
) -> None:
    """Valence to the right and arousal upwards, both in [-1, 1], and the numbers of now."""
    x, y, w, h = rect
    size, gap = 0.86 * unit, round(8 * unit)
    line = text_height(size)
    radius = min((h - line - gap // 2) // 2, round(0.36 * w))
    cx, cy = x + round(0.36 * w), y + line + gap // 2 + radius
    right = cx + radius + gap
    cv2.rectangle(canvas, (cx - radius, cy - radius), (cx + radius, cy + radius), _TRACK, 1)
    cv2.circle(canvas, (cx, cy), radius, _TRACK, 1, cv2.LINE_AA)
    cv2.line(canvas, (cx - radius, cy), (cx + radius, cy), _FAINT, 1)
    cv2.line(canvas, (cx, cy - radius), (cx, cy + radius), _FAINT, 1)
    blend_text(canvas, "arousal", cx - text_width("arousal", size) // 2, y, size, _DIM)
    blend_text(canvas, "valence", right, cy - line // 2, size, _DIM)

    def pixel(valence: float, arousal: float) -> tuple[int, int]:
        return round(cx + radius * valence), round(cy - radius * arousal)

    draw_path(canvas, trace, pixel, max(1, round(2 * unit)), _CARD)
    if reading is None:
        return
    estimate = reading.estimate
    if math.isnan(estimate.valence) or math.isnan(estimate.arousal):
        blend_text(canvas, "not in this model", right, cy + line, 0.8 * size, _FAINT)
        return
    blend_text(canvas, f"{estimate.valence:+.2f}", right, cy + line, size, _BRIGHT)
    blend_text(canvas, f"{estimate.arousal:+.2f}", cx + text_width("arousal", size) // 2 + gap, y, size, _BRIGHT)
    for valence, arousal in reading.affect:
        if math.isfinite(valence) and math.isfinite(arousal):
            at = pixel(min(1.0, max(-1.0, valence)), min(1.0, max(-1.0, arousal)))
            cv2.circle(canvas, at, max(2, round(3 * unit)), _DIM, 1, cv2.LINE_AA)
    now = pixel(estimate.valence, estimate.arousal)
    cv2.circle(canvas, now, round(8 * unit), _BRIGHT, cv2.FILLED, cv2.LINE_AA)
    cv2.circle(canvas, now, round(6 * unit), bgr(estimate.label), cv2.FILLED, cv2.LINE_AA)
    key, low = "each branch", y + h - line
    left = x + w - text_width(key, 0.9 * size)
    blend_text(canvas, key, left, low, 0.9 * size, _FAINT)
    cv2.circle(canvas, (left - gap, low + line // 2 - 1), max(2, round(3 * unit)), _DIM, 1, cv2.LINE_AA)
