"""ExpW: label.lst with boxes, and photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_core.cli import main
from emotion_core.data.expw import LABELS, SPLITS, load_expw, split_of
from emotion_core.data.registry import open_dataset
from emotion_core.errors import EmotionError

BLUE, RED = (220, 20, 20), (20, 20, 220)
PHOTOS = [f"photo_{i}.jpg" for i in range(60)]
LINES = [f"{name} {face} 10 20 60 50 99.9 {(i + face) % 7}" for i, name in enumerate(PHOTOS) for face in (0, 1)]


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "label").mkdir()
    (tmp_path / "image" / "origin").mkdir(parents=True)
    (tmp_path / "label" / "label.lst").write_text("\n".join(LINES) + "\n")
    photo = np.full((90, 120, 3), BLUE, np.uint8)
    photo[10:50, 20:60] = RED  # top 10, left 20, right 60, bottom 50
    content = cv2.imencode(".jpg", photo)[1].tobytes()
    for name in PHOTOS:
        (tmp_path / "image" / "origin" / name).write_bytes(content)
    return tmp_path


def test_faces_are_cut_by_their_boxes(root):
    train = load_expw(root, "train")
    face = train.face(0)
    assert face.shape == (96, 96, 3) and np.abs(face[10:-10, 10:-10].reshape(-1, 3).mean(0) - RED).max() < 6
    listed = train.faces[0]
    assert (listed.box.x, listed.box.y, listed.box.width, listed.box.height) == (20, 10, 40, 40)


def test_all_faces_of_a_photo_are_in_one_split(root):
    parts = {split: open_dataset("expw", root, split) for split in SPLITS}
    names = {split: {face.name for face in data.faces} for split, data in parts.items()}
    assert sum(map(len, parts.values())) == len(LINES)
    assert not names["train"] & names["valid"] and not names["train"] & names["test"]
    assert len(parts["train"]) > 4 * max(len(parts["valid"]), len(parts["test"]))
    assert all(split_of(name) == "test" for name in names["test"])
    assert parts["train"].labels == LABELS
    by_photo = {face.name: face.label for face in reversed(parts["train"].faces)}
    assert all(by_photo[name] == PHOTOS.index(name) % 7 for name in names["train"])
    assert len({parts["train"].stored(i) for i in range(len(parts["train"]))}) == 1  # one photo, one box


def test_the_list_and_the_photos_may_lie_in_the_folder_itself(root):
    (root / "label" / "label.lst").rename(root / "label.lst")
    (root / "image" / "origin").rename(root / "origin")
    assert len(load_expw(root, "train")) > 0


@pytest.mark.parametrize(
    "line",
    ["a.jpg 0 10 20 60 50 99.9", "a.jpg 0 10 20 60 50 99.9 7", "a.jpg 0 10 20 60 50 99.9 -1",
     "a.jpg 0 10 60 20 50 99 1", "a.jpg 0 x 20 60 50 99.9 1", "a.jpg 0 nan 20 60 50 99.9 1",
     "../a.jpg 0 10 20 60 50 99.9 1", "a.jpg", "a.jpg 0 10 20 60 50 99.9 1 1", "a.jpg 0 10 20 60 50 inf 1"],
)  # fmt: skip
def test_a_malformed_line_is_named(root, line):
    (root / "label" / "label.lst").write_text(f"{LINES[0]}\n{line}\n")
    with pytest.raises(EmotionError, match=r"label.lst, line 2: expected 'name face top left right bottom"):
        load_expw(root, "train")


def test_what_is_missing_is_named(root, tmp_path):
    with pytest.raises(EmotionError, match=r"no ExpW data: expected label/label.lst or label.lst"):
        load_expw(tmp_path / "none", "train")
    with pytest.raises(EmotionError, match="unknown ExpW split"):
        load_expw(root, "val")
    data = load_expw(root, "test")
    (root / "image" / "origin" / data.faces[0].name).unlink()
    with pytest.raises(EmotionError, match="does not exist"):
        data.face(0)


def test_a_model_is_measured_on_it(root, capsys):
    assert main(["eval", "--dataset", "expw", "--data", str(root), "--split", "test", "--json"]) == 0
    assert f'"n": {len(load_expw(root, "test"))}' in capsys.readouterr().out
