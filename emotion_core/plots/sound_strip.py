"""A strip below a frame: what was heard lately, when somebody spoke, and what the voice says. OpenCV only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.activity import SPEECH
from emotion_core.types import FACE, VOICE, EmotionEstimate, Picture
from emotion_core.vision.glyphs import blend_text, text_height, text_width
from emotion_core.vision.palette import bgr

SECONDS = 5.0
"""Of sound that the strip shows."""

MIN_WIDTH_PX = 200
"""In a narrower picture nothing of it can be read."""

SHARE = 0.2
"""Of the frame's height that the strip takes."""

_GROUND, _TRACK = (19, 17, 16), (58, 53, 50)  # BGR
_BRIGHT, _DIM, _FAINT = (245, 245, 245), (178, 174, 172), (104, 98, 94)
_SILENT, _SPOKEN, _SPEECH = (120, 112, 106), (240, 214, 160), (96, 70, 40)
_BARS = 3


@dataclass(frozen=True)
class SoundReading:
    """What the strip shows.

    Attributes:
        samples: (n,) float32, the sound of the last SECONDS before ``stamp_s``.
        speech: (time in seconds, probability of speech) of frames of sound.
        stamp_s: time of the frame.
        labels, probabilities: of the voice; empty while nobody speaks.
    """

    samples: NDArray[np.float32]
    speech: Sequence[tuple[float, float]]
    stamp_s: float
    labels: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()


def strip_height(frame_height: int) -> int:
    """Rows of the strip below a frame of so many rows; even, as video encoders want it."""
    return max(72, 2 * round(SHARE * frame_height / 2))


def draw_strip(width: int, height: int, reading: SoundReading, estimates: Sequence[EmotionEstimate]) -> Picture:
    """The strip.

    Args:
        width, height: in pixels, at least MIN_WIDTH_PX x 48.
        reading: what was heard.
        estimates: of the frame, to tell from which senses they come.

    Returns:
        (height, width, 3) uint8, BGR.
    """
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = _GROUND
    unit = min(width / 640, height / 96)
    pad = max(4, round(8 * unit))
    column = round(min(0.36 * width, 260 * unit))
    _draw_sound(canvas, (pad, pad, width - column - 3 * pad, height - 2 * pad), reading, unit)
    _draw_opinion(canvas, (width - column - pad, pad, column, height - 2 * pad), reading, estimates, unit)
    return canvas


def _draw_sound(canvas: Picture, rect: tuple[int, int, int, int], reading: SoundReading, unit: float) -> None:
    x, y, wide, high = rect
    size = 0.72 * unit
    line = text_height(size) + 2
    area, middle = high - line, y + (high - line) // 2
    spoken = _spoken(reading, wide)
    for first, last in _runs(spoken):
        cv2.rectangle(canvas, (x + first, y), (x + last, y + area - 1), _SPEECH, cv2.FILLED)
    cv2.line(canvas, (x, middle), (x + wide - 1, middle), _TRACK, 1)
    parts = np.array_split(reading.samples, wide) if len(reading.samples) >= wide else []
    # The loudest moment fills the height, but what is hardly to be heard stays small.
    loudest = max(0.02, float(np.abs(reading.samples).max(initial=0.0)))
    for i, part in enumerate(parts):
        low, top = (round(v / loudest * (area / 2 - 1)) for v in (float(part.min()), float(part.max())))
        colour = _SPOKEN if spoken[i] else _SILENT
        cv2.line(canvas, (x + i, middle - top), (x + i, middle - low), colour, 1)
    blend_text(canvas, f"last {SECONDS:.0f} s of sound", x, y + high - line + 2, size, _FAINT)
    if spoken.any():
        key = "speech"
        left = x + wide - text_width(key, size)
        blend_text(canvas, key, left, y + high - line + 2, size, _SPOKEN)


def _spoken(reading: SoundReading, wide: int) -> NDArray[np.bool_]:
    """For each column whether somebody speaks."""
    spoken = np.zeros(wide, bool)
    for time_s, probability in reading.speech:
        place = (time_s - reading.stamp_s + SECONDS) / SECONDS * wide
        if probability >= SPEECH:
            half = 0.016 / SECONDS * wide + 0.5
            spoken[max(0, int(place - half)) : max(0, int(place + half) + 1)] = True
    return spoken


def _draw_opinion(
    canvas: Picture,
    rect: tuple[int, int, int, int],
    reading: SoundReading,
    estimates: Sequence[EmotionEstimate],
    unit: float,
) -> None:
    x, y, wide, _ = rect
    size = 0.8 * unit
    row = text_height(size) + max(2, round(4 * unit))
    senses = reduce(or_, (e.modalities for e in estimates), 0)
    used = {FACE: "face", VOICE: "voice", FACE | VOICE: "face + voice"}.get(senses, "nothing")
    text = f"used: {used}"
    blend_text(canvas, text, x + wide - text_width(text, size), y, size, _BRIGHT if senses & VOICE else _DIM)
    # The bars are the voice's own opinion: what comes of both stands beside the face.
    blend_text(canvas, "voice" if reading.labels else "no voice", x, y, size, _BRIGHT if reading.labels else _FAINT)
    if not reading.labels:
        return
    order = sorted(range(len(reading.labels)), key=lambda i: -reading.probabilities[i])[:_BARS]
    names = max(text_width(label, size) for label in reading.labels) + round(8 * unit)
    numbers = text_width("100 %", size) + round(6 * unit)
    thick = max(3, round(0.5 * text_height(size)))
    bar = max(4, wide - names - numbers)
    for place, i in enumerate(order, 1):
        top = y + place * row
        label, share = reading.labels[i], reading.probabilities[i]
        blend_text(canvas, label, x, top, size, _BRIGHT if place == 1 else _DIM)
        middle = top + text_height(size) // 2 - thick // 2
        cv2.rectangle(canvas, (x + names, middle), (x + names + bar - 1, middle + thick - 1), _TRACK, cv2.FILLED)
        if (length := round(bar * share)) > 0:
            end = (x + names + length - 1, middle + thick - 1)
            cv2.rectangle(canvas, (x + names, middle), end, bgr(label), cv2.FILLED)
        text = f"{100 * share:.0f} %"
        blend_text(canvas, text, x + wide - text_width(text, size), top, size, _BRIGHT if place == 1 else _DIM)


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, last) of each stretch that is set."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
