"""RAF-DB: list_patition_label.txt and the aligned faces."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_core.cli import main
from emotion_core.data.rafdb import LABELS, load_rafdb
from emotion_core.data.registry import open_dataset
from emotion_core.errors import EmotionError

COUNT = {"train": 40, "test": 7}


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "raf" / "basic"
    (folder / "EmoLabel").mkdir(parents=True)
    (folder / "Image" / "aligned").mkdir(parents=True)
    lines = []
    for part, count in COUNT.items():
        for i in range(1, count + 1):
            label = (i - 1) % 7 + 1
            lines.append(f"{part}_{i:05d}.jpg {label}\n")
            face = np.full((100, 100, 3), 30 * label, np.uint8)
            cv2.imwrite(str(folder / "Image" / "aligned" / f"{part}_{i:05d}_aligned.jpg"), face)
    (folder / "EmoLabel" / "list_patition_label.txt").write_text("".join(lines))
    return folder.parent


def test_splits_faces_and_classes(root):
    train, valid, test = (open_dataset("rafdb", root, split) for split in ("train", "valid", "test"))
    assert (len(train), len(valid), len(test)) == (36, 4, 7)
    assert valid.names == tuple(f"train_{i:05d}_aligned.jpg" for i in (10, 20, 30, 40))
    assert not set(train.names) & set(valid.names)
    assert train.labels == LABELS and test.targets.tolist() == list(range(7))
    assert LABELS[test.targets[3]] == "happy"  # 4 in the list
    for i in range(7):
        assert test.face(i).shape == (100, 100, 3) and abs(test.face(i).mean() - 30 * (i + 1)) < 2
    assert load_rafdb(root / "basic", "test").names == test.names


@pytest.mark.parametrize(
    "line", ["train_00001.jpg 8", "train_00001.jpg 0", "train_00001.jpg", "train_00001.jpg x", "other_1.jpg 3",
             "train_../../x.jpg 3", "train_00001.jpg 3 4"]
)  # fmt: skip
def test_a_malformed_line_is_named(root, line):
    table = root / "basic" / "EmoLabel" / "list_patition_label.txt"
    table.write_text(f"train_00002.jpg 1\n\n{line}\n")
    with pytest.raises(EmotionError, match=r"list_patition_label.txt, line 3: expected a name and a class of 1 to 7"):
        load_rafdb(root, "train")


def test_what_is_missing_is_named(root, tmp_path):
    with pytest.raises(EmotionError, match=r"no RAF-DB data: .*list_patition_label.txt is missing"):
        load_rafdb(tmp_path, "train")
    with pytest.raises(EmotionError, match="unknown RAF-DB split"):
        load_rafdb(root, "val")
    (root / "basic" / "Image" / "aligned" / "test_00001_aligned.jpg").unlink()
    with pytest.raises(EmotionError, match=r"test_00001_aligned.jpg does not exist"):
        load_rafdb(root, "test").face(0)
    table = root / "basic" / "EmoLabel" / "list_patition_label.txt"
    table.write_text("test_00001.jpg 1\n")
    with pytest.raises(EmotionError, match="no face of the split train"):
        load_rafdb(root, "train")
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EmotionError, match="no list in plain text"):
        load_rafdb(root, "train")


def test_a_model_is_measured_on_it(root, capsys):
    assert main(["eval", "--dataset", "rafdb", "--data", str(root), "--split", "test", "--json"]) == 0
    assert '"n": 7' in capsys.readouterr().out
