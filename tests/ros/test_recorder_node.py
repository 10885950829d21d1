"""The node `recorder` as a process of its own, fed with estimates, overlays and diagnostics."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from emotion_perception.msg import EmotionEstimate, EmotionEstimates
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from emotion_core.recording.recording import NodeReport, Summary
from emotion_core.types import Box, Face
from emotion_core.types import EmotionEstimate as Estimate
from emotion_ros.base import qos
from emotion_ros.messages.conversions import to_message
from emotion_ros.messages.images import to_message as to_image

av = pytest.importorskip("av", reason="PyAV comes with the extra [media]")

ROOT = Path(__file__).resolve().parents[2]
PERIOD_NS = 50_000_000
LATENCY_NS = 20_000_000

pytestmark = pytest.mark.ros


@pytest.fixture
def start(ros_domain: int, end_all: Any, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the node with these parameters; it is ended with the test."""
    processes = []

    def run(**parameters: Any) -> subprocess.Popen[str]:
        settings = [item for name, value in parameters.items() for item in ("-p", f"{name}:={value}")]
        names = ["-r", "estimates:=/facial/estimates", "-r", "overlay:=/facial/overlay"]
        process = subprocess.Popen(
            [sys.executable, "-m", "emotion_ros", "recorder", "--ros-args", *names, *settings],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield run
    end_all(processes)


class Feeder:
    """Publishes what a facial node would, at the pace of its stamps."""

    def __init__(self, node: Any, still: bool = False) -> None:
        self.node, self.start_ns, self.still = node, 0, still
        self.estimates = node.create_publisher(EmotionEstimates, "/facial/estimates", qos.ESTIMATES)
        self.overlay = node.create_publisher(Image, "/facial/overlay", qos.IMAGE_OUT)
        self.diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", qos.ESTIMATES)

    def wait(self, process: subprocess.Popen[str], spin_until: Any, overlay: bool = True) -> None:
        """Until the node hears all that is published here."""
        if not spin_until(lambda: self.heard(overlay) or process.poll() is not None) or process.poll() is not None:
            process.kill()
            heard = [publisher.get_subscription_count() for publisher in (self.estimates, self.diagnostics)]
            pytest.fail(f"the recorder ended with {process.poll()} or hears nothing ({heard}): {process.communicate()}")

    def heard(self, overlay: bool = True) -> bool:
        publishers = [self.estimates, self.diagnostics] + [self.overlay] * overlay
        return all(publisher.get_subscription_count() for publisher in publishers)

    def frame(self, index: int, people: int = 1, label: str = "happy") -> None:
        """One frame, taken LATENCY_NS before frame 0 is sent, and PERIOD_NS after the one before it."""
        self.start_ns = self.start_ns or self.node.get_clock().now().nanoseconds
        stamp = Time(nanoseconds=self.start_ns - LATENCY_NS + (0 if self.still else index * PERIOD_NS))
        header = Header(frame_id="camera", stamp=stamp.to_msg())
        self.estimates.publish(
            EmotionEstimates(header=header, estimates=[self.person(header, k, label) for k in range(people)])
        )
        self.overlay.publish(to_image(np.full((48, 64, 3), 5 * index % 256, np.uint8), header))

    @staticmethod
    def person(header: Header, k: int, label: str) -> EmotionEstimate:
        labels = ("neutral", "happy", "sad")
        p = tuple(0.8 if name == label else 0.1 for name in labels)
        face = Face(Box(10 * k, 5, 9, 8), 0.75)
        return to_message(Estimate(0.0, labels, p, 0.25, -0.5, face, str(k + 1), "tiny"), header, 64, 48)

    def report(self, name: str = "facial", **values: Any) -> None:
        pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        self.diagnostics.publish(DiagnosticArray(status=[DiagnosticStatus(name=name, values=pairs)]))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Said:
    """What a process has written to stderr so far, without waiting for more."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self.fd, self.text = process.stderr.fileno(), ""
        os.set_blocking(self.fd, False)

    def __call__(self) -> str:
        with contextlib.suppress(BlockingIOError):
            self.text += os.read(self.fd, 1 << 16).decode()
        return self.text


def end(process: subprocess.Popen[str], timeout_s: float = 60) -> tuple[int, str, str]:
    out, errors = process.communicate(timeout=timeout_s)
    return process.returncode, out, errors


def test_a_run_is_written_down(start: Any, ros_node: Any, spin_until: Any, tmp_path: Path) -> None:
    feeder, out = Feeder(ros_node), tmp_path / "new" / "out"
    process = start(out=out, duration_s=0.98)
    feeder.wait(process, spin_until)
    for i in range(40):
        feeder.frame(i, people=(1, 2, 0, 1)[i % 4], label="sad" if i % 4 == 3 else "happy")
        feeder.report(
            "/lab/facial", received=50, processed=40, dropped=9, rejected=1, lost=3, detector="haar", model="tiny"
        )
        feeder.report("battery", received=1)
        time.sleep(PERIOD_NS / 1e9)
        if process.poll() is not None:
            break
    code, printed, errors = end(process)
    assert code == 0, errors
    assert "50 in, 40 processed, 9 dropped, 1 rejected, 3 lost" in " ".join(printed.replace("│", " ").split())

    summary = Summary.load(out / "summary.json")
    assert summary.node == NodeReport(50, 40, 9, 1, "haar", "tiny", "", 3)
    assert (summary.frames, summary.people) == (21, 2)
    assert summary.seconds == pytest.approx(1.0, abs=1e-3) and summary.rate_hz == pytest.approx(20, abs=0.1)
    # Sent at the pace of the stamps or, on a busy machine, later.
    assert LATENCY_NS / 1e6 - 0.1 <= summary.latency_ms["p50"] <= summary.latency_ms["p99"] < 5000
    assert dict(summary.emotions) == pytest.approx({"happy": 11 / 21, "sad": 5 / 21})
    assert summary.nobody == pytest.approx(5 / 21)
    assert list(summary.files) == ["demo.mp4", "demo.csv", "timeline.png", "summary.json"]
    assert sorted(path.name for path in out.iterdir()) == sorted(summary.files)

    table = rows(out / "demo.csv")
    assert len({row["stamp_s"] for row in table}) == 21
    first = table[0]
    assert (first["label"], first["track_id"], first["model"]) == ("happy", "1", "tiny")
    assert float(first["p_happy"]) == pytest.approx(0.8) and float(first["valence"]) == 0.25
    assert sum(not row["label"] for row in table) == 5

    with av.open(str(out / "demo.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert 5 < len(times) == summary.video_frames <= 21  # best effort
    assert np.diff(times) == pytest.approx(0.05 * np.round(np.diff(times) / 0.05), abs=2e-3)
    assert 0.5 < times[-1] <= 1.001
    assert (out / "timeline.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_all_is_written(
    start: Any, ros_node: Any, spin_until: Any, tmp_path: Path, number: int
) -> None:
    feeder, out = Feeder(ros_node), tmp_path / "out"
    out.mkdir()
    (out / "demo.mp4").write_bytes(b"of an earlier run")
    process = start(out=out, video="false")
    feeder.wait(process, spin_until, overlay=False)
    for i in range(5):
        feeder.frame(i)
        time.sleep(0.02)
    broken = EmotionEstimates(estimates=[EmotionEstimate()])
    feeder.estimates.publish(broken)  # says nothing that could be written down, and ends nothing
    said = Said(process)
    assert spin_until(lambda: "6 frames" in said()), said.text
    process.send_signal(number)
    code, printed, errors = end(process)
    errors = said.text + errors
    assert code == 0, errors
    assert "left out an estimate" in errors
    summary = Summary.load(out / "summary.json")
    assert summary.frames == 6 and summary.node == NodeReport() and summary.video_frames == 0
    assert list(summary.files) == ["demo.csv", "timeline.png", "summary.json"]
    assert "unknown in" in printed


def test_stamps_that_stand_still_do_not_keep_it(start: Any, ros_node: Any, spin_until: Any, tmp_path: Path) -> None:
    feeder, out = Feeder(ros_node, still=True), tmp_path / "out"
    process = start(out=out, video="false", duration_s=0.7)
    feeder.wait(process, spin_until, overlay=False)
    begun_s, count = time.monotonic(), 0
    while process.poll() is None and time.monotonic() < begun_s + 30:
        feeder.frame(count)
        count += 1
        time.sleep(0.05)
    code, _, errors = end(process)
    assert code == 0, errors
    assert "the stamps on /facial/estimates stand still at 0.0 s" in errors
    summary = Summary.load(out / "summary.json")
    assert summary.seconds == 0 and 5 < summary.frames <= count


def test_a_node_that_dies_does_not_keep_it_and_an_older_video_stays(
    start: Any, ros_node: Any, spin_until: Any, tmp_path: Path
) -> None:
    feeder, out = Feeder(ros_node), tmp_path / "out"
    out.mkdir()
    (out / "demo.mp4").write_bytes(b"of an earlier run")
    process = start(out=out, duration_s=1.5)
    ros_node.destroy_publisher(feeder.overlay)  # nobody draws
    feeder.wait(process, spin_until, overlay=False)
    for i in range(4):
        feeder.estimates.publish(
            EmotionEstimates(header=Header(stamp=Time(seconds=5, nanoseconds=i * PERIOD_NS).to_msg()))
        )
        time.sleep(0.05)
    code, _, errors = end(process, 30)
    assert code == 0, errors
    assert "nothing comes any more" in errors
    summary = Summary.load(out / "summary.json")
    assert summary.frames > 0 and summary.seconds < 0.2
    assert list(summary.files) == ["demo.csv", "timeline.png", "summary.json"]
    assert (out / "demo.mp4").read_bytes() == b"of an earlier run"


@pytest.mark.parametrize(
    ("statuses", "received"),
    [
        ({"test": 1, "lab/facial": 2, "facial": 3}, 1),  # the node that publishes the estimates is called test
        ({"lab/facial": 2, "battery": 4}, 2),  # somebody else publishes them: a bag that is played
        ({"my_facial": 5, "facial_left": 6}, None),
    ],
)
def test_the_estimator_is_found_under_any_name(
    start: Any, ros_node: Any, spin_until: Any, tmp_path: Path, statuses: dict[str, int], received: int | None
) -> None:
    feeder, out = Feeder(ros_node), tmp_path / "out"
    process = start(out=out, video="false")
    feeder.wait(process, spin_until, overlay=False)
    feeder.frame(0)
    said = Said(process)
    while "1 frames" not in said():  # a second or more: who publishes is not known at once
        for name, count in statuses.items():
            feeder.report(name, received=count)
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert end(process)[0] == 0
    assert Summary.load(out / "summary.json").node.received == received


def test_a_signal_that_is_sent_twice_costs_no_data(start: Any, ros_node: Any, spin_until: Any, tmp_path: Path) -> None:
    """As launch does without a terminal: SIGINT from the terminal's group and from launch itself."""
    feeder, out = Feeder(ros_node), tmp_path / "out"
    process = start(out=out)
    feeder.wait(process, spin_until)
    said, count = Said(process), 0
    while " frames" not in said():
        feeder.frame(count)
        count += 1
        time.sleep(0.05)
    for _ in range(4):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    code, _, errors = end(process)
    assert code == 0, errors
    assert Summary.load(out / "summary.json").frames > 0 and (out / "demo.mp4").exists()


def test_silence_is_an_error_and_still_written_down(start: Any, ros_node: Any, spin_until: Any, tmp_path: Path) -> None:
    feeder, out = Feeder(ros_node), tmp_path / "out"
    process = start(out=out)
    feeder.wait(process, spin_until)
    process.send_signal(signal.SIGINT)
    code, _, errors = end(process)
    assert code == 1
    assert "no estimates came on /facial/estimates" in errors
    assert rows(out / "demo.csv") == [] and not (out / "demo.mp4").exists()
    assert Summary.load(out / "summary.json").frames == 0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"out": "/dev/null/x"}, "/dev/null/x cannot be written"),
        ({"duration_s": -1.0}, "duration_s"),
        ({"video": "maybe"}, "video"),
    ],
)
def test_bad_parameters_end_it_with_one_line(start: Any, parameters: dict[str, Any], message: str) -> None:
    code, printed, errors = end(start(**parameters))
    assert code == 2
    lines = [line for line in errors.splitlines() if line.startswith("recorder: error: ")]
    assert len(lines) == 1 and message in lines[0], errors
    assert "Traceback" not in errors and printed == ""
