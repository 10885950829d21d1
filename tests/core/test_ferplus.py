from __future__ import annotations

import csv
import os

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
    label = [data.labels[i] for i in data.classes]
    assert label == ["neutral", "happy", "contempt"]  # happy comes before surprise in the FER+ order
    expected = dict.fromkeys(data.labels, 0.0) | {"neutral": 4 / 9, "anger": 3 / 9, "disgust": 2 / 9}
    assert dict(zip(data.labels, data.distributions[0], strict=True)) == pytest.approx(expected)
    np.testing.assert_allclose(data.distributions.sum(1), 1, rtol=1e-6)
    assert [face.max() for face in data.faces] == [0, 10, 50]


def test_a_folder_whose_name_is_not_utf8(folder):
    odd = folder.rename(folder.parent / os.fsdecode(b"caf\xe9"))
    assert [face.max() for face in load_ferplus(odd, "train").faces] == [0, 10, 50]


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


VOTES_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def write_tables(root, usages, shift=0):
    """Rows as above, in two tables; the pixels of row i are all 10 i."""
    faces, votes = ["emotion,pixels,Usage"], [VOTES_HEADER]
    for i, (name, counts) in enumerate(ROWS.items()):
        faces.append(f"0,{' '.join([str(10 * i)] * 2304)},{usages[i]}")
        picture = "" if name in ("noface.png", "contempt.png") else name
        votes.append(",".join([usages[(i + shift) % len(usages)], picture, *map(str, counts)]))
    (root / "fer2013.csv").write_text("\n".join(faces) + "\n")
    (root / "fer2013new.csv").write_text("\n".join(votes) + "\n")


USAGES = ("Training", "PublicTest", "Training", "Training", "PrivateTest", "Training")


def test_tables_are_read_like_pictures(folder, tmp_path):
    root = tmp_path / "tables"
    root.mkdir()
    write_tables(root, ["Training"] * len(ROWS))
    pictures, tables = load_ferplus(folder, "train"), load_ferplus(root, "train")
    np.testing.assert_array_equal(tables.faces, pictures.faces)
    np.testing.assert_array_equal(tables.distributions, pictures.distributions)
    np.testing.assert_array_equal(tables.targets, pictures.targets)
    assert tables.names == ("kept.png", "tie.png", "fer0000005.png")  # without a name: that of the row


@pytest.mark.parametrize(("split", "values"), [("train", [0, 50]), ("valid", [10])])
def test_tables_are_split_by_usage(tmp_path, split, values):
    write_tables(tmp_path, USAGES)
    data = load_ferplus(tmp_path, split)
    assert (data.faces.dtype, data.faces.shape) == (np.uint8, (len(values), 48, 48))
    assert [face.min() for face in data.faces] == values
    assert [face.max() for face in data.faces] == values


def test_pictures_win_over_tables(folder):
    write_tables(folder, ["PublicTest"] * len(ROWS))
    assert len(load_ferplus(folder, "train")) == 3
    with pytest.raises(EmotionError, match="FER2013Valid"):
        load_ferplus(folder, "valid")


def test_tables_that_do_not_belong_together_are_refused(tmp_path):
    write_tables(tmp_path, USAGES, shift=1)
    with pytest.raises(EmotionError, match=r"row 1 has Usage Training .*PublicTest.*35,887 rows"):
        load_ferplus(tmp_path, "train")
    write_tables(tmp_path, USAGES)
    faces, votes = tmp_path / "fer2013.csv", tmp_path / "fer2013new.csv"
    whole = faces.read_text()
    faces.write_text("\n".join(whole.splitlines()[:-1]))
    with pytest.raises(EmotionError, match=r"has 5 rows and .* has 6: the two files do not belong together"):
        load_ferplus(tmp_path, "train")
    faces.write_text(whole + whole.splitlines()[-1] + "\n")
    with pytest.raises(EmotionError, match=r"has 7 rows and .* has 6"):
        load_ferplus(tmp_path, "train")
    faces.unlink()
    with pytest.raises(EmotionError, match=r"fer2013\.csv is missing"):
        load_ferplus(tmp_path, "train")
    faces.write_text(whole)
    votes.unlink()
    with pytest.raises(EmotionError, match=r"fer2013new\.csv is missing"):
        load_ferplus(tmp_path, "train")


def test_malformed_tables_are_named(tmp_path):
    write_tables(tmp_path, USAGES)
    faces, votes = tmp_path / "fer2013.csv", tmp_path / "fer2013new.csv"
    whole = votes.read_text()
    votes.write_text(whole.replace("contempt,unknown,NF", "contempt,unknown,other"))
    with pytest.raises(EmotionError, match="no column NF"):
        load_ferplus(tmp_path, "train")
    votes.write_text(whole.replace("4,0,0,1", "4,0,many,1"))
    with pytest.raises(EmotionError, match=r"fer2013new\.csv, line 2: expected 10 votes"):
        load_ferplus(tmp_path, "train")
    votes.write_text(whole)
    faces.write_text(faces.read_text().replace("0,0 0", "0,0", 1))
    with pytest.raises(EmotionError, match="line 2: expected 2304 pixels, got 2303"):
        load_ferplus(tmp_path, "train")
