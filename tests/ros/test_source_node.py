"""The node `source` as a process of its own, seen from the topics it publishes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: scripts/run sets ROS 2 up")

from emotion_perception.msg import AudioChunk
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from emotion_core.audio.formats import decode
from emotion_core.errors import EmotionError
from emotion_core.media.playing import Playing
from emotion_ros import source_node
from emotion_ros.messages.images import to_bgr

ROOT = Path(__file__).resolve().parents[2]
COUNT, STEP = 8, 25  # frame k is grey k * STEP
RATE_HZ, LOUD = 8000, 20000

SOUND_CARD = """
import threading, time
from types import SimpleNamespace
import numpy as np

class PortAudioError(Exception):
    pass

def query_devices(device=None, kind=None):
    array = {"name": "USB Array", "max_input_channels": 2, "default_samplerate": 8000.0}
    if device not in (None, "usb"):
        raise ValueError(f"No {kind} device matching {device!r}")
    return [array] if kind is None else array

class InputStream:
    def __init__(self, **options):
        self.options, self.closed = options, threading.Event()

    def start(self):
        threading.Thread(target=self.record, daemon=True).start()

    def close(self):
        self.closed.set()

    def record(self):
        size, channels = self.options["blocksize"], self.options["channels"]
        first, length_s = 0, size / self.options["samplerate"]
        while not self.closed.wait(length_s):
            samples = np.arange(first, first + size * channels) % 2**16
            now = time.monotonic()
            about = SimpleNamespace(currentTime=now, inputBufferAdcTime=now - length_s)
            block = samples.astype(np.uint16).view(np.int16).reshape(size, channels)
            self.options["callback"](block, size, about, SimpleNamespace(input_overflow=False))
            first += size * channels
"""


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
def heard(ros_node: Any) -> list[AudioChunk]:
    """Every chunk of sound on the topic."""
    messages: list[AudioChunk] = []
    ros_node.create_subscription(AudioChunk, "audio", messages.append, QoSProfile(depth=200))
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


def write_wav(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setsampwidth(2)
        file.setnchannels(samples.shape[1])
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def write_flash(path: Path) -> Path:
    """A second of pictures at 20 Hz, white from the middle on, and 1.2 s of sound, loud from the same time on."""
    av = pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=20)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for k in range(20):
            image = np.full((48, 64, 3), 255 * (k >= 10), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(video.encode())
        samples = np.where(np.arange(RATE_HZ * 6 // 5) < RATE_HZ // 2, 0, LOUD).astype(np.int16)
        for start in range(0, len(samples), 1000):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1000], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


def samples_of(messages: list[AudioChunk]) -> np.ndarray:
    """(n, channels) of all together."""
    (channels,) = {message.channels for message in messages}
    return np.concatenate([decode(message.data, message.encoding, channels) for message in messages])


def times_of(messages: list[AudioChunk]) -> np.ndarray:
    """(n,) ns: of every sample."""
    lengths = [len(message.data) // (2 * message.channels) for message in messages]
    steps = [
        np.arange(length) * (10**9 / message.sample_rate) for length, message in zip(lengths, messages, strict=True)
    ]
    return np.concatenate([stamp + step for stamp, step in zip(stamps(messages), steps, strict=True)])


def stamps(messages: list[Any]) -> np.ndarray:
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


def test_sound_is_in_step_with_the_pictures_in_every_round(
    start: Callable[..., subprocess.Popen[str]],
    received: list[Image],
    heard: list[AudioChunk],
    spin_until: Any,
    tmp_path: Path,
) -> None:
    process = start(source=write_flash(tmp_path / "flash.mkv"), loop="true", wait_for_subscriber="true")
    assert spin_until(lambda: len(received) >= 3 * 20 and len(heard) >= 3 * 25)
    process.send_signal(signal.SIGINT)
    code, errors = end(process)
    assert code == 0 and "Traceback" not in errors
    assert {(m.sample_rate, m.channels, m.encoding, m.header.frame_id) for m in heard} == {
        (RATE_HZ, 1, "S16LE", "microphone")
    }
    white = np.array([to_bgr(message).mean() > 128 for message in received])
    samples, times = samples_of(heard)[:, 0], times_of(heard)
    assert samples.tolist() == [LOUD * (n % RATE_HZ >= RATE_HZ // 2) for n in range(len(samples))]
    begins_to_show = stamps(received)[1:][white[1:] & ~white[:-1]]
    begins_to_sound = times[1:][(samples[1:] == LOUD) & (samples[:-1] == 0)]
    count = min(len(begins_to_show), len(begins_to_sound))
    assert count >= 3
    assert np.abs(begins_to_show[:count] - begins_to_sound[:count]).max() < 10**9 / 20
    if "late" not in errors:  # else both go on later
        np.testing.assert_allclose(np.diff(times), 10**9 / RATE_HZ, atol=1000)  # float64 is good to 256 ns


def test_a_sound_alone(
    start: Callable[..., subprocess.Popen[str]], heard: list[AudioChunk], spin_until: Any, ros_node: Any, tmp_path: Path
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
    samples = np.arange(2 * RATE_HZ).reshape(-1, 2)[: RATE_HZ // 2]
    process = start(
        source=write_wav(tmp_path / "ramp.wav", samples),
        audio_chunk_s=0.1,
        audio_frame_id="ear",
        wait_for_subscriber="true",
    )
    assert spin_until(lambda: len(heard) >= 5)
    code, errors = end(process)
    assert code == 0 and "published 0.5 s of sound" in errors and "images" not in errors
    np.testing.assert_array_equal(samples_of(heard), samples)
    assert [len(message.data) for message in heard] == [4 * RATE_HZ // 10] * 5
    assert heard[0].header.frame_id == "ear"
    assert not ros_node.get_publishers_info_by_topic("/image")


@pytest.fixture
def sound_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that are started import a sounddevice whose microphone hears 0, 1, 2, …"""
    (tmp_path / "fakes").mkdir()
    (tmp_path / "fakes" / "sounddevice.py").write_text(SOUND_CARD)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'fakes'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def test_a_microphone(
    start: Callable[..., subprocess.Popen[str]], heard: list[AudioChunk], spin_until: Any, sound_card: None
) -> None:
    process = start(source="''", microphone="usb", microphone_channels=2, wait_for_subscriber="true")
    assert spin_until(lambda: len(heard) >= 5)
    now_ns = time.time_ns()
    process.send_signal(signal.SIGINT)
    code, errors = end(process)
    assert code == 0 and "s of sound of usb" in errors and "Traceback" not in errors
    assert {(m.sample_rate, m.channels, m.encoding) for m in heard} == {(8000, 2, "S16LE")}
    samples = samples_of(heard).astype(np.uint16)
    assert (np.diff(samples.astype(int), axis=0) % 2**16 == 2).all() and (samples[:, 1] - samples[:, 0] == 1).all()
    assert {len(message.data) for message in heard} == {320 * 4}
    ages_s = (now_ns - stamps(heard)) / 1e9
    assert (np.diff(ages_s) < 0).all() and 0 < ages_s[4] < 60


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


def test_what_cannot_be_played_takes_one_line(start: Callable[..., subprocess.Popen[str]], sound_card: None) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"source": "/none/there.mp4"}, "expected a camera's number or the path of a video or pictures, got"),
        ({"source": 97}, "camera 97: expected a camera, but there is no /dev/video97"),
        ({"source": "''", "microphone": "piano"}, "matching 'piano'; there are the inputs 0 (USB Array)"),
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
    monkeypatch.setattr(source_node, "open_playing", lambda *_: Playing(Unplugged(received), None))
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
