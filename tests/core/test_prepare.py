"""``emotion prepare`` as its parser and ``run`` see it."""

from __future__ import annotations

import argparse
import csv
import json

import cv2
import numpy as np
import pytest

from emotion_core.cli import prepare
from emotion_core.data.affectnet_rows import COLUMNS
from emotion_core.errors import EmotionError


def run(*args: object) -> int:
    parser = argparse.ArgumentParser()
    prepare.add(parser)
    parsed = parser.parse_args(["affectnet", *map(str, args)])
    return int(parsed.run(parsed))


@pytest.fixture()
def arguments(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "1.png"), np.full((100, 100, 3), 99, np.uint8))
    with (tmp_path / "training.csv").open("w", newline="") as file:
        rows = [[name, 0, 0, 50, 50, "", 1, 0.1, 0.2] for name in ("1.png", "gone.png", "1.png")]
        csv.writer(file).writerows([COLUMNS, *rows, ["1.png", 0, 0, 50, 50, "", 9, 0, 0]])
    return "--images", images, "--annotations", tmp_path, "--out", tmp_path / "out", "--set"


def test_lines_say_what_was_written_and_skipped(arguments, tmp_path, capsys):
    assert run(*arguments, "train", "--workers", 1) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{tmp_path / 'out' / 'Training_Labeled'}: 4 rows",
        "written: 2",
        "already there: 0",
        "skipped: not an emotion: 1, e.g. row 3: 1.png,0,0,50,50,,9,0,0",
        "skipped: missing image: 1, e.g. row 1: gone.png",
    ]
    assert err.splitlines() == ["1 of 3 rows", "2 of 3 rows", "3 of 3 rows"]
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 2


def test_json_is_the_report(arguments, tmp_path, capsys):
    assert run(*arguments, "train", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == json.loads((tmp_path / "out" / "Training_Labeled" / "report.json").read_text())
    assert json.loads(line)["skipped"]["missing image"] == 1


@pytest.mark.parametrize(("name", "table"), [("valid", "validation.csv"), ("unlabeled", "automatically_annotated.csv")])
def test_each_set_has_its_table(arguments, name, table):
    with pytest.raises(EmotionError, match=f"{table} is missing"):
        run(*arguments, name)


def test_nothing_prepared_is_an_error_that_tells_why(arguments, tmp_path):
    (tmp_path / "images" / "1.png").unlink()
    with pytest.raises(EmotionError, match=r"no face of 4 rows.*--images"):
        run(*arguments, "train")


def test_unknown_set_is_bad_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*arguments, "test")
    assert stop.value.code == 2
    assert "--set" in capsys.readouterr().err


def test_a_terminal_gets_a_table(arguments, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    assert run(*arguments, "train") == 0
    out, err = capsys.readouterr()
    assert "written" in out and "│" in out
    assert "faces" in err and "of 3 rows" not in err


def test_the_folder_for_the_faces_is_tried_before_the_table_is_read(arguments, tmp_path, monkeypatch):
    (tmp_path / "training.csv").write_text("no table")
    others = arguments[:4]
    for out in (tmp_path / "training.csv", "/sys/faces"):
        with pytest.raises(EmotionError, match=r"^\S+ cannot be written: .*choose another place"):
            run(*others, "--out", out, "--set", "train")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(EmotionError, match="has no column"):
        run(*others, "--out", "~/faces", "--set", "train")
    assert (tmp_path / "home" / "faces").is_dir()
