"""The node `source` as a process of its own, seen from the topic it publishes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: scripts/run sets ROS 2 up")

from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from emotion_core.errors import EmotionError
from emotion_ros import source_node
from emotion_ros.images import to_bgr

ROOT = Path(__file__).resolve().parents[2]
COUNT, STEP = 8, 25  # frame k is grey k * STEP


@pytest.fixture
def start(ros_domain: int, end_all: Any) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the node with these parameters; it is ended with the test."""
    processes = []

    def run(**parameters: Any) -> subprocess.Popen[str]:
        settings = [item for name, value in parameters.items() for item in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", "emotion_ros", "source", "--ros-args", *settings]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield run
    end_all(processes)


@pytest.fixture
def received(ros_node: Any) -> list[Image]:
    """Every image on the topic."""
    messages: list[Image] = []
    ros_node.create_subscription(Image, "image", messages.append, QoSProfile(depth=200))
    return messages


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(COUNT):
        image = np.full((30, 40, 3), index * STEP, np.uint8)
        image[:15, :20] = (250, 130, 10)
        cv2.imwrite(str(folder / f"{index:02}.png"), image)
    return folder


def stamps(messages: list[Image]) -> np.ndarray:
    return np.array([m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in messages])


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_pictures_arrive_once_each_and_the_node_ends(
    start: Callable[..., subprocess.Popen[str]], received: list[Image], spin_until: Any, pictures: Path
) -> None:
    process = start(source=pictures, rate_hz=20, frame_id="lens", wait_for_subscriber="true")
    assert spin_until(lambda: len(received) == COUNT)
    code, errors = end(process)
    assert code == 0 and f"published {COUNT} images of {pictures}" in errors and "Traceback" not in errors
    assert (np.diff(stamps(received)) > 0).all()
    for index, message in enumerate(received):
        assert (message.height, message.width, message.step, message.encoding) == (30, 40, 120, "bgr8")
        assert message.header.frame_id == "lens"
        image = to_bgr(message)
        assert image[29, 39].tolist() == [index * STEP] * 3 and image[0, 0].tolist() == [250, 130, 10]


def test_video_resized_recoded_and_repeated(
    start: Callable[..., subprocess.Popen[str]], received: list[Image], spin_until: Any, tmp_path: Path
) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(COUNT):
            image = np.full((48, 64, 3), index * STEP, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    process = start(
        source=tmp_path / "v.mp4",
        rate_hz=20,
        loop="true",
        width=32,
        encoding="rgb8",
        wait_for_subscriber="true",
    )
    assert spin_until(lambda: len(received) >= 3 * COUNT)
    process.send_signal(signal.SIGINT)
    code, errors = end(process)
    assert code == 0 and "Traceback" not in errors
    assert {(m.height, m.width, m.encoding) for m in received} == {(24, 32, "rgb8")}
    assert (np.diff(stamps(received)) > 0).all()
    numbers = [round(float(to_bgr(message).mean()) / STEP) for message in received]
    assert numbers == [index // 2 % COUNT for index in range(len(numbers))]


def test_one_picture_for_ever_until_it_is_told_to_stop(
    start: Callable[..., subprocess.Popen[str]], received: list[Image], spin_until: Any, pictures: Path
) -> None:
    process = start(source=pictures / "03.png", loop="true", encoding="mono8")
    assert spin_until(lambda: len(received) >= 10)
    process.send_signal(signal.SIGTERM)
    code, errors = end(process)
    assert code == 0 and "Traceback" not in errors
    assert {(m.encoding, m.step, m.data[-1]) for m in received} == {("mono8", 40, 3 * STEP)}
    assert (np.diff(stamps(received)) > 0).all()


def test_told_to_stop_while_waiting(start: Callable[..., subprocess.Popen[str]], ros_node: Any, pictures: Path) -> None:
    process = start(source=pictures, wait_for_subscriber="true")
    while "source" not in ros_node.get_node_names():
        assert process.poll() is None
        ros_node.executor.spin_once(timeout_sec=0.1)
    process.send_signal(signal.SIGINT)
    assert end(process)[0] == 0


def test_what_cannot_be_played_takes_one_line(start: Callable[..., subprocess.Popen[str]]) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"source": "/none/there.mp4"}, "expected a camera's number or the path of a video or pictures, got"),
        ({"source": 97}, "camera 97: expected a camera, but there is no /dev/video97"),
        ({"encoding": "yuv"}, "parameter encoding: expected one of bgr8, rgb8, mono8, got 'yuv'"),
        ({"width": "wide"}, "parameter width: expected int, got 'wide'"),
    ]
    # All at once: most of their time they wait.
    for process, said in [(start(**parameters), said) for parameters, said in cases]:
        code, errors = end(process)
        assert code == 2
        assert said in errors and len(errors.splitlines()) == 1


class Unplugged:
    """A camera that is gone as soon as five of its images have arrived."""

    is_live, rate_hz, skipped = True, 50.0, 0

    def __init__(self, received: list[Image]) -> None:
        self._received = received

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        for index in range(2000):
            if len(self._received) >= 5:
                break
            yield np.full((6, 8, 3), index % 256, np.uint8), index / 50
            time.sleep(0.02)
        raise EmotionError("camera 0 sends no more pictures: was it unplugged?")

    def close(self) -> None:
        pass


def test_a_camera_is_published_as_it_comes_and_missed_when_gone(
    received: list[Image], spin_until: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(source_node, "open_frames", lambda *_: Unplugged(received))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    done = threading.Event()
    listener = threading.Thread(target=spin_until, args=(done.is_set,))
    listener.start()
    try:
        code = source_node.main(["source", "--ros-args", "-p", "wait_for_subscriber:=true"])
    finally:
        done.set()
        listener.join()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert code == 2
    errors = capfd.readouterr().err
    assert "camera 0 sends no more pictures: was it unplugged?" in errors and len(errors.splitlines()) == 1
    assert len(received) >= 5 and (np.diff(stamps(received)) > 0).all()
    values = [int(to_bgr(message)[0, 0, 0]) for message in received]
    assert set(np.diff(values) % 256) == {1}
    assert values[0] > 0  # those before the subscriber was seen went nowhere
