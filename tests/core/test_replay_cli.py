"""``emotion replay``: the estimates of a bag, written, drawn and the same every time."""

from __future__ import annotations

import argparse
import csv
import errno
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags comes with the extra [bags]")

from emotion_core.cli import replay, strips
from emotion_core.errors import EmotionError
from emotion_core.media import bag_writer
from emotion_core.media.bag_files import RawBag
from emotion_core.media.bag_messages import Messages
from emotion_core.media.bag_types import make_typestore
from emotion_core.media.bag_writer import BagWriter
from emotion_core.media.bags import BagReader
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.types import EmotionEstimate

START, STEP, LATE, FRAMES = 1_700_000_000_123_456_789, 100_000_000, 5_000_000, 8
HAAR = ("--detector", "haar", "--detect-every", 1)


def emotion(*args: object) -> int:
    parser = argparse.ArgumentParser()
    replay.add(parser)
    parsed = parser.parse_args(list(map(str, args)))
    return int(parsed.run(parsed))


def picture_at(portrait: np.ndarray, index: int) -> np.ndarray:
    """The face, moving three pixels to the right with each frame; nobody in the last."""
    image = cv2.resize(portrait, (256, 300), interpolation=cv2.INTER_AREA)
    return np.zeros_like(image) if index == FRAMES - 1 else np.roll(image, 3 * index, axis=1)


@pytest.fixture(scope="module")
def bag(portrait: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures at 10 Hz, one message between them that is none, and chunks of a tone."""
    path = tmp_path_factory.mktemp("bag") / "recorded.mcap"
    with BagWriter(path) as writer:
        make = Messages(writer.store)
        for index in range(FRAMES):
            stamp = START + index * STEP
            header = make.header(stamp, "head")
            writer.write("/camera/image", make.image(picture_at(portrait, index), header), stamp + LATE)
            tone = np.sin(np.arange(1600) * 0.2).astype(np.float32)[:, None]
            writer.write("/audio", make.sound(tone, 16000, make.header(stamp, "mic")), stamp + LATE + 1)
        writer.write_raw("/camera/image", "sensor_msgs/msg/Image", b"\x00\x01\x00\x00", stamp + LATE + 2)
    return path


@pytest.fixture(scope="module")
def expected(portrait: np.ndarray) -> list[list[EmotionEstimate]]:
    """What the pipeline itself gives."""
    pipeline = FacialPipeline(FacialConfig(detector="haar", detect_every=1))
    stamps = [START + index * STEP for index in range(FRAMES)]
    return [
        pipeline.process(picture_at(portrait, index), stamp // 10**9 + stamp % 10**9 / 10**9)
        for index, stamp in enumerate(stamps)
    ]


def messages(path: Path, topic: str) -> list[tuple[int, Any]]:
    """(bag time, message) as another tool reads them: with the definitions in the bag."""
    with RawBag(path) as bag:
        assert bag.damage == []
        store = make_typestore(bag.definitions)
        return [(m.time_ns, store.deserialize_cdr(m.data, m.type)) for m in bag.messages([topic])]


@pytest.mark.parametrize("name", ["out.mcap", "out.db3", "out"])
def test_the_bag_holds_the_estimates_of_every_picture(
    bag: Path, expected: list[list[EmotionEstimate]], tmp_path: Path, capsys: Any, name: str
) -> None:
    out = tmp_path / "new" / name
    assert emotion(bag, "--no-sound", "--output", out, "--json", *HAAR) == 0
    report = json.loads(capsys.readouterr().out)
    labels = report.pop("labels")
    assert sum(labels.values()) == FRAMES - 1
    assert report.pop("speed") > 0 and report.pop("first_bad").startswith("/camera/image: expected a sensor_msgs")
    assert report == {
        "source": str(bag), "model": "esr_compact", "detector": "haar", "topics": ["/camera/image"], "frames": FRAMES,
        "processed": FRAMES, "bad": 1, "seconds": pytest.approx(0.7), "faces": FRAMES - 1, "tracks": 1, "chunks": 0,
        "damage": [], "written": FRAMES, "output": str(out), "csv": None, "plot": None,
    }  # fmt: skip
    written = messages(out, "/facial/estimates")
    assert len(written) == FRAMES
    for index, ((time_ns, message), estimates) in enumerate(zip(written, expected, strict=True)):
        stamp = START + index * STEP
        assert time_ns == stamp + LATE
        header = message.header
        assert (header.stamp.sec, header.stamp.nanosec, header.frame_id) == (stamp // 10**9, stamp % 10**9, "head")
        assert len(message.estimates) == len(estimates) == (index < FRAMES - 1)
        for found, estimate in zip(message.estimates, estimates, strict=True):
            assert (found.label, found.track_id, found.model) == (estimate.label, estimate.track_id, estimate.model)
            assert np.array_equal(found.probabilities, np.array(estimate.probabilities, np.float32))
            roi, box = found.roi, estimate.face.box
            assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == box.clamped(256, 300)
    assert sorted(item.name for item in out.parent.iterdir()) == [name]


def test_twice_gives_the_same_bytes(bag: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        arguments = ("--output", tmp_path / name / "out.mcap", "--csv", tmp_path / name / "out.csv", "--overlay")
        assert emotion(bag, *arguments, *HAAR) == 0
    for name in ("out.mcap", "out.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_sound_overlay_table_and_timeline(bag: Path, portrait: np.ndarray, tmp_path: Path, capsys: Any) -> None:
    out, table, plot = (tmp_path / f"out.{suffix}" for suffix in ("mcap", "csv", "png"))
    assert emotion(bag, "--output", out, "--overlay", "raw", "--csv", table, "--plot", plot, *HAAR) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{bag}: {FRAMES} of {FRAMES} frames processed, 1 bad; seen: ")
    assert "person 1" in said.out
    with BagReader(out, ["/audiovisual/overlay"]) as reader:
        drawn = list(reader)
        assert [(topic.name, topic.count) for topic in reader.topics] == [
            ("/audiovisual/estimates", FRAMES), ("/audiovisual/overlay", FRAMES)
        ]  # fmt: skip
    assert (drawn[0].image != picture_at(portrait, 0)).any() and (drawn[-1].image == 0).all()
    assert drawn[3].stamp_ns == START + 3 * STEP and drawn[3].bag_ns == drawn[3].stamp_ns + LATE
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["track_id"] for row in rows] == ["1"] * (FRAMES - 1) + [""]
    assert {row["latency_ms"] for row in rows} == {""}  # nothing was on its way
    assert cv2.imread(str(plot)).shape == (900, 1600, 3)


@pytest.mark.parametrize("name", ["out.mcap", "out"])
def test_foxgloves_own_library_reads_it(bag: Path, portrait: np.ndarray, tmp_path: Path, name: str) -> None:
    """By index and definitions in the file, checksums compared, and without anything of ours."""
    pytest.importorskip("mcap_ros2", reason="mcap-ros2-support comes with the extra [dev]")
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    out = tmp_path / name
    assert emotion(bag, "--no-sound", "--output", out, "--overlay", *HAAR) == 0
    with (out / "out.mcap" if out.is_dir() else out).open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        found = [(channel.topic, message.log_time, ros) for _, channel, message, ros in reader.iter_decoded_messages()]
        counted = reader.get_summary().statistics.message_count
    assert len(found) == counted == 2 * FRAMES
    estimates = [ros for topic, _, ros in found if topic == "/facial/estimates"]
    assert [len(ros.estimates) for ros in estimates] == [1] * (FRAMES - 1) + [0]
    assert estimates[0].header.frame_id == "head" and estimates[0].estimates[0].model == "esr_compact"
    assert sum(estimates[0].estimates[0].probabilities) == pytest.approx(1, abs=1e-6)
    overlay = next(ros for topic, _, ros in found if topic == "/facial/overlay/compressed")
    picture = cv2.imdecode(np.frombuffer(overlay.data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == picture_at(portrait, 0).shape
    assert [time for _, time, _ in found[:2]] == [START + LATE] * 2


def test_faces_of_the_overlay_are_blurred_on_request(
    bag: Path, expected: list[list[EmotionEstimate]], tmp_path: Path
) -> None:
    sharp, blurred = tmp_path / "sharp.mcap", tmp_path / "blurred.mcap"
    assert emotion(bag, "--no-sound", "--output", sharp, "--overlay", "raw", *HAAR) == 0
    assert emotion(bag, "--no-sound", "--output", blurred, "--overlay", "raw", "--blur", "faces", *HAAR) == 0
    said = [messages(path, "/facial/estimates")[0][1].estimates[0].probabilities for path in (sharp, blurred)]
    assert np.array_equal(*said)

    def faces(path: Path) -> list[np.ndarray]:
        pictures = [message.data.reshape(message.height, -1, 3) for _, message in messages(path, "/facial/overlay")]
        boxes = [estimates[0].face.box.clamped(256, 300) for estimates in expected[:-1]]
        return [picture[y : y + h, x : x + w] for picture, (x, y, w, h) in zip(pictures, boxes, strict=False)]

    shown, hidden = faces(sharp), faces(blurred)
    assert len(shown) == len(hidden) == FRAMES - 1
    for seen, left in zip(shown, hidden, strict=True):
        inner = (slice(30, -30), slice(10, -10))  # without the frame and its label
        edges = [np.abs(cv2.Laplacian(face[inner].mean(2), cv2.CV_64F)).mean() for face in (seen, left)]
        assert edges[0] > 3 * edges[1]
    with pytest.raises(EmotionError, match="add --overlay"):
        emotion(bag, "--blur", "faces", *HAAR)


def test_settings_and_topics(bag: Path, tmp_path: Path, capsys: Any) -> None:
    chosen = ("--topics", "/camera/image", "--estimates-topic", "/head/estimates", "--output", tmp_path / "out.mcap")
    assert emotion(bag, *chosen, "--max-faces", 1, "--min-face-px", 200, "--duration", 0.35, "--json", *HAAR) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["faces"], report["topics"]) == (4, 0, ["/camera/image"])
    assert len(messages(tmp_path / "out.mcap", "/head/estimates")) == 4
    with pytest.raises(EmotionError, match=r"parameter min_iou: expected a number in \[0\.05, 0\.95\], got 2\.0"):
        emotion(bag, "--min-iou", 2, *HAAR)
    with pytest.raises(EmotionError, match="there is no topic /up"):
        emotion(bag, "--topics", "/up")
    with pytest.raises(EmotionError, match=r"whole name of a topic, such as /facial/estimates, got 'estimates'"):
        emotion(bag, "--estimates-topic", "estimates", "--output", tmp_path / "other.mcap")
    with pytest.raises(EmotionError, match="--rate and --wait-for go with --publish"):
        emotion(bag, "--rate", 2)
    with pytest.raises(EmotionError, match="--publish estimates nothing: leave out --csv"):
        emotion(bag, "--publish", "--csv", tmp_path / "a.csv")
    with pytest.raises(EmotionError, match="--overlay goes into a bag: name it with --output"):
        emotion(bag, "--overlay")


def test_realtime_waits_for_the_stamps(bag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(replay.time, "monotonic", lambda: now)
    monkeypatch.setattr(replay.time, "sleep", sleep)
    assert emotion(bag, "--no-sound", "--realtime", *HAAR) == 0
    assert now == pytest.approx(100.7)


def test_a_damaged_bag_gives_what_is_left(bag: Path, tmp_path: Path, capsys: Any, caplog: Any) -> None:
    short = tmp_path / "short.mcap"
    short.write_bytes(bag.read_bytes()[: bag.stat().st_size * 2 // 3])
    assert emotion(short, "--no-sound", "--json", *HAAR) == 0
    report = json.loads(capsys.readouterr().out)
    assert 3 <= report["processed"] < FRAMES
    assert report["damage"] == ["short.mcap: its end is missing"]
    assert "short.mcap: its end is missing" in caplog.text


def test_the_bag_itself_is_never_replaced(bag: Path) -> None:
    before = bag.read_bytes()
    for option in ("--output", "--csv", "--plot"):
        with pytest.raises(EmotionError, match=f"{option} .* is the source itself"):
            emotion(bag, option, bag)
    assert bag.read_bytes() == before


@pytest.mark.parametrize("name", ["out.mcap", "out.db3"])
def test_a_full_disk_is_a_clear_error_and_leaves_nothing(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bag_writer, "put_in_place", full)
    with pytest.raises(EmotionError, match=rf"{name} cannot be written: the disk is full, make room"):
        emotion(bag, "--no-sound", "--output", tmp_path / name, *HAAR)
    assert [item.name for item in tmp_path.iterdir()] == ["store"]


def test_interrupted_it_keeps_what_there_is(bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, calls = FacialPipeline.judge, 0

    def interrupted(self: FacialPipeline, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return judge(self, *args)

    monkeypatch.setattr(FacialPipeline, "judge", interrupted)
    assert emotion(bag, "--no-sound", "--output", tmp_path / "out.mcap", *HAAR) == 130
    assert len(messages(tmp_path / "out.mcap", "/facial/estimates")) == 3


def test_strips_show_who_showed_what_when() -> None:
    labels = ("neutral", "sad", "surprise")

    def estimate(stamp: float, label: str, track: str) -> EmotionEstimate:
        probabilities = tuple(float(name == label) for name in labels)
        return EmotionEstimate(stamp, labels, probabilities, track_id=track)

    rows = [estimate(10 + i / 10, "sad" if i < 50 else "surprise", "1") for i in range(100)]
    rows += [estimate(12 + i / 10, "neutral", "2") for i in range(20)]
    lines = [line.plain for line in strips.strips(rows, [10 + i / 10 for i in range(100)] + [20.0], 32)]
    assert lines == [
        "person 1    SSSSSSSSSSUUUUUUUUUU",
        "person 2    ····NNNN············",
        "10.0 s      N neutral   S sad   U surprise   ",
    ]
    assert strips.strips([], []) == []
