from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from emotion_core.cli import main
from emotion_core.errors import EmotionError
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
