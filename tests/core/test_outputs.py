from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from emotion_core.cli import main
from emotion_core.errors import EmotionError
from emotion_core.media.pictures import write_picture
from emotion_core.store.finding import BUNDLED
from emotion_core.store.outputs import Outputs, model_files


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "photo.png"
    path.parent.mkdir()
    path.write_bytes(b"a photo")
    return path


def ways(path: Path, kind: str) -> Path:
    """Another path that leads to the same file."""
    folder = path.parent
    if kind == "plain":
        return path
    if kind == "dots":
        return folder / ".." / folder.name / path.name
    if kind == "relative":
        return Path(os.path.relpath(path))
    if kind == "hard link":
        (folder / "other.png").hardlink_to(path)
        return folder / "other.png"
    if kind == "symbolic link":
        (folder / "other.png").symlink_to(path)
        return folder / "other.png"
    (folder.parent / "elsewhere").symlink_to(folder)
    return folder.parent / "elsewhere" / path.name


WAYS = ("plain", "dots", "relative", "hard link", "symbolic link", "linked folder")


@pytest.mark.parametrize("kind", WAYS)
def test_a_source_is_never_an_output(source: Path, kind: str) -> None:
    path = ways(source, kind)
    with pytest.raises(EmotionError, match=r"--out .* is the source itself: name another file"):
        Outputs([source]).claim(path, "--out")
    with pytest.raises(EmotionError, match="the source itself"):
        Outputs([path]).claim(source, "--out")
    with pytest.raises(EmotionError, match=r"--draw .* the source itself: name another folder"):
        Outputs([source]).claim_each(path.parent, ["new", path.stem], ".png", "--draw")
    assert source.read_bytes() == b"a photo"
    assert not (source.parent / "new.png").exists()


@pytest.mark.parametrize("kind", [kind for kind in WAYS if kind != "hard link"])  # written, these part
@pytest.mark.parametrize("exists", [False, True])
def test_two_outputs_never_share_a_file(source: Path, kind: str, exists: bool) -> None:
    path, outputs = ways(source, kind), Outputs()
    if not exists:
        source.unlink()
    outputs.claim(source, "--out")
    with pytest.raises(EmotionError, match=r"--csv .* is where --out goes: name another file"):
        outputs.claim(path, "--csv")


SAME = [("a.mp4", "A.mp4"), ("stra\u00dfe.csv", "STRASSE.csv"), ("\u00e9", "e\u0301")]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_names_that_some_file_systems_take_for_one(tmp_path: Path, one: str, other: str) -> None:
    outputs = Outputs()
    outputs.claim(tmp_path / one, "--out")
    with pytest.raises(EmotionError, match="is where --out goes"):
        outputs.claim(tmp_path / other, "--csv")


def test_different_files_are_fine(source: Path) -> None:
    outputs = Outputs([source, source.parent / "absent.png"])
    assert outputs.claim(source.parent / "new" / "out.mp4", "--out") == source.parent / "new" / "out.mp4"
    outputs.claim(source.with_suffix(".csv"), "--csv")
    outputs.claim(source.parent / "absent.png", "--table")
    assert (source.parent / "new").is_dir()
    assert sorted(path.name for path in source.parent.iterdir()) == ["new", "photo.png"]


def test_the_home_folder(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(source.parent))
    with pytest.raises(EmotionError, match="the source itself"):
        Outputs([source]).claim("~/photo.png", "--out")


def test_what_cannot_be_written(source: Path) -> None:
    with pytest.raises(EmotionError, match="cannot be written: "):
        Outputs().claim(source / "below.csv", "--csv")
    with pytest.raises(EmotionError, match="cannot be written: "):
        Outputs().claim_each(source, ["a"], ".png", "--draw")


def test_equal_names_are_told_apart_and_always_alike(tmp_path: Path) -> None:
    names = ["a", "b", "a", "A", "a-2", "a"]
    expected = ["a.png", "b.png", "a-2.png", "A-3.png", "a-2-2.png", "a-4.png"]
    for _ in range(2):
        found = Outputs().claim_each(tmp_path / "out", names, ".png", "--draw")
        assert [path.name for path in found] == expected
        assert {path.parent for path in found} == {tmp_path / "out"}
        for path in found:
            path.touch()  # what lies there from the last time changes nothing


def test_other_outputs_are_spared_by_the_results_in_a_folder(tmp_path: Path) -> None:
    outputs = Outputs()
    outputs.claim(tmp_path / "a.png", "--out")
    assert outputs.claim_each(tmp_path, ["a"], ".png", "--draw") == [tmp_path / "a-2.png"]
    with pytest.raises(EmotionError, match="is where --draw goes"):
        outputs.claim(tmp_path / "a-2.png", "--csv")


def test_a_model_is_all_of_its_files(tmp_path: Path) -> None:
    for suffix in (".onnx", ".json", ".safetensors"):
        (tmp_path / f"mine{suffix}").write_bytes(b"mine")
    outputs = Outputs(model_files(tmp_path / "mine.onnx"))
    for suffix in (".onnx", ".json", ".safetensors"):
        with pytest.raises(EmotionError, match="the source itself"):
            outputs.claim(tmp_path / f"mine{suffix}", "--csv")
    with pytest.raises(EmotionError, match="unknown model"):
        model_files("nope")


def test_the_confusion_matrix_does_not_replace_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "mine.onnx"
    shutil.copy(BUNDLED / "esr_compact.onnx", model)
    assert main(["eval", "--data", str(tmp_path), "--model", str(model), "--confusion", str(model)]) == 2
    assert "--confusion" in (error := capsys.readouterr().err) and "the source itself" in error
    assert model.read_bytes() == (BUNDLED / "esr_compact.onnx").read_bytes()


@pytest.mark.parametrize("kind", WAYS)
def test_what_is_read_from_a_folder_is_never_an_output(source: Path, tmp_path: Path, kind: str) -> None:
    data = tmp_path / "data"
    (data / "valid").mkdir(parents=True)
    (data / "valid" / "happy").symlink_to(source.parent)
    (data / "valid" / "round").symlink_to(data)
    path = ways(source, kind)
    with pytest.raises(EmotionError, match=r"--out .* would replace a file of .*data, which is read: name another"):
        Outputs(folders=[data]).claim(path, "--out")
    with pytest.raises(EmotionError, match="the source itself"):
        Outputs(folders=[source]).claim(path, "--out")
    assert Outputs(folders=[data]).claim(source.parent / "new.png", "--out") == source.parent / "new.png"
    (tmp_path / "old.png").write_bytes(b"old")
    Outputs(folders=[data]).claim(tmp_path / "old.png", "--out")


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    rng, data = np.random.default_rng(0), tmp_path / "faces"
    for label in ("happy", "sad"):
        (data / "valid" / label).mkdir(parents=True)
        for i in range(2):
            image = rng.integers(0, 256, (48, 48, 3), np.uint8)
            write_picture(data / "valid" / label / f"{i}.png", image)
    return data


def test_the_confusion_matrix_does_not_replace_a_face(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face = faces / "valid" / "happy" / "0.png"
    before = face.read_bytes()
    command = ["eval", "--dataset", "folder", "--data", str(faces), "--confusion"]
    assert main([*command, str(face)]) == 2
    assert "--confusion" in (error := capsys.readouterr().err) and "which is read" in error
    assert face.read_bytes() == before
    assert main([*command, str(faces / "confusion.png")]) == 0
    assert (faces / "confusion.png").stat().st_size > 1000


def test_a_training_does_not_replace_a_file_of_its_data(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    table = faces / "history.csv"
    table.write_text("when the faces were taken")
    command = ["train", "classifier", "--model", "esr_compact", "--data", str(faces), "--out", str(faces)]
    assert main(command) == 2
    assert "--out" in (error := capsys.readouterr().err) and "history.csv would replace a file of" in error
    assert table.read_text() == "when the faces were taken"
    assert sorted(path.name for path in faces.iterdir()) == ["history.csv", "valid"]
