"""Nobody can be made out in what is drawn: not from the pixels, not when a face is lost for a moment, not in insets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_core.cli import main
from emotion_core.labels import AFFECTNET
from emotion_core.media.frames import open_frames
from emotion_core.plots import observer
from emotion_core.plots.observer import Observer
from emotion_core.types import Box, EmotionEstimate, Face
from emotion_core.vision import blur
from emotion_core.vision.blur import HOLD_S, FaceBlur, blurred, head
from emotion_core.vision.haar import HaarDetector

BOX = Box(200, 160, 80, 100)


class Finds:
    """A detector that finds what it is told."""

    name, framing = "told", 1.0

    def __init__(self) -> None:
        self.faces: list[Face] = []

    def detect(self, image: np.ndarray) -> list[Face]:
        return list(self.faces)


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Finds:
    detector = Finds()
    monkeypatch.setattr(blur, "create_detector", lambda *args: detector)
    return detector


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (480, 640, 3), np.uint8)


def seen(box: Box) -> EmotionEstimate:
    return EmotionEstimate(0.0, AFFECTNET, (1.0,) + (0.0,) * 7, face=Face(box))


def kept(image: np.ndarray, shown: np.ndarray, box: Box) -> float:
    """Share of the pixels in a box that are as they were, in all three colours."""
    x, y, w, h = box.clamped(image.shape[1], image.shape[0])
    return float((image == shown)[y : y + h, x : x + w].all(axis=2).mean())


@pytest.mark.parametrize(
    ("high", "wide", "rows", "columns"), [(100, 150, 5, 5), (16, 16, 2, 2), (3, 40, 1, 5), (7, 15, 1, 1), (1, 1, 1, 1)]
)
def test_what_is_left_of_a_head_are_the_means_of_its_blocks(high: int, wide: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(0)
    area = rng.integers(0, 256, (high, wide, 3), np.uint8)
    shape = rows, high // rows, columns, wide // columns, 3
    blocks = area.reshape(shape).transpose(0, 2, 1, 3, 4)
    mixed = rng.permuted(blocks.reshape(rows * columns, -1, 3), axis=1).reshape(blocks.shape)
    flat = np.broadcast_to(blocks.mean(axis=(2, 3), keepdims=True).round(), blocks.shape)
    # Other pixels with the same means look the same: nobody can tell which they were.
    for other in (mixed, flat):
        same = other.transpose(0, 2, 1, 3, 4).reshape(area.shape).astype(np.uint8)
        assert np.abs(blurred(area).astype(int) - blurred(same)).max() <= 2  # means are rounded


def test_no_pixel_of_the_head_is_left_and_the_rest_is_as_it_was(finds: Finds, noise: np.ndarray) -> None:
    finds.faces = [Face(BOX)]
    before = noise.copy()
    shown = FaceBlur()(noise, [], 0.0)
    assert np.array_equal(noise, before)
    assert kept(noise, shown, head(BOX)) == 0
    x, y, w, h = head(BOX).clamped(640, 480)
    assert x < BOX.x - 0.3 * BOX.width and y < BOX.y - 0.5 * BOX.height
    assert x + w > BOX.x + 1.3 * BOX.width and y + h > BOX.y + 1.3 * BOX.height
    outside = np.ones((480, 640), bool)
    outside[y : y + h, x : x + w] = False
    assert np.array_equal(shown[outside], noise[outside])


@pytest.mark.parametrize("box", [Box(-30, -40, 80, 100), Box(600, 440, 80, 100), Box(0, 0, 640, 480), Box(3, 3, 1, 1)])
def test_heads_at_the_edges(finds: Finds, noise: np.ndarray, box: Box) -> None:
    finds.faces = [Face(box)]
    assert kept(noise, FaceBlur()(noise, [], 0.0), head(box)) < 0.01  # a single colour may meet its mean


def test_a_face_that_only_the_estimates_know_is_blurred_too(finds: Finds, noise: np.ndarray) -> None:
    other = Box(440, 160, 80, 100)
    finds.faces = [Face(BOX)]
    shown = FaceBlur()(noise, [seen(other)], 0.0)
    assert kept(noise, shown, BOX) == kept(noise, shown, other) == 0


def test_a_face_that_is_lost_for_a_moment_stays_blurred_where_it_was_and_around(
    finds: Finds, noise: np.ndarray
) -> None:
    hide = FaceBlur()
    finds.faces = [Face(BOX)]
    hide(noise, [], 10.0)
    finds.faces = []
    for passed_s in (0.03, 0.5, HOLD_S):
        shown = hide(noise, [], 10.0 + passed_s)
        assert kept(noise, shown, head(BOX)) == 0
        assert kept(noise, shown, head(BOX).moved(0.5 * BOX.width * passed_s, 0)) == 0  # it may have moved on
    assert np.array_equal(hide(noise, [], 10.0 + HOLD_S + 0.01), noise)


def test_where_the_face_is_found_again_its_old_place_is_shown(finds: Finds, noise: np.ndarray) -> None:
    hide = FaceBlur()
    for i in range(6):
        finds.faces = [Face(BOX.moved(30 * i, 0))]
        shown = hide(noise, [seen(BOX.moved(30 * i + 2, 1))], i / 30)
        assert kept(noise, shown, head(BOX.moved(30 * i, 0))) == 0
    assert kept(noise, shown, Box(120, 100, 40, 200)) == 1


def test_two_people_side_by_side_of_whom_one_is_lost(finds: Finds, noise: np.ndarray) -> None:
    """The one who is still there is found by detector and estimate; neither stands for the other one."""
    hide, other = FaceBlur(), BOX.moved(90, 0)
    finds.faces = [Face(BOX), Face(other)]
    hide(noise, [seen(BOX)], 0.0)
    finds.faces = [Face(BOX)]
    assert kept(noise, hide(noise, [seen(BOX)], 0.1), head(other)) == 0


def test_a_clock_that_jumps_and_pictures_that_have_nothing_to_do_with_each_other(
    finds: Finds, noise: np.ndarray
) -> None:
    hide = FaceBlur()
    finds.faces = [Face(BOX)]
    hide(noise, [], 100.0)
    finds.faces = []
    assert np.array_equal(hide(noise, [], 3.0), noise)
    finds.faces = [Face(BOX)]
    hide(noise, [], 3.0)
    hide.reset()
    finds.faces = []
    assert np.array_equal(hide(noise, [], 3.0), noise)


def test_no_detector_finds_a_face_in_what_is_left(portrait: np.ndarray) -> None:
    shown = FaceBlur("haar")(portrait, [], 0.0)
    detector = HaarDetector(640, 0.0)
    (face, *_) = detector.detect(portrait)
    assert not any(found.box.iou(face.box) > 0.1 for found in detector.detect(shown))


# ---- commands ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photo(portrait: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blur") / "face.png"
    cv2.imwrite(str(path), cv2.resize(portrait, (256, 300), interpolation=cv2.INTER_AREA))
    return path


def test_infer_draws_nobody(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", str(photo), "--draw", str(tmp_path), "--blur", "faces", "--json"]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    image, shown = cv2.imread(str(photo)), cv2.imread(str(tmp_path / "face.png"))
    # The estimate is of the face as it was; a few pixels may meet a colour of the drawing by chance.
    assert kept(image, shown, Box(*face["box"])) < 0.01
    assert main(["infer", str(photo), "--blur", "faces"]) == 2
    assert "--draw" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--branches", "--size", "1280x720"]])
def test_video_draws_nobody_also_while_the_detector_misses(
    more: Sequence[str], photo: Path, tmp_path: Path, mux: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = cv2.imread(str(photo))
    mux(tmp_path / "in.mkv", [image] * 6, [i / 10 for i in range(6)])
    drawn: list[np.ndarray] = []
    original = observer.FaceBlur

    class Blinks(original):  # type: ignore[valid-type, misc]
        def __call__(self, picture: np.ndarray, estimates: Any, stamp_s: float) -> np.ndarray:
            if 0.15 < stamp_s < 0.45:  # neither finds anything
                self._detector, estimates = Finds(), []
            shown = super().__call__(picture, estimates, stamp_s)
            drawn.append(shown)
            return shown

    monkeypatch.setattr(observer, "FaceBlur", Blinks)
    out = tmp_path / "out.mp4"
    assert main(["video", str(tmp_path / "in.mkv"), "--blur", "faces", "--out", str(out), *more]) == 0
    (face, *_) = HaarDetector().detect(image)
    assert len(drawn) == 6
    with open_frames(str(out)) as source:
        written = [frame for frame, _ in source]
    for shown, frame in zip(drawn, written, strict=True):
        assert kept(image, shown, face.box) < 0.01
        assert not HaarDetector(1280, 0.5).detect(frame)


def test_the_insets_of_the_branches_are_cut_out_of_what_is_shown(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crops: list[np.ndarray] = []
    original = observer.draw_branches

    def spy(image: Any, estimates: Any, reading: Any, *rest: Any) -> Any:
        crops.append(reading.crop)
        return original(image, estimates, reading, *rest)

    monkeypatch.setattr(observer, "draw_branches", spy)
    image = cv2.imread(str(photo))
    for hide in (False, True):
        watcher = Observer("esr_compact", "haar", stills=True, panel=True, blur=hide)
        watcher.look(image, 0.0)
        watcher.draw(image, 0.0)
    # Edges as the eye sees them: the face has them, what is left of it has none.
    shown, hidden = (np.abs(cv2.Laplacian(crop, cv2.CV_64F)).mean() for crop in crops)
    assert shown > 5 * hidden
