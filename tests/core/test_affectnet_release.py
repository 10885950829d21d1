"""AffectNet without tables and boxes: images/N.jpg and annotations/N_exp.npy."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_core.cli import main
from emotion_core.data.affectnet import AffectNetCategorical, AffectNetDimensional
from emotion_core.data.affectnet_prepare import prepare_affectnet
from emotion_core.data.registry import open_dataset
from emotion_core.errors import EmotionError

SETS = ("train_set", "val_set")


def add(folder: Path, number: int, exp, val, aro, level: int = 100) -> None:
    """A face of one grey level with its annotations, as text where they are text."""
    for name in ("images", "annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "images" / f"{number}.jpg"), np.full((224, 224, 3), level, np.uint8))
    for kind, value in (("exp", exp), ("val", val), ("aro", aro)):
        np.save(folder / "annotations" / f"{number}_{kind}.npy", value)
    np.save(folder / "annotations" / f"{number}_lnd.npy", np.zeros(136))


@pytest.fixture
def release(tmp_path) -> Path:
    root = tmp_path / "AffectNet"
    # The release has numbers as text; copies of it have them as numbers.
    add(root / "train_set", 0, np.array("1"), np.array("0.785714"), np.array("-0.055556"), 40)
    add(root / "train_set", 12, np.array(5), np.array(-0.5), np.array([0.25]), 80)
    add(root / "train_set", 3, np.int64(0), np.float64(0), np.float64(0), 120)
    add(root / "val_set", 7, np.array("7"), np.array("-1"), np.array("1"), 160)
    return root


@pytest.mark.parametrize("given", ["", "train_set", "annotations"])
def test_the_release_becomes_what_training_reads(release, tmp_path, given):
    folder = release / "train_set" / "annotations" if given == "annotations" else release / given
    images = release / "train_set" / "images" if given == "annotations" else folder
    report = prepare_affectnet(images, folder, tmp_path / "out", 1)
    assert (report.rows, report.written, sum(report.skipped.values())) == (3, 3, 0)
    faces = AffectNetCategorical(1, base_path_to_affectnet=tmp_path / "out")
    assert faces.names == tuple(
        f"0/{name}.jpg" for name in ("0000000s1s786s-56", "0000003s0s0s0", "0000012s5s-500s250")
    )
    assert faces.targets.tolist() == [1, 0, 5]
    assert [round(float(faces.face(i).mean()), -1) for i in range(3)] == [40, 120, 80]  # whole pictures
    affect = AffectNetDimensional(1, base_path_to_affectnet=tmp_path / "out")
    assert np.allclose(affect.targets, [[0.786, -0.056], [0, 0], [-0.5, 0.25]])


def test_the_command_takes_both_sets(release, tmp_path, capsys):
    for part, count in (("train", 3), ("valid", 1)):
        words = ["--images", release, "--annotations", release, "--out", tmp_path / "out", "--set", part]
        assert main(["prepare", "affectnet", *map(str, words)]) == 0
        assert f"written: {count}" in capsys.readouterr().out
    assert open_dataset("affectnet", tmp_path / "out", "valid").targets.tolist() == [7]


def test_what_is_malformed_or_missing_is_counted_by_its_reason(release, tmp_path):
    folder = release / "train_set"
    add(folder, 20, np.array("8"), np.array("-2"), np.array("-2"))
    add(folder, 21, np.array("x"), np.array("0"), np.array("0"))
    add(folder, 22, np.zeros(3), np.array("0"), np.array("0"))
    add(folder, 23, np.array("1"), np.array("1.5"), np.array("0"))
    add(folder, 24, np.array("1"), np.array("0"), np.array("0"))
    (folder / "annotations" / "24_val.npy").unlink()
    add(folder, 25, np.array("1"), np.array("0"), np.array("0"))
    (folder / "annotations" / "25_aro.npy").write_bytes(b"no NumPy file")
    add(folder, 26, np.array("1"), np.array("0"), np.array("0"))
    (folder / "images" / "26.jpg").unlink()
    add(folder, 27, np.array([None]), np.array("0"), np.array("0"))  # a pickle: never loaded
    report = prepare_affectnet(release, release, tmp_path / "out", 1)
    assert (report.rows, report.written) == (11, 3)
    assert {name: count for name, count in report.skipped.items() if count} == {
        "not an emotion": 1, "malformed row": 6, "missing image": 1,
    }  # fmt: skip
    assert report.examples["malformed row"][0] == "row 21: 21.jpg"


def test_there_is_no_unlabelled_set(release, tmp_path):
    with pytest.raises(EmotionError, match=r"automatically_annotated\.csv is missing"):
        prepare_affectnet(release, release, tmp_path / "out", 0)


def test_the_release_itself_is_told_to_be_prepared(release):
    with pytest.raises(EmotionError, match="emotion prepare affectnet` first, also for the release"):
        open_dataset("affectnet", release)
