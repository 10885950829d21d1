"""Topics recorded into a bag over DDS: every byte of them, with definitions, whole however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rosbags", reason="rosbags comes with the extra [bags]")

from ament_index_python.packages import get_package_share_directory
from emotion_perception.msg import AudioChunk
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from emotion_core.errors import EmotionError
from emotion_core.media.bag_files import RawBag
from emotion_core.media.bag_types import make_typestore
from emotion_ros.base import qos
from emotion_ros.messages.definitions import definitions_of
from emotion_ros.write_queue import WriteQueue

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def record(ros_domain: int, end_all: Any) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `emotion record`; it is ended with the test."""
    processes: list[subprocess.Popen[str]] = []

    def run(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "emotion_core.cli", "record", *map(str, words)]
        processes.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield run
    end_all(processes)


def test_all_kinds_of_topics_until_ctrl_c(record: Any, ros_node: Any, spin_until: Any, tmp_path: Path) -> None:
    chunks = ros_node.create_publisher(AudioChunk, "/mic/audio", qos.SOUND_OUT)
    fast = ros_node.create_publisher(Header, "/fast", qos.LATEST_IMAGE)  # best effort
    once = ros_node.create_publisher(Marker, "/once", qos.LATCHED)
    once.publish(Marker(ns="sent before anybody listened"))
    ros_node.create_publisher(Header, "/other", 10)
    process = record("--topics", "/mic/audio", "/fast", "/once", "/late", "--out", tmp_path / "new" / "bag")
    assert spin_until(lambda: chunks.get_subscription_count() and fast.get_subscription_count())
    spin_until(lambda: False, timeout_s=0.5)  # its side may see us a moment later
    sent = [AudioChunk(sample_rate=16000, channels=1, encoding="S16LE", data=bytes([i]) * 3200) for i in range(50)]
    for message in sent:
        chunks.publish(message)
    fast.publish(Header(frame_id="f"))
    late = ros_node.create_publisher(Header, "/late", QoSProfile(depth=10))
    assert spin_until(late.get_subscription_count)
    spin_until(lambda: False, timeout_s=0.5)
    late.publish(Header(frame_id="appeared later"))
    spin_until(lambda: False, timeout_s=0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in errors, errors
    assert f"wrote 53 messages of 4 topics into {tmp_path / 'new' / 'bag'}" in errors
    with RawBag(tmp_path / "new" / "bag") as bag:
        assert bag.damage == []
        counts = {topic.name: (topic.type, topic.count) for topic in bag.topics}
        recorded = list(bag.messages(["/mic/audio"]))
        store = make_typestore(bag.definitions)
        latched = store.deserialize_cdr(next(bag.messages(["/once"])).data, "visualization_msgs/msg/Marker")
    assert counts == {
        "/fast": ("std_msgs/msg/Header", 1),
        "/late": ("std_msgs/msg/Header", 1),
        "/mic/audio": ("emotion_perception/msg/AudioChunk", 50),
        "/once": ("visualization_msgs/msg/Marker", 1),
    }
    assert [deserialize_message(message.data, AudioChunk) for message in recorded] == sent
    assert [m.time_ns for m in recorded] == sorted(m.time_ns for m in recorded)
    assert latched.ns == "sent before anybody listened"


def test_a_duration_and_a_topic_that_never_comes(record: Any, ros_domain: int, tmp_path: Path) -> None:
    process = record("--topics", "/nobody", "--out", tmp_path / "bag", "--duration", 0.5)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "wrote 0 messages of 0 topics" in errors and "nobody has published /nobody: check the names" in errors
    with RawBag(tmp_path / "bag") as bag:
        assert (bag.topics, bag.damage) == ([], [])


def test_it_ends_before_the_disk_is_full(record: Any, ros_node: Any, tmp_path: Path) -> None:
    process = record("--out", tmp_path / "bag", "--ros-args", "-p", "keep_free_mb:=999999")
    _, errors = process.communicate(timeout=60)
    if os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize > 999_999 * 10**6:
        pytest.skip("this disk has more than a terabyte left")
    assert process.returncode == 1 and "the disk has only" in errors and "Traceback" not in errors
    with RawBag(tmp_path / "bag") as bag:
        assert bag.damage == []


FULL = """
import ctypes, os, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x00020000 | (0x10000000 if os.geteuid() else 0)):  # CLONE_NEWNS; others than root: CLONE_NEWUSER
    sys.exit(77)
if libc.mount(b"none", b"/", None, 0x44000, None):  # MS_REC | MS_PRIVATE: this mount is nobody else's
    sys.exit(77)
if libc.mount(b"none", sys.argv[1].encode(), b"tmpfs", 0, b"size=6m"):
    sys.exit(77)
bag = os.path.join(sys.argv[1], "bag")
words = ["-m", "emotion_core.cli", "record", "--topics", "/flood", "--out", bag, "--ros-args", "-p", "keep_free_mb:=0"]
result = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120)
print(result.returncode, result.stderr.strip().splitlines()[-1])
from emotion_core.media.bag_files import RawBag
with RawBag(bag) as raw:
    messages = list(raw.messages(["/flood"]))
    print(len(messages), len({len(message.data) for message in messages}), raw.damage)
"""


def test_a_disk_that_is_full_all_of_a_sudden(ros_node: Any, spin_until: Any, tmp_path: Path) -> None:
    """Of 6 MB, nothing kept free: what came before is in the bag, and can be read."""
    publisher = ros_node.create_publisher(AudioChunk, "/flood", qos.SOUND_OUT)
    message = AudioChunk(data=bytes(100_000))
    ros_node.create_timer(0.005, lambda: publisher.publish(message))
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert spin_until(lambda: process.poll() is not None, timeout_s=120.0)
    output, errors = process.communicate()
    if process.returncode == 77:
        pytest.skip("a small file system may not be mounted here")
    assert process.returncode == 0, errors
    first, second = output.splitlines()
    assert first.startswith(f"2 bag_recorder: error: {tmp_path}/bag cannot be written: the disk is full, make room; ")
    told = int(re.search(r"; (\d+) messages are in the bag, without their index", first)[1])
    count, sizes, damage = second.split(" ", 2)
    assert 40 <= told == int(count) <= 62 and sizes == "1"
    assert damage == "['metadata.yaml is missing', 'bag.mcap: its end is missing']"


@pytest.mark.parametrize(
    ("name", "said"), [("there", "there is there already: remove it"), ("a.mcap", "a recording is a folder, name it")]
)
def test_what_is_there_is_not_replaced(record: Any, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("precious")
    process = record("--out", tmp_path / name)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and said in errors and "Traceback" not in errors
    assert (tmp_path / "there" / "file").read_text() == "precious"


@pytest.mark.parametrize(
    "kind",
    ["sensor_msgs/msg/Image", "visualization_msgs/msg/MarkerArray", "emotion_perception/msg/EmotionEstimates",
     "diagnostic_msgs/msg/DiagnosticArray", "rcl_interfaces/msg/ParameterEvent"],
)  # fmt: skip
def test_definitions_are_those_that_ros_hashes(kind: str) -> None:
    package, _, name = kind.split("/")
    about = json.loads((Path(get_package_share_directory(package)) / "msg" / f"{name}.json").read_text())
    expected = next(item["hash_string"] for item in about["type_hashes"] if item["type_name"] == kind)
    assert make_typestore(definitions_of(kind)).hash_rihs01(kind) == expected


def test_a_definition_that_is_not_here() -> None:
    with pytest.raises(EmotionError, match=r"definition of nobody_msgs/msg/Thing as a file Thing\.msg"):
        definitions_of("nobody_msgs/msg/Thing")


class TestWriteQueue:
    def test_what_finds_no_room_is_counted(self) -> None:
        go, written = threading.Event(), []

        def write(*item: Any) -> None:
            go.wait(30)
            written.append(item[3])

        queue = WriteQueue(write, 10)
        queue.put("/a", "kind", bytes(4), 0)
        for time_ns in range(1, 6):  # whether the first is at work already or waits
            queue.put("/a", "kind", bytes(4), time_ns)
        go.set()
        queue.finish()
        assert queue.written + queue.dropped == 6 and queue.dropped in (3, 4)
        assert written == list(range(queue.written))

    def test_an_error_ends_the_writing(self) -> None:
        def write(*item: Any) -> None:
            raise EmotionError("the disk is full")

        queue = WriteQueue(write, 100)
        for time_ns in range(3):
            queue.put("/a", "kind", b"", time_ns)
        queue.finish()
        assert str(queue.error) == "the disk is full"
        assert (queue.written, queue.dropped) == (0, 3)
