from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

from emotion_core.data.ferplus import load_ferplus
from emotion_core.errors import EmotionError

#       neutral happy surprise sad anger disgust fear contempt unknown NF
ROWS = {
    "kept.png": [4, 0, 0, 1, 3, 2, 0, 0, 0, 0],
    "tie.png": [0, 5, 5, 0, 0, 0, 0, 0, 0, 0],
    "unknown.png": [0, 0, 0, 0, 0, 0, 4, 0, 6, 0],
    "noface.png": [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],
    "scattered.png": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    "contempt.png": [2, 0, 0, 0, 0, 0, 0, 6, 2, 0],
}


@pytest.fixture()
def folder(tmp_path):
    train = tmp_path / "FER2013Train"
    train.mkdir()
    with (train / "label.csv").open("w", newline="") as file:
        for i, (name, votes) in enumerate(ROWS.items()):
            csv.writer(file).writerow([name, "(0, 0, 48, 48)", *votes])
            cv2.imwrite(str(train / name), np.full((48, 48), 10 * i, np.uint8))
    return tmp_path


def test_majority_protocol_and_distributions(folder):
    data = load_ferplus(folder, "train")
    assert data.names == ("kept.png", "tie.png", "contempt.png")
    label = [data.labels[i] for i in data.majority]
    assert label == ["neutral", "happy", "contempt"]  # happy comes before surprise in the FER+ order
    expected = dict.fromkeys(data.labels, 0.0) | {"neutral": 4 / 9, "anger": 3 / 9, "disgust": 2 / 9}
    assert dict(zip(data.labels, data.distributions[0], strict=True)) == pytest.approx(expected)
    np.testing.assert_allclose(data.distributions.sum(1), 1, rtol=1e-6)
    assert [face.max() for face in data.faces] == [0, 10, 50]


@pytest.mark.parametrize(("split", "message"), [("valid", "FER2013Valid"), ("dev", "unknown FER.* split")])
def test_missing_split_is_named(folder, split, message):
    with pytest.raises(EmotionError, match=message):
        load_ferplus(folder, split)


def test_missing_face_and_wrong_size_and_bad_row_are_named(folder):
    train = folder / "FER2013Train"
    (train / "kept.png").unlink()
    with pytest.raises(EmotionError, match=r"kept\.png.*missing"):
        load_ferplus(folder, "train")
    cv2.imwrite(str(train / "kept.png"), np.zeros((96, 96), np.uint8))
    with pytest.raises(EmotionError, match="96x96"):
        load_ferplus(folder, "train")
    (train / "label.csv").write_text("kept.png,box,1,2,three\n")
    with pytest.raises(EmotionError, match="line 1"):
        load_ferplus(folder, "train")


def test_real_data_has_the_published_counts(shared, tmp_path):
    """Counts faces from the votes alone, without decoding the pictures."""
    from emotion_core.data import ferplus

    names = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "nf"]
    kept = {"Training": 0, "PublicTest": 0}
    with (shared / "data" / "ferplus" / "labels.csv").open() as file:
        for row in csv.DictReader(file):
            votes = np.array([int(row[name]) for name in names])
            kept[row["usage"]] += ferplus._is_kept(np.where(votes > 1, votes, 0))
    assert kept == {"Training": 28_389, "PublicTest": 3_553}
