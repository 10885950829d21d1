from __future__ import annotations

import numpy as np
import pytest

from emotion_core.data.fer2013 import load_fer2013
from emotion_core.errors import EmotionError
from emotion_core.labels import FER2013

NAMES = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = ("Training", "Training", "PublicTest", "Training", "PrivateTest", "Training", "Training")


def pixels(i):
    """0 to 255 over and over, from i on."""
    return " ".join(str((i + j) % 256) for j in range(2304))


@pytest.fixture()
def root(tmp_path):
    lines = [f"{i},{pixels(i)},{usage}" for i, usage in enumerate(USAGES)]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    return tmp_path


@pytest.mark.parametrize(("split", "rows"), [("train", [0, 1, 3, 5, 6]), ("valid", [2]), ("test", [4])])
def test_splits_labels_and_pixels(root, split, rows):
    data = load_fer2013(root, split)
    assert data.labels == FER2013
    assert [data.labels[i] for i in data.targets] == [NAMES[i] for i in rows]
    assert data.names == tuple(f"fer{i:07d}.png" for i in rows)
    assert (data.faces.shape, data.faces.dtype) == ((len(rows), 48, 48), np.uint8)
    for face, i in zip(data.faces, rows, strict=True):
        np.testing.assert_array_equal(face.ravel(), (np.arange(2304) + i) % 256)
    np.testing.assert_array_equal(data.distributions, np.eye(7, dtype=np.float32)[rows])
    assert data[0][0].shape == (1, 48, 48)


def test_the_file_itself_and_columns_in_another_order(root, tmp_path):
    path = tmp_path / "icml.csv"
    path.write_text(f"emotion, Usage, pixels\n5, Training, {pixels(7)}\n")
    data = load_fer2013(path, "train")
    assert data.faces[0, 0, :3].tolist() == [7, 8, 9]
    assert data.targets.tolist() == [5]


def test_the_later_file_with_blanks_and_a_byte_order_mark(tmp_path):
    text = f"emotion, Usage, pixels\n0,Training,{pixels(3)}\n4, PublicTest, {pixels(5)}\n"
    (tmp_path / "icml_face_data.csv").write_text(text, encoding="utf-8-sig")
    assert load_fer2013(tmp_path, "train").faces[0, 0, :2].tolist() == [3, 4]
    valid = load_fer2013(tmp_path, "valid")
    assert (valid.names, valid.targets.tolist()) == (("fer0000001.png",), [4])


def test_a_file_for_each_split(tmp_path):
    for name, emotion in (("train", 1), ("val", 2), ("test", 3)):
        (tmp_path / f"{name}.csv").write_text(f"emotion,pixels\n{emotion},{pixels(emotion)}\n6,{pixels(0)}\n")
    for split, name, emotion in (("train", "train", 1), ("valid", "val", 2), ("test", "test", 3)):
        data = load_fer2013(tmp_path, split)
        assert (data.targets.tolist(), data.faces[0, 0, 0]) == ([emotion, 6], emotion)
        assert data.names == (f"{name}0000000.png", f"{name}0000001.png")
    (tmp_path / "val.csv").write_text("emotion,pixels\n1,1 2 x\n")
    with pytest.raises(EmotionError, match=r"val\.csv, line 2: expected pixels of 0 to 255"):
        load_fer2013(tmp_path, "valid")
    (tmp_path / "val.csv").unlink()
    with pytest.raises(EmotionError, match=r"holds none of fer2013\.csv, icml_face_data\.csv, val\.csv"):
        load_fer2013(tmp_path, "valid")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"7,{pixels(0)},Training", "emotion of 0 to 6, got '7'"),
        (f",{pixels(0)},Training", "emotion of 0 to 6"),
        ("1,1 2 3,Training", "2304 pixels, got 3"),
        (f"1,{pixels(0)} 5,Training", "2304 pixels, got 2305"),
        (f"1,256 {pixels(0)[2:]},Training", "0 to 255"),
        (f"1,-1 {pixels(0)[2:]},Training", "0 to 255"),
        (f"1,x {pixels(0)[2:]},Training", "0 to 255"),
        ("1,1 2 3", "3 fields, got 2"),
        (f"1,{pixels(0)},Trainin", "Usage of Training, PublicTest, PrivateTest, got 'Trainin'"),
        (f"1,{pixels(0)},", "Usage of Training, PublicTest, PrivateTest, got ''"),
    ],
)
def test_malformed_rows_are_named(root, row, message):
    table = root / "fer2013.csv"
    table.write_text(table.read_text() + row + "\n")
    with pytest.raises(EmotionError, match=f"line 9: .*{message}"):
        load_fer2013(root, "train")


def test_missing_things_are_named(root, tmp_path):
    with pytest.raises(EmotionError, match="split 'dev'"):
        load_fer2013(root, "dev")
    with pytest.raises(EmotionError, match=r"nowhere.*missing"):
        load_fer2013(root / "nowhere", "train")
    (root / "fer2013.csv").write_text("emotion,pixels\n")
    with pytest.raises(EmotionError, match="no column Usage"):
        load_fer2013(root, "train")
    (root / "fer2013.csv").write_text("emotion,pixels,Usage\n")
    with pytest.raises(EmotionError, match="no face with Usage PublicTest"):
        load_fer2013(root, "valid")
    (root / "fer2013.csv").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(EmotionError, match="not a CSV file"):
        load_fer2013(root, "train")
