"""Pictures and tables of an evaluation: their kinds, their letters, and that what they show is what was measured."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from emotion_core.cli import main
from emotion_core.evaluation.metrics import classification
from emotion_core.plots.confusion import plot_confusion
from emotion_core.plots.figures import drawing, letters, new_figure, save_figure
from emotion_core.plots.reliability import plot_reliability

COUNTS = np.array([[3, 1], [0, 400]])
BEGINS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


@pytest.mark.parametrize("latex_fonts", [False, True])
@pytest.mark.parametrize("suffix", BEGINS)
def test_every_kind_is_written_and_always_the_same(suffix, latex_fonts, tmp_path):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (first, second):
        plot_confusion(COUNTS, ("very_sad", "b$"), path, "m_y: 99 %", latex_fonts=latex_fonts)
    assert first.read_bytes().startswith(BEGINS[suffix])
    assert first.read_bytes() == second.read_bytes()


def test_letters_of_computer_modern_are_embedded_and_need_no_latex(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    plot_confusion(COUNTS, ("a", "b"), tmp_path / "a.pdf", latex_fonts=True)
    plot_confusion(COUNTS, ("a", "b"), tmp_path / "b.pdf")
    assert b"cmr10" in (tmp_path / "a.pdf").read_bytes().lower()
    assert b"cmr10" not in (tmp_path / "b.pdf").read_bytes().lower()


def test_names_are_shown_as_they_are():
    """Drawn once as they are and once as a formula would have them: no letter may be lost."""
    assert letters("a_b$c") == r"a_b\$c"
    assert letters("a_b<", latex_fonts=True) == r"a$\_$b$<$"
    with drawing():
        figure = new_figure(2, 1)
        text = figure.text(0, 0.5, letters("$x$"))
        assert text.get_window_extent().width > figure.text(0, 0.1, "x").get_window_extent().width * 2


def test_another_kind_is_one_clear_error(tmp_path, capsys):
    target = tmp_path / "x.doc"
    assert main(["eval", "--data", str(tmp_path), "--confusion", str(target)]) == 2
    assert ".png, .pdf, .svg" in capsys.readouterr().err
    assert main(["eval", "--data", str(tmp_path), "--calibration", str(tmp_path / "x.csv")]) == 2
    assert ".png, .pdf, .svg" in capsys.readouterr().err
    assert main(["eval", "--data", str(tmp_path), "--latex-fonts"]) == 2
    assert "--latex-fonts goes with" in capsys.readouterr().err


def test_an_unfinished_picture_leaves_the_old_one(tmp_path):
    path = tmp_path / "old.png"
    path.write_bytes(b"old")
    with drawing():
        figure = new_figure(1, 1)
        figure.text(0, 0, "$\\nonsense$")
        with pytest.raises(ValueError, match="nonsense"):
            save_figure(figure, path)
    assert path.read_bytes() == b"old" and [one.name for one in tmp_path.iterdir() if one.is_file()] == ["old.png"]


def test_each_class_and_each_bin():
    truth = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 1, 1, 1, 0])
    confidence = np.array([0.95, 0.95, 0.5, 0.5, 0.5, 0.95])
    result = classification(truth, predicted, confidence, ("a", "b", "c", "never"))
    assert result.precision == pytest.approx({"a": 200 / 3, "b": 200 / 3, "c": np.nan, "never": np.nan}, nan_ok=True)
    assert result.f1 == pytest.approx({"a": 200 / 3, "b": 80, "c": 0, "never": np.nan}, nan_ok=True)
    told = result.to_dict(("a", "b", "c", "never"))
    assert told["precision"]["c"] is None and told["f1"] == {"a": 66.67, "b": 80.0, "c": 0.0, "never": None}
    filled = result.reliability[result.reliability[:, 0] > 0]
    np.testing.assert_allclose(filled, [[0.5, 0.5, 2 / 3], [0.5, 0.95, 2 / 3]])
    assert np.isnan(result.reliability[0, 1:]).all() and result.reliability.shape == (15, 3)


def test_a_reliability_diagram_draws_the_bins(tmp_path):
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.4, 1.0, 2000)
    result = classification(np.zeros(2000, np.int64), (rng.random(2000) > confidence).astype(int), confidence, "ab")
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    plot_reliability({"": result}, one, "m")
    plot_reliability({"without TTA": result, "with TTA": result}, two, "m")
    # Both are drawn of paths; the second has another curve, with another colour.
    assert "#d9730d" not in one.read_text() and "#d9730d" in two.read_text()


def test_the_command_writes_all_of_them(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = ["emotion,pixels,Usage"]
    rows += [f"{i % 7},{' '.join(map(str, rng.integers(0, 256, 48 * 48)))},PublicTest" for i in range(14)]
    data = tmp_path / "data"
    data.mkdir()
    (data / "fer2013.csv").write_text("\n".join(rows) + "\n")
    paths = [str(tmp_path / f"confusion{suffix}") for suffix in (".png", ".pdf", ".svg", ".csv")]
    calibration = tmp_path / "calibration.pdf"
    command = ["eval", "--dataset", "fer2013", "--data", str(data), "--json", "--confusion", *paths]
    assert main([*command, "--calibration", str(calibration), "--latex-fonts", "--tta", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    for path in (*map(Path, paths[:3]), calibration):
        assert path.read_bytes().startswith(BEGINS[path.suffix])
    with Path(paths[3]).open(newline="") as file:
        head, *table = csv.reader(file)
    assert head == ["true", *report["confusion"]["labels"]]
    assert [row[0] for row in table] == report["confusion"]["labels"]
    assert [[int(cell) for cell in row[1:]] for row in table] == report["confusion"]["rows"]
