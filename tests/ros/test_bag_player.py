"""A bag played into ROS: as it was recorded, and through the facial node to the estimates of the offline replay."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags comes with the extra [bags]")

from builtin_interfaces.msg import Time
from emotion_perception.msg import AudioChunk, EmotionEstimates
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from emotion_core.media.bag_files import RawBag
from emotion_core.media.bag_messages import Messages
from emotion_core.media.bag_writer import BagWriter
from emotion_core.media.bags import BagReader
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.recording.estimate_bag import EstimateBag
from emotion_core.recording.replay import replay
from emotion_ros.base import qos
from emotion_ros.messages.conversions import from_message, to_messages

ROOT = Path(__file__).resolve().parents[2]
START, STEP, LATE, FRAMES = 1_700_000_000_123_456_789, 50_000_000, 4_000_000, 24
TOLERANCE = 1e-6
"""Of a probability, valence or arousal: messages carry float32."""


@pytest.fixture(scope="module")
def bag(portrait: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that moves and is dimmed slowly, for 1.2 s at 20 Hz, and sound."""
    path = tmp_path_factory.mktemp("bag") / "recorded.mcap"
    photo = cv2.resize(portrait, (320, 375), interpolation=cv2.INTER_AREA)
    with BagWriter(path) as writer:
        make = Messages(writer.store)
        for index in range(FRAMES):
            stamp = START + index * STEP
            picture = cv2.convertScaleAbs(np.roll(photo, 2 * index, axis=1), alpha=1 - index / 60)
            writer.write("/camera/image", make.image(picture, make.header(stamp, "head")), stamp + LATE)
            chunk = make.sound(np.full((400, 1), index, np.int16), 8000, make.header(stamp, "mic"))
            writer.write("/audio", chunk, stamp + LATE + 1)
    return path


@pytest.fixture
def start(ros_domain: int, end_all: Any) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process of this environment; it is ended with the test."""
    processes: list[subprocess.Popen[str]] = []

    def run(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", *map(str, words)]
        processes.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield run
    end_all(processes)


def stamp_ns(message: Any) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_messages_come_as_recorded_with_the_time_of_the_bag(
    bag: Path, start: Any, ros_node: Any, spin_until: Any
) -> None:
    images, chunks, times = [], [], []
    everything = QoSProfile(depth=1000)
    ros_node.create_subscription(Image, "/camera/image", images.append, everything)
    ros_node.create_subscription(AudioChunk, "/audio", chunks.append, everything)
    ros_node.create_subscription(
        Clock, "/clock", lambda m: times.append(m.clock.sec * 10**9 + m.clock.nanosec), everything
    )
    words = ("bag_player", "--ros-args", "-p", f"bag:={bag}", "-p", "wait_for_subscriber:=true", "-p", "rate:=4.0")
    process = start("emotion_ros", *words)
    assert spin_until(lambda: len(images) == FRAMES and len(chunks) == FRAMES)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and f"published {2 * FRAMES} messages of {bag}" in errors
    with RawBag(bag) as raw:
        recorded = [deserialize_message(m.data, Image) for m in raw.messages(["/camera/image"])]
    assert images == recorded
    assert [stamp_ns(message) for message in chunks] == [START + i * STEP for i in range(FRAMES)]
    assert spin_until(lambda: {START + i * STEP + LATE for i in range(FRAMES)} <= set(times))
    assert times == sorted(times)


@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "dropping"])
def test_the_node_gives_the_estimates_of_the_offline_replay(
    bag: Path, start: Any, ros_node: Any, spin_until: Any, waits: bool
) -> None:
    """Smoothing, tracks and following depend on the frames before, so the offline one gets those that the node got.

    That are all where the player waits for the node, and some where it plays ten times as fast as they were recorded.
    """
    answers: list[EmotionEstimates] = []
    ros_node.create_subscription(EmotionEstimates, "/facial/estimates", answers.append, qos.ESTIMATES)
    words = ("facial", "--ros-args", "-r", "image:=/camera/image", "-p", "detector:=haar", "-p", "use_sim_time:=true")
    start("emotion_ros", *words)
    assert spin_until(lambda: ros_node.count_subscribers("/camera/image") > 0)
    if waits:
        options = ("--topics", "/camera/image", "--wait-for", "/facial/estimates", "--rate", 100)
        player = start("emotion_core.cli", "replay", bag, "--publish", *options)
    else:
        values = (f"bag:={bag}", "wait_for_subscriber:=true", "rate:=10.0")
        player = start("emotion_ros", "bag_player", "--ros-args", *(x for value in values for x in ("-p", value)))
    assert spin_until(lambda: player.poll() is not None)
    assert player.returncode == 0, player.stderr.read()
    spin_until(lambda: len(answers) == FRAMES, timeout_s=3.0)
    stamps = [stamp_ns(message) for message in answers]
    if waits:
        assert stamps == [START + index * STEP for index in range(FRAMES)]
    assert len(stamps) >= 2 and stamps == sorted(set(stamps))

    with BagReader(bag, ["/camera/image"]) as reader:
        pictures = [sample for sample in reader if sample.stamp_ns in set(stamps)]
    steps = list(replay(pictures, FacialPipeline(FacialConfig(detector="haar"))))
    assert len(steps) == len(answers)
    for step, message in zip(steps, answers, strict=True):
        found = [from_message(item) for item in message.estimates]
        assert [(e.label, e.track_id) for e in found] == [(e.label, e.track_id) for e in step.estimates]
        for ours, theirs in zip(step.estimates, found, strict=True):
            assert np.allclose(theirs.probabilities, ours.probabilities, atol=TOLERANCE, rtol=0)
            assert np.allclose((theirs.valence, theirs.arousal), (ours.valence, ours.arousal), atol=TOLERANCE, rtol=0)
    assert sum(len(step.estimates) for step in steps) > len(steps) // 2  # somebody was there


def test_an_offline_replay_writes_what_the_nodes_publish(bag: Path, tmp_path: Path) -> None:
    """The core makes messages without ROS: read by ROS, they equal those that a node makes of the estimates."""
    out = tmp_path / "estimates.mcap"
    with BagReader(bag, ["/camera/image"]) as reader, EstimateBag(out, "/facial/estimates") as writer:
        steps = list(replay(reader, FacialPipeline(FacialConfig(detector="haar"))))
        for step in steps:
            writer.add(step)
    with RawBag(out) as raw:
        written = [deserialize_message(item.data, EmotionEstimates) for item in raw.messages(["/facial/estimates"])]
    assert len(written) == FRAMES
    for step, message in zip(steps, written, strict=True):
        height, width = step.sample.image.shape[:2]
        stamp = Time(sec=step.sample.stamp_ns // 10**9, nanosec=step.sample.stamp_ns % 10**9)
        ours = to_messages(step.estimates, Header(stamp=stamp, frame_id="head"), width, height)
        assert message == deserialize_message(serialize_message(ours), EmotionEstimates)  # which are of float32


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bag:=/nowhere/bag"], "/nowhere/bag: expected a bag"),
        ([], "parameter bag: expected the folder of a bag"),
        (["bag:={bag}", "topics:=/up"], "there is no topic /up, expected one of /audio, /camera/image"),
    ],
)
def test_what_cannot_be_played_ends_it_with_one_line(bag: Path, start: Any, words: list[str], said: str) -> None:
    process = start("emotion_ros", "bag_player", "--ros-args", *(x for w in words for x in ("-p", w.format(bag=bag))))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and said in errors and "Traceback" not in errors
