"""``emotion infer``: which files it reads and writes, and where it says the faces are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_core.cli import main
from emotion_core.media import pictures
from emotion_core.runtime.classifier import Classifier


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    load = Classifier.load
    monkeypatch.setattr(Classifier, "load", lambda model, threads=1, *rest: load(model, 1, *rest))


def infer(*args: object) -> int:
    return main(["infer", *map(str, args)])


def walls(folder: Path, **sizes: int) -> dict[Path, bytes]:
    """Pictures without a face, told apart by their widths; their contents."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, width in sizes.items():
        path = folder / name.replace("_", ".")
        cv2.imwrite(str(path), np.full((40, width, 3), 90, np.uint8))
    return {path: path.read_bytes() for path in folder.iterdir()}


def widths(folder: Path) -> dict[str, int]:
    return {path.name: cv2.imread(str(path)).shape[1] for path in folder.iterdir()}


def unchanged(contents: dict[Path, bytes]) -> None:
    (folder,) = {path.parent for path in contents}
    assert {path: path.read_bytes() for path in folder.iterdir()} == contents


def test_a_photo_is_not_replaced_by_its_drawing(tmp_path, monkeypatch, capsys):
    contents = walls(tmp_path / "photos", photo_png=50)
    monkeypatch.chdir(tmp_path / "photos")
    assert infer("photo.png", "--draw", ".") == 2
    error = capsys.readouterr().err
    assert "the source itself: name another folder" in error and error.count("\n") == 1
    unchanged(contents)


def test_a_folder_is_not_drawn_into_itself_where_that_would_replace_a_picture(tmp_path, capsys):
    folder = tmp_path / "photos"
    contents = walls(folder, x_jpg=50, x_png=60)
    assert infer(folder, "--draw", folder) == 2
    assert "the source itself" in capsys.readouterr().err
    unchanged(contents)


def test_pictures_of_one_name_have_drawings_of_their_own(tmp_path, capsys):
    folder, other, drawn = tmp_path / "one", tmp_path / "other", tmp_path / "drawn"
    walls(folder, x_bmp=50, x_jpg=60, x_png=70, y_png=80)
    walls(other, x_png=90)
    for _ in range(2):
        assert infer(folder, other, "--draw", drawn) == 0
        assert widths(drawn) == {"x.png": 50, "x-2.png": 60, "x-3.png": 70, "y.png": 80, "x-4.png": 90}


def test_a_picture_that_cannot_be_read_changes_no_other_name(tmp_path, capsys):
    folder = tmp_path / "photos"
    walls(folder, a_jpg=50, a_png=60)
    (folder / "a.bmp").write_bytes(b"BM broken")
    assert infer(folder, "--draw", tmp_path / "drawn") == 1
    assert widths(tmp_path / "drawn") == {"a-2.png": 50, "a-3.png": 60}


def test_a_folder_that_cannot_be_drawn_into_ends_the_work_before_it_begins(tmp_path, capsys):
    walls(tmp_path / "photos", a_png=50)
    assert infer(tmp_path / "photos", "--draw", tmp_path / "photos" / "a.png") == 2
    said = capsys.readouterr()
    assert said.out == "" and "cannot be written" in said.err


def test_hidden_files_are_no_pictures_and_rarer_kinds_are(tmp_path, capsys):
    walls(tmp_path / "photos", a_ppm=50, b_TIF=60, c_webp=70)
    (tmp_path / "photos" / "._a.ppm").write_bytes(b"a Mac was here")
    assert infer(tmp_path / "photos", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["width"] for line in lines] == [50, 60, 70]


def test_boxes_are_in_pixels_of_the_file_however_much_it_is_shrunk(portrait, tmp_path, capsys, monkeypatch):
    photo = tmp_path / "large.jpg"
    cv2.imwrite(str(photo), cv2.resize(portrait, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC))
    found = []
    for limit in (16384, 1000, 500):
        monkeypatch.setattr(pictures, "MAX_SIDE_PX", limit)
        assert infer(photo, "--json", "--draw", tmp_path / str(limit)) == 0
        found.append(json.loads(capsys.readouterr().out))
    drawn = [cv2.imread(str(tmp_path / str(limit) / "large.png")).shape for limit in (16384, 1000, 500)]
    assert drawn == [(1800, 1536, 3), (900, 768, 3), (450, 384, 3)]
    for line in found:
        assert (line["width"], line["height"]) == (1536, 1800)
        (face,) = line["faces"]
        assert face["label"] == found[0]["faces"][0]["label"]
        np.testing.assert_allclose(face["box"], found[0]["faces"][0]["box"], atol=60)


def test_a_photo_without_its_end_is_read_and_one_without_rows_is_not(portrait, tmp_path, capsys):
    whole = cv2.imencode(".jpg", portrait)[1].tobytes()
    (tmp_path / "endless.jpg").write_bytes(whole[:-2])
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    assert infer(tmp_path / "endless.jpg", tmp_path / "cut.jpg", "--json") == 1
    said = capsys.readouterr()
    whole_one, cut = map(json.loads, said.out.splitlines())
    assert len(whole_one["faces"]) == 1 and cut.keys() == {"source", "error"}
    assert "cut.jpg is not a readable picture" in said.err and "rows or details are missing" in said.err


@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "POSIX"])
def test_names_that_are_not_utf8(portrait, tmp_path, locale):
    """In a process of its own: OpenCV would end it."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    cv2.imwrite(str(tmp_path / "face.png"), portrait)
    photo = (tmp_path / "face.png").rename(folder / os.fsdecode(b"na\xefve.png"))
    environment = os.environ | {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for options in ([], ["--json"]):
        command = [sys.executable, "-m", "emotion_core.cli", "infer", photo, "--draw", folder / "out", *options]
        result = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stderr == b""
        assert b"happy" in result.stdout or b"neutral" in result.stdout or b"contempt" in result.stdout
    data = np.frombuffer((folder / "out" / photo.name).read_bytes(), np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == portrait.shape
