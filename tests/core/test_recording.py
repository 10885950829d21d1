"""A run's rows, statistics and files."""

from __future__ import annotations

import csv
import io
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.media.video import VideoWriter
from emotion_core.recording.recording import (
    COLUMNS_AFTER,
    COLUMNS_BEFORE,
    NodeReport,
    Recording,
    Summary,
    summary_table,
)
from emotion_core.types import VOICE, Box, EmotionEstimate, Face

LABELS = ("neutral", "happy", "sad")
START = 1_700_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Empty, unlike tmp_path, in which the model store lies."""
    path = tmp_path / "files"
    path.mkdir()
    return path


def estimate(
    stamp_s: float, probabilities: tuple[float, float, float] = (0.1, 0.7, 0.2), track: str = "1"
) -> EmotionEstimate:
    return EmotionEstimate(
        stamp_s=stamp_s,
        labels=LABELS,
        probabilities=probabilities,
        valence=0.5,
        arousal=-0.25,
        face=Face(Box(10.5, 20, 30, 40), 0.875),
        track_id=track,
        model="tiny",
    )


def recording(latencies_ms: list[float], rate_hz: float = 20.0) -> Recording:
    """A frame for each latency, with one happy person."""
    result = Recording()
    for i, latency in enumerate(latencies_ms):
        stamp = START + i / rate_hz
        result.add(stamp, [estimate(stamp)], stamp + latency / 1e3)
    return result


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_percentiles_and_rate() -> None:
    summary = recording([float(i) for i in range(101)]).summary()
    assert summary.latency_ms == pytest.approx({"p50": 50, "p95": 95, "p99": 99}, abs=1e-3)
    assert summary.frames == 101 and summary.seconds == pytest.approx(5)
    assert summary.rate_hz == pytest.approx(20)


def test_shares_are_of_frames() -> None:
    result = Recording()
    happy, sad = (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    for i, people in enumerate(([happy], [happy, sad], [happy, happy], [], [sad])):
        stamp = START + i
        result.add(stamp, [estimate(stamp, p, str(k)) for k, p in enumerate(people)], stamp)
    summary = result.summary()
    assert dict(summary.emotions) == pytest.approx({"happy": 0.6, "sad": 0.4})
    assert list(summary.emotions) == ["happy", "sad"]
    assert summary.nobody == pytest.approx(0.2)
    assert summary.people == 2


def test_nothing_recorded() -> None:
    summary = Recording().summary()
    assert summary == Summary(files=[])
    assert summary.rate_hz is None and summary.nobody is None and not summary.latency_ms
    one = recording([5.0]).summary()
    assert one.rate_hz is None and one.frames == 1 and one.nobody == 0


def test_stamps_may_go_back() -> None:
    result = Recording()
    for stamp in (5.0, 6.0, 0.0):
        result.add(stamp, [], stamp)
    assert result.seconds == 6 and result.stamps_s == [5.0, 6.0, 0.0]


def test_how_long_it_is_takes_no_look_at_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for with every message, however many there have been."""
    result = Recording()
    assert result.seconds == 0
    for stamp_s in (5.0, 7.5, 4.0, 6.0):
        result.add(stamp_s, [], stamp_s)

    class Unread(list):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[object]:
            raise AssertionError("the frames were read")

    monkeypatch.setattr(result, "_frames", Unread(result._frames))
    assert result.seconds == 3.5


def test_counts_come_from_the_node() -> None:
    pairs = [("received", "120"), ("processed", "100"), ("dropped", "19"), ("rejected", "1"), ("detector", "yunet")]
    report = NodeReport.parse([*pairs, ("model", "tiny"), ("provider", "CPU"), ("temperature", "40")])
    assert report == NodeReport(120, 100, 19, 1, "yunet", "tiny", "CPU")
    assert recording([1.0]).summary(report).node.dropped == 19
    assert NodeReport.parse([("received", "many"), ("dropped", "-1"), ("processed", "²")]) == NodeReport()


def test_the_csv_says_what_was_fed(folder: Path) -> None:
    result = Recording()
    result.add(START, [estimate(START), estimate(START, (0.6, 0.3, 0.1), "2")], START + 0.0125)
    result.add(START + 0.1, [], START + 0.12)
    voice = EmotionEstimate(START + 0.2, ("calm", "sad"), (0.25, 0.75), modalities=VOICE)
    result.add(START + 0.2, [voice], START + 0.2)
    result.write_csv(folder / "a.csv")
    first, second, empty, heard = read(folder / "a.csv")
    assert tuple(first) == (*COLUMNS_BEFORE, "p_neutral", "p_happy", "p_sad", "p_calm", *COLUMNS_AFTER)
    assert float(first["stamp_s"]) == START
    assert (first["x"], first["y"], first["width"], first["height"]) == ("10.5", "20", "30", "40")
    assert first["label"] == "happy" and first["track_id"] == "1" and first["model"] == "tiny"
    numbers = ("detection_score", "confidence", "p_neutral", "p_happy", "p_sad", "valence", "arousal", "latency_ms")
    assert [float(first[name]) for name in numbers] == pytest.approx(
        [0.875, 0.7, 0.1, 0.7, 0.2, 0.5, -0.25, 12.5], abs=1e-4
    )
    assert first["p_calm"] == ""
    assert second["track_id"] == "2" and second["label"] == "neutral" and float(second["confidence"]) == 0.6
    # A frame without people: time and latency, nothing else.
    assert {name for name, value in empty.items() if value} == {"stamp_s", "latency_ms"}
    assert float(empty["latency_ms"]) == pytest.approx(20, abs=1e-3)
    # No face, no valence, other labels.
    assert [heard[name] for name in ("x", "detection_score", "valence", "arousal", "p_happy")] == [""] * 5
    assert float(heard["p_calm"]) == 0.25 and float(heard["p_sad"]) == 0.75


def test_an_empty_csv_has_its_header(folder: Path) -> None:
    Recording().write_csv(folder / "a.csv")
    assert (folder / "a.csv").read_text() == ",".join((*COLUMNS_BEFORE, *COLUMNS_AFTER)) + "\n"


def test_a_failing_write_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "a.csv"
    path.write_text("old")

    def full(self: object, row: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(csv.DictWriter, "writerow", full)
    with pytest.raises(OSError, match="disk full"):
        recording([1.0]).write_csv(path)
    assert path.read_text() == "old" and list(folder.iterdir()) == [path]


def test_a_summary_survives_writing_and_reading(folder: Path) -> None:
    summary = recording([1.0, 2.0]).summary(NodeReport(received=3, model="tiny"), (2, 1), ["a.csv"])
    summary.write(folder / "s.json")
    assert Summary.load(folder / "s.json") == summary
    assert json.loads((folder / "s.json").read_text())["node"]["received"] == 3


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"node": {}, "surprise": 1}', '{"node": {"x": 1}}'])
def test_another_file_is_no_summary(folder: Path, text: str) -> None:
    (folder / "s.json").write_text(text)
    with pytest.raises(EmotionError, match="expected a summary"):
        Summary.load(folder / "s.json")


def test_the_table_says_everything() -> None:
    console = pytest.importorskip("rich.console")
    report = NodeReport(120, 100, 19, 1, "yunet", "tiny", "CPU")
    out = io.StringIO()
    console.Console(file=out, width=120).print(summary_table(recording([5.0, 7.0]).summary(report, (2, 1))))
    for text in ("120 in, 100 processed, 19 dropped, 1 rejected", "tiny on CPU", "yunet", "p50 6.0 ms", "happy 100 %"):
        assert text in out.getvalue()
    console.Console(file=io.StringIO()).print(summary_table(Summary()))


# ---- the video -------------------------------------------------------------------------------------------------------


def picture(value: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize("encoder", ["libx264", "mpeg4"])
def test_a_video_plays_as_the_stamps_say(folder: Path, monkeypatch: pytest.MonkeyPatch, encoder: str) -> None:
    av = pytest.importorskip("av", reason="PyAV comes with the extra [media]")
    if encoder == "mpeg4":
        monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    times = [0.0, 0.033, 0.066, 0.5, 2.0]
    writer = VideoWriter(folder / "a.mp4")
    for i, time_s in enumerate(times):
        assert writer.put(picture(40 * i, 63, 47), START + time_s)
    writer.put(picture(0), START + 2.0)  # time stands still
    assert writer.close()
    assert (writer.written, writer.dropped) == (5, 1)
    with av.open(str(folder / "a.mp4")) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].codec_context.name == ("h264" if encoder == "libx264" else "mpeg4")
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-3)
    assert {(frame.width, frame.height, frame.format.name) for frame in frames} == {(64, 48, "yuv420p")}
    assert [frame.to_ndarray(format="bgr24").mean() for frame in frames] == pytest.approx([0, 40, 80, 120, 160], abs=8)
    assert list(folder.iterdir()) == [folder / "a.mp4"]


def test_pictures_of_another_size_are_scaled(folder: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV comes with the extra [media]")
    writer = VideoWriter(folder / "a.mp4")
    for i, (width, height) in enumerate(((64, 48), (32, 100), (1, 1))):
        writer.put(picture(100, width, height), i / 10)
    assert writer.close()
    with av.open(str(folder / "a.mp4")) as container:
        assert [(frame.width, frame.height) for frame in container.decode(video=0)] == [(64, 48)] * 3


def test_without_a_picture_there_is_no_video(folder: Path) -> None:
    pytest.importorskip("av", reason="PyAV comes with the extra [media]")
    writer = VideoWriter(folder / "a.mp4")
    assert not writer.close() and writer.error is None
    assert not writer.close()
    assert not list(folder.iterdir())


def test_a_full_queue_drops_and_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av", reason="PyAV comes with the extra [media]")
    started, go = threading.Event(), threading.Event()
    encode = VideoWriter._encode

    def slow(self: VideoWriter, *args: object) -> None:
        started.set()
        go.wait(10)
        encode(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(VideoWriter, "_encode", slow)
    writer = VideoWriter(folder / "a.mp4", queue_size=3)
    assert writer.put(picture(0), 0.0)
    assert started.wait(10)
    taken = [writer.put(picture(i), i / 10) for i in range(1, 8)]
    assert taken == [True] * 3 + [False] * 4
    go.set()
    assert writer.close()
    assert (writer.written, writer.dropped) == (4, 4)


@pytest.mark.parametrize("when", ["start", "end"])
def test_a_failing_encoder_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    pytest.importorskip("av", reason="PyAV comes with the extra [media]")
    path = folder / "a.mp4"
    path.write_bytes(b"old")
    encode = VideoWriter._encode

    def broken(self: VideoWriter, *args: object) -> None:
        if when == "end":
            encode(self, *args)  # type: ignore[arg-type]
        raise OSError("disk full")

    monkeypatch.setattr(VideoWriter, "_encode", broken)
    writer = VideoWriter(path)
    for i in range(5):
        writer.put(picture(i), i / 10)
    assert not writer.close()
    assert str(writer.error) == "disk full"
    assert not writer.put(picture(9), 9.0)
    assert path.read_bytes() == b"old" and list(folder.iterdir()) == [path]


def test_the_sample_clip_shows_the_whole_face_and_repeats(portrait: np.ndarray) -> None:
    cv2 = pytest.importorskip("cv2")
    from emotion_core.media.clip import SECONDS, sample_photo, window

    assert np.array_equal(sample_photo(), portrait)
    assert np.array_equal(window(portrait, 0), window(portrait, SECONDS))
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    found = 0
    for time_s in range(SECONDS):
        view = cv2.resize(window(portrait, time_s), (320, 240))
        for x, y, w, h in cascade.detectMultiScale(view, 1.1, 5):
            assert x > 0 and y > 0 and x + w < 320 and y + h < 240
            found += 1
    assert found >= SECONDS - 1
    assert math.isclose(np.abs(window(portrait, 0).astype(int) - window(portrait, 1)).mean(), 30, abs_tol=25)
