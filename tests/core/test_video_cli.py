"""``emotion video``: what it writes, for every kind of source, and what it survives."""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_core.cli import progress, video, video_table
from emotion_core.errors import EmotionError
from emotion_core.media.frames import open_frames
from emotion_core.pipeline.facial import FacialPipeline
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.finding import BUNDLED

FRAMES, RATE_HZ = 8, 10


def emotion(*args: object) -> int:
    parser = argparse.ArgumentParser()
    video.add(parser)
    parsed = parser.parse_args(list(map(str, args)))
    return int(parsed.run(parsed))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, and no display."""
    load = Classifier.load
    monkeypatch.setattr(Classifier, "load", lambda model, threads=1, *rest: load(model, 1, *rest))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


@pytest.fixture(scope="module")
def photo(portrait, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("media") / "face.png"
    cv2.imwrite(str(path), cv2.resize(portrait, (256, 300), interpolation=cv2.INTER_AREA))
    return path


@pytest.fixture(scope="module")
def clip(photo) -> Path:
    """The face, moving a pixel to the right in each of 8 frames, at 10 Hz."""
    pytest.importorskip("av")
    from emotion_core.media.video import VideoWriter

    image = cv2.imread(str(photo))
    path = photo.with_name("clip.mp4")
    writer = VideoWriter(path, queue_size=FRAMES, rate_hz=RATE_HZ)
    for i in range(FRAMES):
        writer.put(np.roll(image, i, axis=1), i / RATE_HZ)
    assert writer.close()
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_video_with_its_branches_as_video_and_table(clip, tmp_path, capsys):
    out, table = tmp_path / "new" / "out.mp4", tmp_path / "new" / "out.csv"
    assert emotion(clip, "--branches", "--size", "640x360", "--every", 2, "--out", out, "--csv", table, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["labels"].keys() <= set(Classifier.load("esr_compact").card.labels)
    assert sum(report.pop("labels").values()) == 4
    assert report == {
        "source": str(clip),
        "model": "esr_compact",
        "detector": "haar",
        "frames": FRAMES,
        "processed": 4,
        "bad": 0,
        "seconds": pytest.approx(0.6, abs=0.01),
        "faces": 4,
        "tracks": 1,
        "written": 4,
        "out": str(out),
        "csv": str(table),
        "srt": None,
    }
    with open_frames(str(out)) as source:
        written = list(source)
    assert [image.shape for image, _ in written] == [(360, 640, 3)] * 4
    assert [stamp for _, stamp in written] == pytest.approx([0, 0.2, 0.4, 0.6], abs=0.01)
    rows = rows_of(table)
    assert [(row["frame"], row["branch"]) for row in rows] == [
        (str(frame), branch) for frame in (0, 2, 4, 6) for branch in ("ensemble", "1", "2", "3")
    ]
    assert {row["track_id"] for row in rows} == {"1"}
    assert [float(row["stamp_s"]) for row in rows[::4]] == pytest.approx([0, 0.2, 0.4, 0.6], abs=0.01)
    for i in range(0, len(rows), 4):
        for name in ("p_neutral", "p_contempt", "valence", "arousal"):
            mean = np.mean([float(row[name]) for row in rows[i + 1 : i + 4]])
            assert float(rows[i][name]) == pytest.approx(mean, abs=2e-6)
    for row in rows:
        probabilities = {name[2:]: float(value) for name, value in row.items() if name.startswith("p_")}
        assert len(probabilities) == 8
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert row["label"] == max(probabilities, key=probabilities.__getitem__)
        assert float(row["confidence"]) == probabilities[row["label"]]
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.csv", "out.mp4"]


def test_a_picture_keeps_its_size_or_gets_another(photo, tmp_path, capsys):
    image = cv2.imread(str(photo))
    assert emotion(photo, "--out", tmp_path / "same.png") == 0
    same = cv2.imread(str(tmp_path / "same.png"))
    assert same.shape == image.shape
    assert (same != image).any()
    assert (same == image).all(axis=2).mean() > 0.5
    assert emotion(photo, "--out", tmp_path / "wide.jpg", "--size", "400x200", "--csv", tmp_path / "t.csv") == 0
    wide = cv2.imread(str(tmp_path / "wide.jpg"))
    assert wide.shape == (200, 400, 3)
    assert wide[:, :100].max() < 40  # empty beside the picture
    assert [row["track_id"] for row in rows_of(tmp_path / "t.csv")] == [""] * 4
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(f"{photo}: 1 of 1 frames processed; seen: ")
    assert said.endswith(f"wrote {tmp_path / 'wide.jpg'}, {tmp_path / 't.csv'}")
    assert emotion(photo, "--branches", "--out", tmp_path / "view.png") == 0
    assert cv2.imread(str(tmp_path / "view.png")).shape == (720, 1280, 3)


@pytest.fixture
def folder(photo, tmp_path) -> Path:
    """Two pictures of one name, a broken one, an empty one, and what is none."""
    path = tmp_path / "pictures"
    path.mkdir()
    shutil.copy(photo, path / "a.png")
    cv2.imwrite(str(path / "a.bmp"), cv2.imread(str(photo)))
    (path / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    cv2.imwrite(str(path / "c.png"), np.full((80, 100, 3), 99, np.uint8))
    (path / "notes.txt").write_text("no picture")
    return path


def test_a_folder_gives_a_picture_of_each(folder, tmp_path, capsys, caplog):
    assert emotion(folder, "--out", tmp_path / "drawn", "--csv", tmp_path / "t.csv", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["processed"], report["bad"], report["faces"]) == (3, 3, 1, 2)
    assert "b.jpg" in caplog.text
    drawn = {path.name: cv2.imread(str(path)).shape for path in (tmp_path / "drawn").iterdir()}
    assert drawn == {"a.png": (300, 256, 3), "a-2.png": (300, 256, 3), "c.png": (80, 100, 3)}
    assert {row["frame"] for row in rows_of(tmp_path / "t.csv")} == {"0", "1"}


def test_a_folder_as_a_video(folder, tmp_path, capsys):
    pytest.importorskip("av")
    assert emotion(folder, "--out", tmp_path / "out.mp4", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["processed"], report["bad"], report["written"]) == (3, 1, 3)


def break_frames(monkeypatch: pytest.MonkeyPatch, broken: set[int], error: BaseException) -> None:
    """Let the pipeline fail in the calls with these numbers."""
    process, calls = FacialPipeline.process, iter(range(1000))

    def failing(self: FacialPipeline, image: Any, stamp_s: float) -> Any:
        if next(calls) in broken:
            raise error
        return process(self, image, stamp_s)

    monkeypatch.setattr(FacialPipeline, "process", failing)


def test_bad_frames_are_counted(clip, tmp_path, capsys, caplog, monkeypatch):
    break_frames(monkeypatch, {1, 4}, ValueError("spoilt"))
    assert emotion(clip, "--out", tmp_path / "out.mp4", "--csv", tmp_path / "t.csv", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["processed"], report["bad"], report["written"]) == (8, 6, 2, 6)
    assert [row["frame"] for row in rows_of(tmp_path / "t.csv")[::4]] == ["0", "2", "3", "5", "6", "7"]
    assert caplog.text.count("ValueError: spoilt") == 1


def test_where_all_fail_nothing_is_left(clip, tmp_path, monkeypatch):
    break_frames(monkeypatch, set(range(100)), ValueError("spoilt"))
    with pytest.raises(EmotionError, match="all 8 failed: ValueError: spoilt"):
        emotion(clip, "--out", tmp_path / "out.mp4", "--csv", tmp_path / "t.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_an_interrupted_run_keeps_what_there_is(clip, tmp_path, capsys, monkeypatch):
    break_frames(monkeypatch, {3}, KeyboardInterrupt())
    assert emotion(clip, "--out", tmp_path / "out.mp4", "--csv", tmp_path / "t.csv", "--json") == 130
    assert json.loads(capsys.readouterr().out)["written"] == 3
    with open_frames(str(tmp_path / "out.mp4")) as source:
        assert len(list(source)) == 3
    assert len(rows_of(tmp_path / "t.csv")) == 12


def test_duration_ends_a_video(clip, capsys, tmp_path):
    assert emotion(clip, "--csv", tmp_path / "t.csv", "--duration", 0.25, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["processed"], report["written"]) == (3, 3, 0)


def test_tracks_hold_when_frames_are_far_apart(clip, capsys, tmp_path):
    """Three frames 0.3 s apart are one person, though a gap of half a second is usually the end."""
    assert emotion(clip, "--csv", tmp_path / "t.csv", "--every", 7, "--json") == 0
    assert json.loads(capsys.readouterr().out)["tracks"] == 1


def test_gradcam_explains_what_the_branches_say(photo, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from emotion_core.plots import observer
    from emotion_core.plots.branches import BranchReading

    seen: list[BranchReading] = []
    draw = observer.draw_branches

    def spy(image: Any, estimates: Any, reading: Any, *rest: Any) -> Any:
        seen.append(reading)
        return draw(image, estimates, reading, *rest)

    monkeypatch.setattr(observer, "draw_branches", spy)
    assert emotion(photo, "--gradcam", "--out", tmp_path / "out.png", "--size", "640x360") == 0
    assert emotion(photo, "--branches", "--out", tmp_path / "plain.png", "--size", "640x360") == 0
    explained, plain = seen
    assert explained.saliency is not None
    assert explained.saliency.shape == (3, 48, 48)
    np.testing.assert_allclose(explained.saliency.max(axis=(1, 2)), 1, atol=1e-6)
    assert plain.saliency is None
    np.testing.assert_allclose(explained.probabilities, plain.probabilities)
    np.testing.assert_allclose(explained.probabilities.mean(axis=0), explained.estimate.probabilities, atol=1e-6)
    assert (cv2.imread(str(tmp_path / "out.png")) != cv2.imread(str(tmp_path / "plain.png"))).any()


def test_gradcam_takes_the_weights_of_the_same_network(photo, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    model = tmp_path / "mine.onnx"
    for suffix in (".onnx", ".json"):
        shutil.copy(BUNDLED / f"esr_compact{suffix}", model.with_suffix(suffix))
    with pytest.raises(EmotionError, match=r"expected .*mine\.safetensors"):
        emotion(photo, "--gradcam", "--model", model, "--out", tmp_path / "out.png")
    from dataclasses import replace

    from emotion_core.export.weights import save_network
    from emotion_core.models.esr import PRESETS, Esr
    from emotion_core.models.registry import describe, entry_of
    from emotion_core.store.metadata import read_card

    other = Esr(replace(PRESETS["esr_compact"], branches=2))
    card = describe(entry_of(other), "other", read_card(model).labels, "none")
    save_network(other, card, model.with_suffix(".safetensors"))
    with pytest.raises(EmotionError, match="another network"):
        emotion(photo, "--gradcam", "--model", model, "--out", tmp_path / "out.png")


def test_without_a_display_out_is_asked_for(photo, tmp_path, monkeypatch):
    with pytest.raises(EmotionError, match=r"no display .* --out"):
        emotion(photo)
    monkeypatch.setenv("DISPLAY", ":0")

    def headless(*args: object) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", headless)
    with pytest.raises(EmotionError, match=r"headless.* --out"):
        emotion(photo)
    assert emotion(photo, "--csv", tmp_path / "t.csv") == 0
    assert len(rows_of(tmp_path / "t.csv")) == 4


def test_a_window_shows_frames_until_q(clip, capsys, monkeypatch):
    shown: list[np.ndarray] = []
    monkeypatch.setenv("DISPLAY", ":0")
    for name in ("namedWindow", "resizeWindow", "destroyAllWindows"):
        monkeypatch.setattr(cv2, name, lambda *args: None)
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: shown.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda pause_ms: ord("q") if len(shown) == 3 else -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *args: 1.0)
    assert emotion(clip, "--json") == 0
    assert json.loads(capsys.readouterr().out)["written"] == 3
    assert [picture.shape for picture in shown] == [(300, 256, 3)] * 3
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *args: 0.0)  # closed by its button
    assert emotion(clip, "--json") == 0
    assert json.loads(capsys.readouterr().out)["written"] == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--out", "x.mp4"], r"ending in \.png or \.jpg, for .* is a picture"),
        (["--branches", "--size", "500x400", "--out", "x.png"], "at least 640x360"),
        (["--model", "nope", "--out", "x.png"], "unknown model"),
        (["--detector", "yunet", "--out", "x.png"], "no YuNet model"),
    ],
)
def test_mistakes_are_clear(photo, args, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmotionError, match=words):
        emotion(photo, *args)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_sources_and_results_that_do_not_go_together(clip, photo, folder, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    for source, out, words in (
        (clip, tmp_path / "x.png", r"ending in \.mp4"),
        (folder, tmp_path / "x.png", r"a folder or a file ending in \.mp4"),
        (photo, photo, "the source itself"),
        (photo, photo / "below.png", "cannot be written"),
        (folder, folder / "notes.txt", r"a folder or a file ending in \.mp4"),
        (folder, taken, "cannot be written"),
        (tmp_path / "absent.mp4", tmp_path / "x.mp4", r"absent\.mp4"),
        ("77", tmp_path / "x.mp4", "camera 77"),
    ):
        with pytest.raises(EmotionError, match=words):
            emotion(source, "--out", out)
    assert not list(tmp_path.glob("x*"))


def contents(*paths: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in paths}


def test_no_result_takes_the_place_of_a_source_or_of_another(clip, photo, folder, tmp_path, monkeypatch):
    model = tmp_path / "mine.onnx"
    shutil.copy(BUNDLED / "esr_compact.onnx", model)
    link = tmp_path / "link.mp4"
    link.symlink_to(clip)
    monkeypatch.chdir(clip.parent)
    before = contents(clip, photo, model, *folder.iterdir())
    for source, args, words in (
        (clip, ["--out", "x.mp4", "--csv", clip.parent / "x.mp4"], r"--csv .* is where --out goes"),
        (clip, ["--out", clip.name], "the source itself"),
        (clip, ["--out", link], "the source itself"),
        (link, ["--out", clip], "the source itself"),
        (clip, ["--csv", clip], "the source itself"),
        (clip, ["--out", tmp_path / "y.mp4", "--csv", model, "--model", model], "the source itself"),
        (photo, ["--out", tmp_path / "y.png", "--csv", photo], "the source itself"),
        (folder, ["--out", folder], "would replace .*the source itself: name another folder"),
        (folder, ["--out", tmp_path / "y.mp4", "--csv", folder / "c.png"], "the source itself"),
        (folder, ["--out", tmp_path / "drawn", "--csv", tmp_path / "drawn" / "a.png"], r"is where --out goes"),
    ):
        with pytest.raises(EmotionError, match=words):
            emotion(source, *args)
    assert contents(*before) == before
    assert not list(clip.parent.glob("x*")) and not list(tmp_path.glob("y*"))


def test_a_broken_picture_changes_no_other_name(folder, tmp_path, caplog):
    (folder / "a.bmp").write_bytes(b"BM broken")
    assert emotion(folder, "--out", tmp_path / "drawn") == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["a-2.png", "c.png"]


def test_names_that_are_not_utf8(clip, folder, tmp_path, capsys):
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    odd.mkdir()
    source = shutil.copy(clip, odd / os.fsdecode(b"na\xefve.mp4"))
    out, table = odd / os.fsdecode(b"\xe9.mp4"), odd / os.fsdecode(b"\xe9.csv")
    assert emotion(source, "--out", out, "--csv", table, "--json") == 0
    with open_frames(str(out)) as drawn:
        assert len(list(drawn)) == FRAMES
    assert len(rows_of(table)) == 4 * FRAMES
    (folder / "c.png").rename(folder / os.fsdecode(b"\xe9.png"))
    assert emotion(folder, "--out", odd / "drawn", "--json") == 0
    assert {os.fsencode(path.name) for path in (odd / "drawn").iterdir()} == {b"a.png", b"a-2.png", b"\xe9.png"}


@pytest.mark.parametrize("period", [2, 90])
def test_one_person_in_a_time_lapse(portrait, tmp_path, capsys, period):
    """A frame in two seconds, and one in a minute and a half."""
    av = pytest.importorskip("av")
    image = cv2.resize(portrait, (256, 300), interpolation=cv2.INTER_AREA)
    with av.open(str(tmp_path / "lapse.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE_HZ)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 256, 300, "yuv420p", 4_000_000
        for index in range(4):
            picture = av.VideoFrame.from_ndarray(image, format="bgr24")
            picture.pts, picture.time_base = index * period * RATE_HZ, Fraction(1, RATE_HZ)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    assert emotion(tmp_path / "lapse.mkv", "--out", tmp_path / "out.mp4", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["processed"], report["faces"], report["tracks"], report["seconds"]) == (4, 4, 1, 3 * period)
    with open_frames(str(tmp_path / "out.mp4")) as drawn:
        assert [time_s for _, time_s in drawn] == pytest.approx([i * period for i in range(4)], abs=0.01)


@pytest.mark.parametrize(
    "args", [["--every", "0"], ["--every", "x"], ["--duration", "-1"], ["--duration", "nan"], ["--size", "10x10"],
             ["--size", "640"], ["--size", "axb"]],
)  # fmt: skip
def test_bad_usage_exits_two(args, capsys):
    with pytest.raises(SystemExit) as stop:
        emotion("x.mp4", *args)
    assert stop.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_a_full_disk_is_a_clear_error(photo, tmp_path, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(video_table.Table, "add", full)
    with pytest.raises(EmotionError, match=r"t\.csv cannot be written: the disk is full"):
        emotion(photo, "--csv", tmp_path / "t.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_progress_in_lines(capsys):
    with progress.media_progress(25.0) as tell:
        for stamp in (0.0, 9.9, 10.0, 10.1, 24.9):
            tell(stamp, round(30 * stamp))
    assert capsys.readouterr().err.splitlines() == ["10 of 25 s, 300 frames", "25 of 25 s, 747 frames"]
