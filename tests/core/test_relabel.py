"""Classes are brought together by their names."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from emotion_core.data.dataset import FaceSet
from emotion_core.data.folder import load_folder
from emotion_core.data.relabel import order_of, relabelled
from emotion_core.errors import EmotionError


def test_columns_are_put_into_the_wanted_order():
    order = order_of(("b", "c", "a"), ("a", "b", "c"), "the teacher", "the data")
    assert np.array([[0.2, 0.3, 0.5]])[:, order].tolist() == [[0.5, 0.2, 0.3]]
    assert order_of(("happiness", "angry"), ("anger", "happy"), "x", "y").tolist() == [1, 0]  # words of one meaning
    for wrong in (("a", "b"), ("a", "b", "d"), ("a", "a", "b")):
        with pytest.raises(EmotionError, match="the teacher must have the same labels as the data: "):
            order_of(wrong, ("a", "b", "c"), "the teacher", "the data")


def test_a_set_in_memory():
    classes = np.array([0, 1, 2, 2])
    data = FaceSet(np.zeros((4, 8, 8), np.uint8), np.eye(3, dtype=np.float32)[classes], classes, (), ("a", "b", "c"))
    turned = relabelled(data, ("c", "a", "b"), "x", "y")
    assert [turned.labels[i] for i in turned.targets] == ["a", "b", "c", "c"]
    assert [turned.labels[i] for i in turned.distributions.argmax(1)] == ["a", "b", "c", "c"]
    assert relabelled(data, ("a", "b", "c"), "x", "y") is data


def test_a_set_on_a_disk_is_a_view(tmp_path):
    for value, label in enumerate(("anger", "happy")):
        (tmp_path / "faces" / label).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "faces" / label / "face.png"), np.full((9, 9), 50 * value, np.uint8))
    data = load_folder(tmp_path / "faces")
    turned = relabelled(data, ("happy", "angry"), "x", "y")
    assert turned.labels == ("happy", "angry") and turned.targets.tolist() == [1, 0]
    assert [int(turned.face(i).mean()) for i in range(2)] == [0, 50]
    assert turned.stored(0) == data.stored(0)
