"""``emotion infer``: where the faces are, what is told of files, and the tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_core.cli import main
from emotion_core.cli.result_tables import columns
from emotion_core.errors import EmotionError
from emotion_core.parameters import parameter_of
from emotion_core.pipeline.facial import FacialConfig
from emotion_core.pipeline.still import StillPipeline
from emotion_core.pipeline.still_config import StillConfig
from emotion_core.types import Box, Face
from emotion_core.vision.turned import QUARTERS, turn, turned_back

LABELS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")


@pytest.fixture(scope="module")
def pipeline() -> StillPipeline:
    return StillPipeline(detector="haar", threads=1, upright=True)


@pytest.fixture(scope="module")
def photo(portrait: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "face.png"
    cv2.imwrite(str(path), portrait)
    return path


def infer(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, list[dict[str, Any]], str]:
    code = main(["infer", *map(str, args), "--json", "--threads", "1", "--detector", "haar"])
    said = capsys.readouterr()
    return code, [json.loads(line) for line in said.out.splitlines()], said.err


def test_a_parameter_of_pictures_is_that_of_the_nodes() -> None:
    shared = [name for name in StillConfig.__dataclass_fields__ if name in FacialConfig.__dataclass_fields__]
    assert {"detector", "detection_size", "min_score", "max_faces", "threads", "model", "provider"} <= set(shared)
    for name in shared:
        stills, streams = (kind.__dataclass_fields__[name] for kind in (StillConfig, FacialConfig))
        assert parameter_of(stills) is parameter_of(streams)
    with pytest.raises(EmotionError, match="parameter max_faces"):
        StillConfig(max_faces=0)


@pytest.mark.parametrize("command", ["infer", "video", "replay", "annotate"])
def test_the_knobs_have_one_spelling(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = capsys.readouterr().out
    for name in ("detector", "detection-size", "min-score", "max-faces", "threads", "model", "device"):
        assert f"--{name} " in said, name
    with pytest.raises(SystemExit):
        main([command, "x", "--out", "y", "--min-score", "much"])


@pytest.mark.parametrize("quarters", QUARTERS)
def test_a_point_of_a_turned_picture_is_found_in_the_given_one(quarters: int) -> None:
    image = np.zeros((40, 70, 3), np.uint8)
    image[10:14, 50:53] = 255
    rows, columns_ = np.nonzero(turn(image, quarters)[:, :, 0])
    box = Box(columns_.min(), rows.min(), np.ptp(columns_) + 1, np.ptp(rows) + 1)
    assert turned_back(Face(box), quarters, 70, 40).box == Box(50, 10, 3, 4)


@pytest.mark.parametrize("quarters", [2, 3])  # turned once, Haar takes something else in this photo for a face
def test_a_photo_on_its_side_is_told_in_its_own_coordinates(
    quarters: int, portrait: np.ndarray, pipeline: StillPipeline
) -> None:
    (expected,) = pipeline.process(portrait)
    turned = turn(portrait, quarters)
    (found,) = pipeline.process(turned)
    assert expected.face is not None and found.face is not None
    back = 4 - quarters
    upright = turned_back(expected.face, back, turned.shape[1], turned.shape[0]).box
    assert found.face.box.iou(upright) > 0.99
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
    assert StillPipeline(detector="haar", threads=1).process(turned) == []


def test_a_whole_picture_is_the_face(photo: Path, portrait: np.ndarray, tmp_path: Path, capsys) -> None:
    """A crop framed as FER2013 frames it gives what the photo around it gives."""
    _, (line,), _ = infer(capsys, photo)
    x, y, width, height = line["faces"][0]["box"]
    side = round(1.036 * (width * height) ** 0.5)
    left, top = round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)
    crop = portrait[top : top + side, left : left + side]
    assert crop.shape[:2] == (side, side)
    cv2.imwrite(str(tmp_path / "crop.png"), crop)
    code, (told,), _ = infer(capsys, tmp_path / "crop.png", "--faces", "whole")
    assert code == 0 and told["faces"][0]["box"] == [0, 0, side, side]
    assert told["faces"][0]["label"] == line["faces"][0]["label"]
    for label in LABELS:
        assert told["faces"][0]["probabilities"][label] == pytest.approx(
            line["faces"][0]["probabilities"][label], abs=0.1
        )


def test_given_boxes_are_taken_and_nothing_is_searched(photo: Path, tmp_path: Path, capsys) -> None:
    table = tmp_path / "boxes.csv"
    table.write_text(
        f"source,x,y,width,height,frame\n{photo.name},10,20,200,210,0\n{photo.name},5,6,50,60,\nwall.png,,,,\n"
    )
    wall = tmp_path / "wall.png"
    cv2.imwrite(str(wall), np.full((40, 50, 3), 90, np.uint8))
    code, (two, none), _ = infer(capsys, photo, wall, "--boxes", table)
    assert code == 0 and none["faces"] == []
    assert [face["box"] for face in two["faces"]] == [[10, 20, 200, 210], [5, 6, 50, 60]]
    other = tmp_path / "other.png"
    other.write_bytes(wall.read_bytes())
    code, (_, missing), error = infer(capsys, wall, other, "--boxes", table)
    assert code == 1 and "no row of --boxes" in missing["error"] and "no row of --boxes" in error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name,x,y,width,height\n", "no source is in it"),
        ("source,x,y,width,height\na.png,1,2,three,4\n", "line 2: expected x,y,width,height in pixels"),
        ("source,x,y,width,height\na.png,1,2,-3,4\n", "positive size"),
        ("source,x,y,width,height,frame\na.png,1,2,3,4,7\n", "expected frame 0 of a picture, got 7"),
    ],
)
def test_boxes_that_are_none(text: str, expected: str, photo: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "boxes.csv").write_text(text)
    code, lines, error = infer(capsys, photo, "--boxes", tmp_path / "boxes.csv")
    assert (code, lines) == (2, []) and expected in error and error.count("\n") == 1


def test_every_file_has_a_line_and_rows_and_the_exit_code_tells_how_many_failed(photo: Path, tmp_path: Path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    bad, wall = tmp_path / "bad.jpg", tmp_path / "wall.png"
    bad.write_bytes(b"no picture")
    cv2.imwrite(str(wall), np.full((40, 50, 3), 90, np.uint8))
    tables = ["--csv", tmp_path / "t.csv", "--parquet", tmp_path / "t.parquet"]
    code, lines, _ = infer(capsys, photo, bad, wall, *tables)
    assert code == 1
    assert [line["source"] for line in lines] == [str(photo), str(bad), str(wall)]
    assert lines[1].keys() == {"source", "error"} and "not a readable picture" in lines[1]["error"]
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    (face,) = lines[0]["faces"]
    assert tuple(rows[0]) == columns(LABELS)
    assert [rows[0][name] for name in ("kind", "face", "label", "model", "error")] == [
        "face", "0", face["label"], "esr_compact", "",
    ]  # fmt: skip
    assert [int(rows[0][name]) for name in ("x", "y", "width", "height")] == face["box"]
    assert {name: float(rows[0][f"p_{name}"]) for name in LABELS} == face["probabilities"]
    assert [row["source"] for row in rows] == [str(photo), str(bad), str(wall)]
    assert rows[1]["error"] == lines[1]["error"] and set(rows[2].values()) == {str(wall), ""}
    stored = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in stored] == rows
    assert infer(capsys, bad)[0] == 2
    assert infer(capsys, photo)[0] == 0


def test_a_table_takes_no_pictures_place(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = photo.read_bytes()
    code, _, error = infer(capsys, photo, "--csv", photo)
    assert code == 2 and "--csv" in error and "the source itself" in error
    assert photo.read_bytes() == before


def test_timings_are_told_on_request(photo: Path, tmp_path: Path, capsys, pipeline: StillPipeline) -> None:
    _, (line,), _ = infer(capsys, photo, "--timings", "--draw", tmp_path / "drawn")
    assert list(line["timings_ms"]) == ["read", "detect", "crop", "network", "draw"]
    assert all(ms > 0 for ms in line["timings_ms"].values())
    assert "timings_ms" not in infer(capsys, photo)[1][0]
    pipeline.process(np.full((40, 50, 3), 90, np.uint8))
    assert list(pipeline.timings_ms) == ["detect"]
    assert main(["infer", str(photo), "--timings", "--detector", "haar"]) == 0
    assert "(read " in (said := capsys.readouterr().out) and " ms)" in said


def test_faces_are_limited_by_number_and_size(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (face,) = infer(capsys, photo)[1][0]["faces"]
    assert infer(capsys, photo, "--min-face-px", max(face["box"][2:]) + 50)[1][0]["faces"] == []
    assert infer(capsys, photo, "--min-score", 1)[1][0]["faces"] == []
    assert infer(capsys, photo, "--boxes", "none.csv", "--faces", "whole")[0] == 2
