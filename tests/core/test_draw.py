"""What is drawn, where it lands, and that colours can be told apart."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_core.labels import AFFECTNET, FER2013, FERPLUS
from emotion_core.types import FACE, VOICE, Box, EmotionEstimate, Face
from emotion_core.vision import draw, panel
from emotion_core.vision.draw import draw_estimates, draw_status, placed
from emotion_core.vision.glyphs import blend_text, text_height, text_width
from emotion_core.vision.palette import COLOURS, UNKNOWN, bgr, colour, hex_colour, ink
from emotion_core.vision.panel import Rect
from emotion_core.vision.trace import TracePoint

SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080), (480, 640))


def estimate(
    box: Box | None,
    label: str = "happy",
    p: float = 0.93,
    valence: float = 0.5,
    arousal: float = 0.25,
    track: str = "1",
) -> EmotionEstimate:
    rest = (1 - p) / (len(AFFECTNET) - 1)
    return EmotionEstimate(
        stamp_s=0.0,
        labels=AFFECTNET,
        probabilities=tuple(p if name == label else rest for name in AFFECTNET),
        valence=valence,
        arousal=arousal,
        face=None if box is None else Face(box),
        track_id=track,
        modalities=VOICE if box is None else 1,
    )


def grey(width: int = 640, height: int = 480) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def changed(image: np.ndarray, drawn: np.ndarray) -> Rect:
    """Bounding rectangle (x, y, width, height) of the pixels that differ."""
    return cv2.boundingRect((image != drawn).any(axis=2).astype(np.uint8))


@pytest.fixture
def chips(monkeypatch: pytest.MonkeyPatch) -> list[Rect]:
    """Rectangles of the chips, in the order in which they are drawn."""
    rects: list[Rect] = []
    original = draw._draw_chip

    def spy(*args: Any) -> Rect:
        rects.append(original(*args))
        return rects[-1]

    monkeypatch.setattr(draw, "_draw_chip", spy)
    return rects


def cut(drawn: np.ndarray, rect: Rect) -> np.ndarray:
    x, y, w, h = rect
    assert x >= 0 and y >= 0 and x + w <= drawn.shape[1] and y + h <= drawn.shape[0]
    # The round corners let the background through.
    return drawn[y + 3 : y + h - 3, x + 3 : x + w - 3]


def test_nobody_changes_nothing() -> None:
    image = grey()
    drawn = draw_estimates(image, [])
    assert np.array_equal(drawn, image)
    assert not np.shares_memory(drawn, image)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_original_stays_and_far_pixels_too(width: int, height: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    before = image.copy()
    box = Box(width * 0.4, height * 0.4, width * 0.15, height * 0.3)
    drawn = draw_estimates(image, [estimate(box)])
    assert np.array_equal(image, before)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    x, y, w, h = changed(image, drawn)
    # Chip above, panel beside (in a small image moved up until it fits): nothing further away than that.
    assert y >= height * 0.25 and (y + h < height * 0.95 or height == 240)
    assert x >= width * 0.1 and x + w <= width
    # Inside the face only the edge is drawn on.
    inner = np.s_[int(height * 0.5) : int(height * 0.6), int(width * 0.45) : int(width * 0.5)]
    assert np.array_equal(drawn[inner], image[inner])


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("label", AFFECTNET)
def test_the_chip_lies_above_the_face_in_the_colour_of_the_emotion(
    width: int, height: int, label: str, chips: list[Rect]
) -> None:
    box = Box(width * 0.4, height * 0.4, width * 0.2, height * 0.3)
    drawn = draw_estimates(grey(width, height), [estimate(box, label)])
    x, y, _, h = chips[0]
    assert 0 <= box.x - x <= 40  # moved left only where it would reach beyond the image
    assert y + h <= box.y and box.y - (y + h) < 0.05 * height
    inside = cut(drawn, chips[0])
    assert (inside == np.array(bgr(label), np.uint8)).all(axis=2).mean() > 0.3
    text = inside[:, : inside.shape[1] // 2]
    assert text.max() >= 250 or text.min() <= 5  # white or black


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize(("fx", "fy"), list(itertools.product((-0.1, 0.4, 0.9), (-0.15, 0.4, 0.85))))
def test_the_chip_is_whole_wherever_the_face_is(
    width: int, height: int, fx: float, fy: float, chips: list[Rect]
) -> None:
    reference = draw_estimates(grey(width, height), [estimate(Box(width * 0.4, height * 0.4, 90, 90))])
    box = Box(fx * width, fy * height, 0.2 * width, 0.3 * height)
    drawn = draw_estimates(grey(width, height), [estimate(box)])
    assert np.array_equal(cut(reference, chips[0]), cut(drawn, chips[1]))


@pytest.mark.parametrize("box", [Box(0, 0, 640, 480), Box(-100, -100, 900, 900)])
def test_a_face_that_fills_the_image_has_its_chip_inside(box: Box, chips: list[Rect]) -> None:
    reference = draw_estimates(grey(), [estimate(Box(250, 200, 90, 90))])
    assert np.array_equal(cut(reference, chips[0]), cut(draw_estimates(grey(), [estimate(box)]), chips[1]))


@pytest.mark.parametrize("box", [Box(-50, 100, 50, 50), Box(640, 10, 9, 9), Box(10, -20, 30, 19), Box(9, 481, 9, 9)])
def test_a_face_outside_is_not_drawn(box: Box) -> None:
    assert np.array_equal(draw_estimates(grey(), [estimate(box)]), grey())


@pytest.mark.parametrize(("width", "height"), [(1, 1), (8, 8), (40, 30), (64, 48), (200, 10), (10, 200), (4000, 3000)])
def test_any_size_works(width: int, height: int) -> None:
    box = Box(0.2 * width, 0.2 * height, 0.6 * width, 0.6 * height)
    drawn = draw_estimates(grey(width, height), [estimate(box, track="12345678901234")], status="a line of text")
    assert drawn.shape == (height, width, 3)


@pytest.mark.parametrize(("size", "valence"), [(40, math.nan), (40, 0.5), (1, 0.5), (0.2, math.nan)])
def test_tiny_boxes(size: float, valence: float, chips: list[Rect]) -> None:
    drawn = draw_estimates(grey(), [estimate(Box(300, 200, size, size), valence=valence, arousal=valence)])
    assert (drawn[200:205, 300:305] != 128).any()
    assert chips[0][1] + chips[0][3] <= 200


def test_without_valence_the_panel_ends_after_the_bars() -> None:
    box = Box(250, 100, 100, 60)
    with_dial = changed(grey(), draw_estimates(grey(), [estimate(box)]))
    without = changed(grey(), draw_estimates(grey(), [estimate(box, valence=math.nan, arousal=math.nan)]))
    assert with_dial[3] - without[3] > 40
    assert with_dial[2] == without[2]


@pytest.mark.parametrize(("valence", "arousal"), [(0.9, 0.0), (-0.9, 0.0), (0.0, 0.9), (0.0, -0.9)])
def test_the_dot_is_right_for_pleasant_and_up_for_excited(valence: float, arousal: float) -> None:
    box = Box(200, 100, 100, 60)
    zero = draw_estimates(grey(), [estimate(box, valence=0.0, arousal=0.0)])
    drawn = draw_estimates(grey(), [estimate(box, valence=valence, arousal=arousal)])
    yellow = np.array(bgr("happy"), np.uint8)

    def centre(picture: np.ndarray) -> tuple[float, float]:
        # Right of the face, left of the bars: names and dial.
        rows, columns = np.nonzero((picture[100:, 305:365] == yellow).all(axis=2))
        return columns.mean(), rows.mean()

    (x0, y0), (x1, y1) = centre(zero), centre(drawn)
    assert x1 - x0 == pytest.approx(26 * valence, abs=1.5)  # the dial's radius
    assert y1 - y0 == pytest.approx(-26 * arousal, abs=1.5)


def test_a_bar_is_as_long_as_its_probability() -> None:
    box = Box(200, 100, 100, 60)

    def bar(p: float) -> int:
        drawn = draw_estimates(grey(), [estimate(box, "sad", p=p, valence=math.nan, arousal=math.nan)])
        panel = drawn[100:, 305:]
        return int((panel == np.array(bgr("sad"), np.uint8)).all(axis=2).sum(axis=1).max())

    full = bar(1.0)
    assert full == 52
    assert bar(0.5) == full // 2


def test_without_panels_boxes_and_chips_stay_as_they_are(chips: list[Rect]) -> None:
    box = Box(200, 100, 100, 60)
    full, bare = (draw_estimates(grey(), [estimate(box)], panels=panels) for panels in (True, False))
    assert chips[0] == chips[1]
    left, top, wide, _ = changed(full, bare)
    assert left > box.x + box.width and top == box.y and wide > 100
    assert (bare[(full != bare).any(axis=2)] == 128).all()


def test_no_panel_where_it_would_cover_another_face() -> None:
    alone = draw_estimates(grey(), [estimate(Box(270, 200, 100, 120))])
    assert changed(grey(), alone)[2] > 200
    between = [Box(270, 200, 100, 120), Box(140, 200, 100, 250), Box(400, 200, 100, 250)]
    drawn = draw_estimates(grey(), [estimate(box, track=str(i)) for i, box in enumerate(between)])
    for box in between:
        x, y, w, h = box.clamped(640, 480)
        middle = np.s_[y + h // 2 : y + h - 40, x + 20 : x + w - 20]
        assert (drawn[middle] == 128).all()


def test_chips_of_neighbours_do_not_cover_each_other(chips: list[Rect]) -> None:
    boxes = [Box(100 + 60 * i, 150, 58, 70) for i in range(3)]
    draw_estimates(grey(), [estimate(b, track=str(i)) for i, b in enumerate(boxes)])
    assert len(chips) == 3
    for a, b in itertools.combinations(chips, 2):
        assert draw.overlap(a, b) == 0


@pytest.mark.parametrize("status", ["", "no picture for 3.2 s"])
def test_voices_get_chips_without_boxes(status: str, chips: list[Rect]) -> None:
    drawn = draw_estimates(grey(), [estimate(None, "sad"), estimate(None, "anger")], status)
    (x0, y0, _, h0), (x1, y1, _, _) = chips
    assert x0 == x1 < 10 and y0 < 10 and y0 + h0 < y1 < 50
    assert (cut(drawn, chips[1]) == np.array(bgr("anger"), np.uint8)).all(axis=2).mean() > 0.3


def test_the_status_stays_in_its_corner_and_chips_keep_clear_of_it() -> None:
    image = grey()
    drawn = draw_status(image, "yunet · esr_compact · 29.8 fps")
    x, y, w, h = changed(image, drawn)
    assert x == 0 and y + h == 480 and w < 320 and h < 30
    assert np.array_equal(image, grey())
    both = draw_estimates(image, [estimate(Box(0, 0, 640, 480))], status="yunet · esr_compact · 29.8 fps")
    corner = np.s_[y + 4 : y + h - 4, 4 : w - 4]
    assert np.abs(both[corner].astype(int) - drawn[corner]).max() <= 40  # the box's line shows through, darkened


def test_text_is_measured_as_it_is_drawn() -> None:
    for text, size in itertools.product(("happy 93 %", "gjpqy", "X", ""), (0.5, 0.72, 1.0, 1.84)):
        canvas = np.zeros((100, 400, 3), np.uint8)
        blend_text(canvas, text, 10, 10, size, (255, 255, 255))
        rows, columns = np.nonzero(canvas.any(axis=2))
        if text:
            assert canvas.max() > 200
            assert rows.min() >= 10 and rows.max() < 10 + text_height(size)
            assert columns.min() >= 10 and columns.max() < 10 + text_width(text, size)


def test_text_beyond_the_edge_is_left_out() -> None:
    canvas = np.zeros((20, 20, 3), np.uint8)
    for x, y in ((-1000, 0), (1000, 0), (0, -1000), (0, 1000), (-5, -5), (15, 15)):
        blend_text(canvas, "happy ☺", x, y, 1.0, (255, 255, 255))
    assert canvas.any()


def test_every_label_has_its_own_colour() -> None:
    labels = set(AFFECTNET) | set(FERPLUS) | set(FER2013)
    assert labels <= set(COLOURS)
    assert len(set(COLOURS.values()) | {UNKNOWN}) == len(COLOURS) + 1
    assert colour("angry") == colour("Anger") == COLOURS["anger"]
    assert colour("bored") == UNKNOWN
    assert bgr("anger") == COLOURS["anger"][::-1]
    assert hex_colour("anger") == "#e5261f"


SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_can_be_told_apart(sight: str) -> None:
    values = np.array(list(COLOURS.values())) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(SIGHT[sight]).T, 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = cv2.cvtColor(seen.astype(np.float32)[None], cv2.COLOR_RGB2LAB)[0]
    for a, b in itertools.combinations(lab, 2):
        assert np.linalg.norm(a - b) > 20


def test_ink_reads_on_every_colour() -> None:
    for value in COLOURS.values():
        linear = (np.array(value) / 255) ** 2.2
        luminance = float(linear @ [0.2126, 0.7152, 0.0722])
        contrast = (1.05 / (luminance + 0.05)) if ink(value) == (255, 255, 255) else (luminance + 0.05) / 0.05
        assert contrast > 4.5  # WCAG AA


@pytest.mark.parametrize(
    ("box", "track", "modalities", "tag"),
    [
        (Box(200, 100, 100, 60), "7", FACE, "#7"),
        (Box(200, 100, 100, 60), "7", FACE | VOICE, "#7 + voice"),
        (Box(200, 100, 100, 60), "", FACE | VOICE, "voice"),
        (Box(200, 100, 100, 60), "", FACE, None),
        (None, "", VOICE, "voice"),
    ],
)
def test_the_end_of_a_chip_tells_whose_it_is_and_whether_a_voice_was_heard(
    box: Box | None, track: str, modalities: int, tag: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(draw, "blend_text", lambda canvas, text, *rest: written.append(text))
    draw_estimates(grey(), [replace(estimate(box, track=track), modalities=modalities)])
    assert written == ["happy 93 %"] + ([] if tag is None else [tag])


# ---- panels --------------------------------------------------------------------------------------------------------


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Rect, bool]]:
    """Track, rectangle, and whether there is a dial, of the panels in the order in which they are drawn."""
    found: list[tuple[str, Rect, bool]] = []
    original = panel._Layout.draw

    def spy(self: Any, canvas: Any, rect: Rect, e: EmotionEstimate, trace: Any) -> None:
        found.append((e.track_id, rect, self.high > self.bars))
        original(self, canvas, rect, e, trace)

    monkeypatch.setattr(panel._Layout, "draw", spy)
    return found


def test_panels_of_a_row_of_faces_are_on_the_same_side(panels: list[tuple[str, Rect, bool]]) -> None:
    """Otherwise one between two faces may be anybody's."""
    boxes = [Box(60 + 440 * i, 400, 220, 260) for i in range(4)]
    draw_estimates(grey(1920, 1080), [estimate(box, track=str(i)) for i, box in enumerate(boxes)])
    places = {track: rect for track, rect, _ in panels}
    assert len(places) == 4
    for i, box in enumerate(boxes):
        assert 0 < places[str(i)][0] - (box.x + box.width) < 20


def test_a_line_in_the_colour_of_the_label_leads_from_panel_to_face(panels: list[tuple[str, Rect, bool]]) -> None:
    drawn = draw_estimates(grey(), [estimate(Box(60, 150, 90, 110), "anger"), estimate(Box(545, 150, 94, 110), "sad")])
    (_, right, _), (_, left, _) = sorted(panels, key=lambda item: item[1][0])
    red, blue = (np.array(bgr(label), np.uint8) for label in ("anger", "sad"))
    assert (drawn[right[1] : right[1] + right[3], right[0] - 2 : right[0]] == red).all()
    edge = left[0] + left[2]
    assert edge < 545
    assert (drawn[left[1] : left[1] + left[3], edge : edge + 2] == blue).all()


def test_without_room_a_panel_is_smaller_then_lies_on_the_edge_of_its_face(
    panels: list[tuple[str, Rect, bool]],
) -> None:
    sizes = []
    for box in (Box(270, 100, 100, 260), Box(110, 0, 418, 480), Box(60, 0, 520, 480), Box(0, 0, 640, 480)):
        panels.clear()
        drawn = draw_estimates(grey(), [estimate(box)])
        ((_, rect, dial),) = panels
        sizes.append((rect[2], rect[3]))
        assert dial
        assert draw.overlap(rect, box.clamped(640, 480)) <= 0.2 * box.area
        assert (drawn[rect[1] + 8 : rect[1] + rect[3] - 8, rect[0] + 8 : rect[0] + rect[2] - 8] != 128).any()
    assert sizes[1][0] < 0.85 * sizes[0][0]
    assert sizes[0] == sizes[2] == sizes[3]


def test_a_voice_has_its_bars_below_its_chip(panels: list[tuple[str, Rect, bool]], chips: list[Rect]) -> None:
    voice = estimate(None, "sad", valence=math.nan, arousal=math.nan)
    draw_estimates(grey(), [voice, estimate(Box(300, 200, 100, 120))])
    (_, rect, dial) = next(item for item in panels if item[1][0] < 100)
    assert not dial
    assert rect[0] == chips[0][0] and 0 < rect[1] - (chips[0][1] + chips[0][3]) < 10


def test_the_dial_shows_where_the_dot_came_from(panels: list[tuple[str, Rect, bool]]) -> None:
    box = Box(200, 100, 100, 60)
    now = estimate(box, "happy", valence=0.8, arousal=0.3, track="7")  # off the axes
    path = [TracePoint(-0.8 + 0.16 * i, 0.3, "sad" if i < 5 else "happy", 1 - i / 10, i > 0) for i in range(10)]
    without, other, with_path = (
        draw_estimates(grey(), [now], traces=traces) for traces in (None, {"8": path}, {"7": path})
    )
    assert np.array_equal(without, other)
    x, y, w, h = changed(without, with_path)
    _, rect, _ = panels[-1]
    assert rect[0] <= x and x + w <= rect[0] + rect[2] and y > rect[1] + rect[3] / 2
    assert 1.5 * 26 < w < 2 * 26 and h < 10  # level
    strength = np.abs(with_path[y : y + h, x : x + w].astype(int) - without[y : y + h, x : x + w]).max(axis=(0, 2))
    assert 0 < strength[:6].max() < strength[12:18].max() < strength[-12:].max()  # the older, the fainter


def test_faces_follow_a_scaled_and_moved_picture() -> None:
    face = Face(Box(10, 20, 30, 40), 0.5, eyes=((15.0, 30.0), (30.0, 31.0)))
    moved, voice = placed([replace(estimate(Box(1, 1, 1, 1)), face=face), estimate(None)], 0.5, (100, 200))
    assert moved.face == Face(Box(105, 210, 15, 20), 0.5, ((107.5, 215.0), (115.0, 215.5)))
    assert voice.face is None
