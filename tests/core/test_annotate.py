"""``emotion annotate``: every recording once, whatever is changed, damaged or killed."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV comes with the extra [archive]")
pytest.importorskip("pyarrow", reason="pyarrow comes with the extra [archive]")

from pyarrow import parquet

from emotion_core.archive.archive import Archive
from emotion_core.archive.engine import AnnotateConfig
from emotion_core.archive.index import read_index
from emotion_core.archive.inputs import find_inputs
from emotion_core.archive.processes import in_processes
from emotion_core.archive.work import Job, Outcome, annotate
from emotion_core.cli import annotate as command
from emotion_core.errors import EmotionError
from emotion_core.media.frames import open_frames
from emotion_core.media.video import VideoWriter
from emotion_core.pipeline.facial import FacialPipeline
from emotion_core.types import FACE, VOICE

FRAMES, RATE_HZ = 6, 10


def write_video(path: Path, pictures: list[np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = VideoWriter(path, queue_size=len(pictures), rate_hz=RATE_HZ)
    for i, picture in enumerate(pictures):
        writer.put(picture, i / RATE_HZ)
    assert writer.close()
    return path


@pytest.fixture(scope="module")
def face(portrait) -> np.ndarray:
    return cv2.resize(portrait, (256, 300), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def originals(face, tmp_path_factory) -> Path:
    """a.mp4: a face that moves; deep/b.mp4: the same the other way, and nobody in its last frame."""
    folder = tmp_path_factory.mktemp("archive")
    write_video(folder / "a.mp4", [np.roll(face, i, axis=1) for i in range(FRAMES)])
    there = [np.roll(face, -i, axis=1) for i in range(FRAMES - 1)]
    write_video(folder / "deep" / "b.mp4", [*there, np.zeros_like(face)])
    return folder


@pytest.fixture
def archive(originals, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(originals, tmp_path / "archive"))


def one_by_one(jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
    yield from map(annotate, jobs)


def run(inputs: list[Path], out: Path, again: bool = False, **settings: Any) -> Any:
    """The report of a run in this process."""
    archive = Archive(find_inputs([str(path) for path in inputs]), out, AnnotateConfig(**settings), again)
    return archive.run(one_by_one, lambda outcome: None)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return parquet.read_table(path).to_pylist()


# ---- what there is --------------------------------------------------------------------------------------------------


def names(*words: object) -> list[str]:
    return [item.name for item in find_inputs([str(word) for word in words])]


def test_recordings_are_found_in_folders_by_patterns_and_by_name(tmp_path):
    for name in ("a.mp4", "a.txt", ".hidden.mp4", "deep/B.MKV", "deep/run/metadata.yaml", "deep/run/x.mcap", "c.db3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path) == ["a.mp4", "c.db3", "deep/B.MKV", "deep/run"]
    assert names(tmp_path / "deep" / "run") == ["run"]
    assert names(tmp_path / "*.mp4") == ["a.mp4"]
    assert names(tmp_path / "**" / "*.MKV", tmp_path / "a.txt") == ["a.txt", "deep/B.MKV"]
    assert names(tmp_path / "d*") == ["deep/B.MKV", "deep/run"]
    assert names(tmp_path, tmp_path / "a.mp4", tmp_path / "deep" / ".." / "a.mp4") == names(tmp_path)


def test_what_leads_nowhere_and_what_would_have_one_name_is_refused(tmp_path):
    with pytest.raises(EmotionError, match="none: expected a recording"):
        find_inputs([str(tmp_path / "none")])
    with pytest.raises(EmotionError, match=r"\*\.mp4: expected a recording"):
        find_inputs([str(tmp_path / "*.mp4")])
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.mp4").touch()
    with pytest.raises(EmotionError, match=r"would both be a\.mp4: name one folder that holds both"):
        find_inputs([str(tmp_path / "one"), str(tmp_path / "two")])
    assert names(tmp_path) == ["one/a.mp4", "two/a.mp4"]


# ---- what is written ------------------------------------------------------------------------------------------------


def test_a_table_holds_what_the_pipeline_estimates(archive, tmp_path):
    out = tmp_path / "out"
    report = run([archive], out)
    assert (report.annotated, report.unchanged, report.failures) == ({"new": 2}, 0, [])
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.parquet")) == [
        "a.mp4.parquet",
        "deep/b.mp4.parquet",
        "index.parquet",
    ]
    rows = rows_of(out / "deep" / "b.mp4.parquet")
    expected = [
        (index, stamp_s, FacialPipeline().process(image, stamp_s) if index == 0 else None)
        for index, (image, stamp_s) in enumerate(open_frames(str(archive / "deep" / "b.mp4")))
    ]
    assert [(row["frame"], row["stamp_s"]) for row in rows] == [(index, stamp_s) for index, stamp_s, _ in expected]
    (estimate,) = expected[0][2] or []
    first = rows[0]
    assert (first["track_id"], first["label"], first["model"]) == (estimate.track_id, estimate.label, estimate.model)
    assert first["x"] == pytest.approx(estimate.face.box.x) and first["width"] == pytest.approx(estimate.face.box.width)
    said = [first[f"p_{label}"] for label in estimate.labels]
    assert said == pytest.approx(estimate.probabilities, abs=1e-6)
    assert first["valence"] == pytest.approx(estimate.valence, abs=1e-6)
    assert first["modalities"] == FACE


def test_a_frame_without_people_has_a_row_without_values(archive, tmp_path, face):
    write_video(archive / "nobody.mp4", [np.zeros_like(face)] * 3)
    run([archive / "nobody.mp4"], tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "nobody.mp4.parquet")
    assert [row["frame"] for row in rows] == [0, 1, 2]
    assert all(value is None for row in rows for name, value in row.items() if name not in ("frame", "stamp_s"))


def test_the_index_says_of_what_and_how(archive, tmp_path):
    run([archive], tmp_path / "out", every=2)
    first, second = read_index(tmp_path / "out")
    assert (first.input, first.output) == (str(archive / "a.mp4"), "a.mp4.parquet")
    assert (first.status, first.frames, first.processed, first.faces, first.people) == ("done", FRAMES, 3, 3, 1)
    assert first.seconds == pytest.approx(4 / RATE_HZ)
    assert (first.size, first.mtime_s) == ((archive / "a.mp4").stat().st_size, (archive / "a.mp4").stat().st_mtime)
    assert len(first.sha256) == 64 and first.sha256 != second.sha256
    settings = json.loads(first.settings)
    assert (settings["every"], settings["detector"], settings["model"]) == (2, "haar", "esr_compact")
    assert "threads" not in settings and "voice_model" not in settings


def test_annotating_twice_gives_the_same_bytes(archive, tmp_path):
    for out in ("one", "two"):
        run([archive], tmp_path / out)
    for name in ("a.mp4.parquet", "deep/b.mp4.parquet", "index.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_sound_counts_where_there_is_some(face, faces_and_voices, mux, archive, tmp_path):
    _, voice = faces_and_voices
    samples, rate_hz = voice(5, 1)
    stamps = np.arange(0, len(samples) / rate_hz, 0.2)
    mux(archive / "talk.mkv", [face] * len(stamps), stamps, (samples, rate_hz))
    run([archive], tmp_path / "out", audio=True)
    talk = rows_of(tmp_path / "out" / "talk.mkv.parquet")
    assert {row["modalities"] for row in talk} == {FACE, FACE | VOICE}
    assert {row["model"] for row in talk if row["modalities"] == FACE | VOICE} == {"late_fusion"}
    notes = {entry.output: entry.notes for entry in read_index(tmp_path / "out")}
    assert notes["talk.mkv.parquet"] == "" and "no sound track" in notes["a.mp4.parquet"]


def test_a_bag_is_annotated_like_the_video_that_it_was_made_of(archive, write_bag, tmp_path):
    from emotion_core.media.bag_messages import Messages
    from emotion_core.media.bag_types import make_typestore

    store = make_typestore()
    make, start_ns, messages = Messages(store), 1_000_000_000, []
    for image, stamp_s in open_frames(str(archive / "a.mp4")):
        stamp_ns = start_ns + round(stamp_s * 1e9)
        messages.append(("/camera", make.image(image, make.header(stamp_ns, "head")), stamp_ns + 1000))
        messages.append(("/other", make.image(image[:32, :32], make.header(stamp_ns, "head")), stamp_ns + 2000))
    (file,) = write_bag(archive / "run", messages, store).glob("*.mcap")
    (archive / "cut.mcap").write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    report = run([archive], tmp_path / "out", topics="/camera")
    assert (report.annotated, report.failures) == ({"new": 4}, [])
    of_video, of_bag = (rows_of(tmp_path / "out" / f"{name}.parquet") for name in ("a.mp4", "run"))
    assert [row["stamp_s"] for row in of_bag] == pytest.approx([1 + row["stamp_s"] for row in of_video])
    for row in of_video + of_bag:
        del row["stamp_s"]
    assert of_bag == of_video
    entries = {entry.output: entry for entry in read_index(tmp_path / "out")}
    cut, entry = entries["cut.mcap.parquet"], entries["run.parquet"]
    assert 0 < cut.frames < FRAMES and "cut.mcap" in cut.notes and not entry.notes  # what can be read is
    assert entry.size == sum(path.stat().st_size for path in (archive / "run").iterdir())
    (failure,) = run([archive / "run"], tmp_path / "out2").failures
    assert "several topics with pictures" in failure.error


# ---- what is done anew ----------------------------------------------------------------------------------------------


def test_only_what_changed_is_annotated_anew(archive, tmp_path, face):
    out = tmp_path / "out"
    run([archive], out)
    before = (out / "a.mp4.parquet").stat().st_mtime_ns
    assert run([archive], out).unchanged == 2
    os.utime(archive / "a.mp4", (1, 1))  # as a copy has it
    report = run([archive], out)
    assert (report.annotated, report.unchanged) == ({}, 2)
    assert (out / "a.mp4.parquet").stat().st_mtime_ns == before
    assert next(entry for entry in read_index(out) if entry.output == "a.mp4.parquet").mtime_s == 1
    write_video(archive / "a.mp4", [face, face])
    report = run([archive], out)
    assert (report.annotated, report.unchanged) == ({"its contents changed": 1}, 1)
    assert len(rows_of(out / "a.mp4.parquet")) == 2
    report = run([archive], out, every=2)
    assert report.annotated == {"every 1 -> 2": 2}
    assert run([archive / "a.mp4"], out, every=2, again=True).annotated == {"asked for": 1}
    assert [entry.output for entry in read_index(out)] == ["a.mp4.parquet", "deep/b.mp4.parquet"]


def test_another_model_file_of_the_same_name_is_another_setting(archive, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run([archive / "a.mp4"], out)
    monkeypatch.setattr("emotion_core.archive.engine.sha256", lambda path: "another")
    (reason,) = Archive(find_inputs([str(archive / "a.mp4")]), out, AnnotateConfig()).jobs
    assert reason.reason.startswith("model_sha256 ") and reason.reason.endswith(" -> another")


def test_a_computer_with_other_models_says_so(archive, tmp_path):
    config = AnnotateConfig()
    (job,) = Archive(find_inputs([str(archive / "a.mp4")]), tmp_path / "out", config).jobs
    outcome = annotate(Job(job.path, job.folder, job.name, config, {**job.settings, "model_sha256": "other"}))
    assert outcome.entry.status == "failed" and "this computer has other models" in outcome.entry.error


def test_no_table_of_another_recording_is_replaced(archive, tmp_path, face):
    run([archive / "a.mp4"], tmp_path / "out")
    other = write_video(tmp_path / "elsewhere" / "a.mp4", [face])
    with pytest.raises(EmotionError, match=r"is the table of .*archive/a\.mp4, and would be that of .*elsewhere"):
        run([other], tmp_path / "out")
    (archive / "a.mp4").unlink()  # it has moved, so to say
    assert run([other], tmp_path / "out").annotated == {"its contents changed": 1}


def test_a_table_that_is_damaged_is_made_anew(archive, tmp_path):
    out = tmp_path / "out"
    run([archive / "a.mp4"], out)
    whole = (out / "a.mp4.parquet").read_bytes()
    (out / "a.mp4.parquet").write_bytes(whole[: len(whole) // 2])
    assert run([archive / "a.mp4"], out).annotated == {"new": 1}
    assert (out / "a.mp4.parquet").read_bytes() == whole


# ---- what fails -----------------------------------------------------------------------------------------------------


def emotion(*args: object) -> int:
    parser = argparse.ArgumentParser()
    command.add(parser)
    parsed = parser.parse_args(list(map(str, args)))
    return int(parsed.run(parsed))


def test_failures_are_listed_and_the_rest_is_done(archive, tmp_path, capsys):
    (archive / "broken.mp4").write_bytes(b"no video at all")
    whole = (archive / "a.mp4").read_bytes()
    (archive / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    assert emotion(archive, "--out", tmp_path / "out", "--jobs", 2, "--json") == 1
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert (report["inputs"], report["annotated"], report["unchanged"]) == (4, 2, 0)
    failed = {Path(failure["input"]).name: failure["error"] for failure in report["failed"]}
    assert failed.keys() == {"broken.mp4", "cut.mp4"} and "cannot be read" in failed["broken.mp4"]
    assert "4 of 4: " in printed.err and "broken.mp4 failed: " in printed.err
    entries = {entry.output: entry for entry in read_index(tmp_path / "out")}
    assert entries["broken.mp4.parquet"].status == "failed" and entries["a.mp4.parquet"].status == "done"
    assert not (tmp_path / "out" / "broken.mp4.parquet").exists()
    shutil.copy(archive / "a.mp4", archive / "broken.mp4")  # mended
    (archive / "cut.mp4").unlink()
    assert emotion(archive, "--out", tmp_path / "out", "--jobs", 1) == 0
    assert "1 annotated (1 new), 2 unchanged" in capsys.readouterr().out


def test_nothing_that_could_be_done_is_exit_code_2(archive, tmp_path, capsys):
    (archive / "broken.mp4").write_bytes(b"no video at all")
    assert emotion(archive / "broken.mp4", "--out", tmp_path / "out", "--jobs", 1) == 2
    assert "1 recordings: 0 annotated, 0 unchanged, 1 failed" in capsys.readouterr().out
    with pytest.raises(EmotionError, match="unknown model 'none'"):
        emotion(archive, "--out", tmp_path / "out", "--model", "none")
    with pytest.raises(EmotionError, match="smoothing_s: expected a number"):
        emotion(archive, "--out", tmp_path / "out", "--smoothing-s", -1)


def test_a_frame_that_cannot_be_processed_is_counted(archive, tmp_path, monkeypatch):
    process = FacialPipeline.process

    def sometimes(self: FacialPipeline, image: np.ndarray, stamp_s: float) -> Any:
        if stamp_s == 1 / RATE_HZ:
            raise RuntimeError("by chance")
        return process(self, image, stamp_s)

    monkeypatch.setattr(FacialPipeline, "process", sometimes)
    run([archive / "a.mp4"], tmp_path / "out")
    (entry,) = read_index(tmp_path / "out")
    assert (entry.frames, entry.processed, entry.bad) == (FRAMES, FRAMES - 1, 1)
    assert entry.notes == "RuntimeError: by chance"


def test_an_interrupted_run_leaves_an_index_of_what_is_done(archive, tmp_path):
    def stop(outcome: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Archive(find_inputs([str(archive)]), tmp_path / "out", AnnotateConfig()).run(one_by_one, stop)
    (entry,) = read_index(tmp_path / "out")
    assert entry.status == "done" and run([archive], tmp_path / "out").annotated == {"new": 1}


def test_a_process_that_dies_takes_only_its_job_with_it():
    results = list(in_processes(signal.raise_signal, lambda job, how: (job, how), [0, signal.SIGKILL, 0, 0, 0], 2))
    assert results.count(None) == 4
    assert [result for result in results if result] == [(signal.SIGKILL, "its process was ended by SIGKILL")]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_however_all_processes_end_the_rest_is_done_and_nothing_twice(archive, tmp_path, how):
    for i in range(6):
        shutil.copy(archive / "a.mp4", archive / f"copy{i}.mp4")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "emotion_core.cli", "annotate", str(archive), "--out", str(out), "--jobs", "1"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 120
        while not list(out.rglob("[!.]*.parquet")) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        os.killpg(process.pid, how)
        errors = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    done = {path: path.stat().st_mtime_ns for path in out.rglob("[!.]*.mp4.parquet")}
    assert 0 < len(done) < 8
    if how == signal.SIGINT:
        assert (process.returncode, errors.splitlines()[-1]) == (130, "emotion: interrupted")
        assert not list(out.rglob("*.part*"))
        assert {entry.output for entry in read_index(out)} <= {str(path.relative_to(out)) for path in done}
    (out / ".0123456789ab.part.parquet").touch()  # what a process leaves that is killed as it writes
    report = run([archive], out)
    assert (report.unchanged, report.annotated) == (len(done), {"new": 8 - len(done)})
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert len(read_index(out)) == 8 and not list(out.rglob("*.part*"))
