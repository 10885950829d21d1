from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from emotion_core.data.folder import load_folder
from emotion_core.data.registry import open_dataset
from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET


@pytest.fixture()
def root(tmp_path):
    root = tmp_path / "faces"
    for name, colour, file in (
        ("sad", (200, 0, 0), "b.png"),
        ("happy", (0, 0, 200), "a.png"),
        ("happy", (0, 200, 0), "c.PNG"),
    ):
        (root / name).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(root / name / file), np.full((20, 30, 3), colour, np.uint8))
    (root / "happy" / "list.txt").touch()
    (root / "happy" / ".hidden.png").touch()
    (root / ".git").mkdir()
    (root / "readme.md").touch()
    return root


def test_classes_are_the_sorted_folders(root):
    data = load_folder(root)
    assert data.labels == ("happy", "sad")
    assert data.names == ("happy/a.png", "happy/c.PNG", "sad/b.png")
    assert data.targets.tolist() == [0, 0, 1]
    assert data.class_counts() == {"happy": 2, "sad": 1}
    assert data.face(2).shape == (20, 30, 3)
    assert data.face(2)[0, 0].tolist() == [200, 0, 0]


def test_labels_give_the_order_and_may_lack_a_folder(root):
    data = load_folder(root, AFFECTNET)
    assert data.targets.tolist() == [1, 1, 2]
    assert data.class_counts()["fear"] == 0
    with pytest.raises(EmotionError, match=r"sad is not a known class: expected neutral, happy"):
        load_folder(root, ("neutral", "happy"))
    with pytest.raises(EmotionError, match="twice"):
        load_folder(root, ("sad", "sad", "happy"))


def test_side_and_grey(root):
    planes, target = load_folder(root, side=8, grey=True)[0]
    assert (planes.shape, planes.dtype, target) == ((1, 8, 8), np.float32, 0)
    assert planes == pytest.approx(np.full((1, 8, 8), round(0.299 * 200) / 255), abs=1e-6)
    larger, _ = load_folder(root, side=64)[1]
    assert larger.shape == (3, 64, 64)
    np.testing.assert_allclose(larger[:, 5, 5], [0, 200 / 255, 0], atol=1e-6)
    with pytest.raises(EmotionError, match="at least 1"):
        load_folder(root, side=0)


def test_empty_and_damaged_are_named(root, tmp_path):
    with pytest.raises(EmotionError, match="none is not a folder"):
        load_folder(tmp_path / "none")
    (tmp_path / "void").mkdir()
    with pytest.raises(EmotionError, match="void holds no image"):
        load_folder(tmp_path / "void")
    (root / "happy" / "a.png").write_bytes(b"nothing of the kind")
    data = load_folder(root)
    with pytest.raises(EmotionError, match=r"happy.a\.png"):
        data[0]
    (root / "happy" / "a.png").unlink()
    with pytest.raises(EmotionError, match=r"happy.a\.png"):
        data[0]
    (root / "fear").mkdir()
    with pytest.raises(EmotionError, match=r"fear holds no image"):
        load_folder(root)


def test_splits_have_the_classes_of_the_training_split(root, tmp_path):
    splits = tmp_path / "splits"
    for name in ("train", "valid"):
        shutil.copytree(root, splits / name)
    shutil.rmtree(splits / "valid" / "happy")
    valid = open_dataset("folder", splits, "valid")
    assert valid.labels == open_dataset("folder", splits, "train").labels == ("happy", "sad")
    assert valid.targets.tolist() == [1]
    (splits / "valid" / "happy").mkdir()  # an empty folder is as good as none
    assert open_dataset("folder", splits, "valid").targets.tolist() == [1]
    (splits / "valid" / "bored").mkdir()
    with pytest.raises(EmotionError, match=r"bored is not a known class: expected happy, sad"):
        open_dataset("folder", splits, "valid")
    (splits / "train" / "fear").mkdir()
    with pytest.raises(EmotionError, match=r"fear holds no image"):  # nothing could be learned of it
        open_dataset("folder", splits, "train")


def test_a_split_that_is_not_there_is_named(root, tmp_path):
    splits = tmp_path / "splits"
    shutil.copytree(root, splits / "train")
    with pytest.raises(EmotionError, match=r"splits has no folder test: it holds train, add test"):
        open_dataset("folder", splits, "test")
    (splits / "valid" / "sad").mkdir(parents=True)
    with pytest.raises(EmotionError, match=r"valid holds no image"):
        open_dataset("folder", splits, "valid")
    assert len(open_dataset("folder", root, "test")) == 3  # a set without splits


def test_data_loader_batches(root):
    torch = pytest.importorskip("torch")
    faces, targets = next(iter(torch.utils.data.DataLoader(load_folder(root, side=12), batch_size=3, num_workers=0)))
    assert (faces.shape, faces.dtype) == ((3, 3, 12, 12), torch.float32)
    assert targets.tolist() == [0, 0, 1]
