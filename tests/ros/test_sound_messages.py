"""Other projects' messages with sound, built from their definitions: sent and read in processes that import them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

Message = tuple[str, str, dict[str, Any]]
"""Type, topic, fields."""

# Sends messages on the topics of a node that reads them, and prints what it read or why not.
READ = """
import importlib, json, sys
import numpy as np
import rclpy
from rclpy.parameter import Parameter
from emotion_core.errors import EmotionError
from emotion_ros.base import parameters, qos
from emotion_ros.base.managed import ManagedNode
from emotion_ros.messages.others import message_type
from emotion_ros.sound_messages import SoundConfig, SoundReader

class Listener(ManagedNode):
    def configure(self):
        parameters.declare(self, SoundConfig)
        self.reader = SoundReader(self, parameters.read(self, SoundConfig))
        self.said = []

    def activate(self):
        self.reader.listen()
        self.input(self.reader.kind, self.reader.topic, self.hear, qos.SOUND)

    def hear(self, message):
        try:
            chunk = self.reader.read(message, 100.0)
            self.said.append([chunk.samples.tolist(), str(chunk.samples.dtype), chunk.rate_hz, chunk.stamp_s])
        except EmotionError as error:
            self.said.append(str(error))

    def deactivate(self): pass
    def forget(self): pass

def message_class(name):
    package, _, kind = name.split("/")
    return message_type(package, kind, "the test")

def fill(message, fields):
    for name, value in fields.items():
        if isinstance(value, dict):
            fill(getattr(message, name), value)
        else:
            setattr(message, name, value)
    return message

config, before, sent = json.loads(sys.argv[1])
rclpy.init()
talker = rclpy.create_node("talker", namespace="robot")
for kind, topic, fields in before:
    talker.create_publisher(message_class(kind), topic, qos.LATCHED).publish(fill(message_class(kind)(), fields))
overrides = [Parameter(name, value=value) for name, value in config.items()]
node = Listener("listener", namespace="robot", parameter_overrides=overrides)
try:
    node.start()
except EmotionError as error:
    print(json.dumps(str(error)))
    sys.exit()
publishers, patience = {}, 300

def spin_until(condition):
    global patience
    while not condition() and patience:
        rclpy.spin_once(node, timeout_sec=0.1)
        patience -= 1

spin_until(lambda: not before or node.reader._said)
for kind, topic, fields in sent:
    if topic not in publishers:
        publishers[topic] = talker.create_publisher(message_class(kind), topic, 10)
        spin_until(publishers[topic].get_subscription_count)
    heard, noted = len(node.said), node.reader._said
    publishers[topic].publish(fill(message_class(kind)(), fields))
    spin_until(lambda: node.reader._said is not noted if topic == "audio_info" else len(node.said) > heard)
print(json.dumps(node.said))
"""
DATA, STAMPED = "audio_common_msgs/msg/AudioData", "audio_common_msgs/msg/AudioDataStamped"
INFO, AUDIO = "audio_common_msgs/msg/AudioInfo", "audio_common_msgs/msg/AudioStamped"
FRAME, CHUNK = "audio_utils_msgs/msg/AudioFrame", "emotion_perception/msg/AudioChunk"
HEADER = {"stamp": {"sec": 7, "nanosec": 500_000_000}, "frame_id": "ear"}
S16 = [0, 192, 0, 32]  # -16384 and 8192
WAVE = {"channels": 1, "sample_rate": 16000, "sample_format": "S16LE", "bitrate": 192, "coding_format": "wave"}
READ_S16 = [[[-16384], [8192]], "int16", 16000, 7.5]


@pytest.fixture
def read(interfaces: Callable[..., dict[str, str]], ros_domain: int) -> Callable[..., Any]:
    """Call with built packages, parameters and messages to learn what the reader makes of them.

    Those of ``before`` are sent once, by a latched topic, before the reader is there.
    """

    def run(packages: list[str], config: dict[str, Any], *sent: Message, before: Sequence[Message] = ()) -> Any:
        command = [sys.executable, "-c", READ, json.dumps([config, before, sent])]
        result = subprocess.run(command, env=interfaces(*packages), capture_output=True, text=True, timeout=200)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return run


def test_chunks_of_this_package(read: Callable[..., Any]) -> None:
    about = {"header": HEADER, "sample_rate": 16000, "channels": 1, "encoding": "S16LE"}
    faster = about | {"sample_rate": 48000, "channels": 2, "encoding": "U8"}
    said = read(
        [],
        {},
        (CHUNK, "audio", about | {"data": S16}),
        (CHUNK, "audio", about | {"data": S16[:3]}),
        (CHUNK, "audio", faster | {"data": [1, 2]}),
    )
    assert said[0] == READ_S16
    assert "whole moments of 1 x 2 bytes (S16LE), got 3 bytes" in said[1]
    assert said[2] == [[[1, 2]], "uint8", 48000, 7.5]


def test_ros_drivers_is_told_by_audio_info(read: Callable[..., Any]) -> None:
    """None yet, mp3, raw, another rate: each counts from when it comes."""
    sound = (STAMPED, "audio", {"header": HEADER, "audio": {"data": S16}})
    said = read(
        ["ros_drivers/audio_common_msgs"],
        {"audio_type": "audio_common_stamped"},
        sound,
        (INFO, "audio_info", WAVE | {"coding_format": "mp3"}),
        sound,
        (INFO, "audio_info", WAVE),
        sound,
        (INFO, "audio_info", WAVE | {"sample_rate": 48000, "channels": 2}),
        sound,
    )
    assert "no AudioInfo has come on /robot/audio_info yet" in said[0]
    assert "audio_rate_hz, audio_channels and audio_format" in said[0]
    assert said[1] == "expected raw sound, got mp3: start audio_capture with the parameter format:=wave"
    assert said[2] == READ_S16
    assert said[3] == [[[-16384, 8192]], "int16", 48000, 7.5]


def test_ros_drivers_is_told_by_parameters_or_once(read: Callable[..., Any]) -> None:
    """A message without a stamp ends when it comes; AudioInfo says what the parameters do not."""
    packages = ["ros_drivers/audio_common_msgs"]
    sound = (DATA, "audio", {"data": [*S16, *S16]})
    given = {"audio_type": "audio_common", "audio_rate_hz": 8000, "audio_channels": 2, "audio_format": "S16LE"}
    wanted = [[[-16384, 8192]] * 2, "int16", 8000, pytest.approx(100 - 2 / 8000)]
    assert read(packages, given, sound) == [wanted]
    once = (INFO, "audio_info", WAVE | {"channels": 2, "sample_rate": 44100})
    assert read(packages, {"audio_type": "audio_common", "audio_rate_hz": 8000}, sound, before=[once]) == [wanted]


def test_the_other_audio_common(read: Callable[..., Any]) -> None:
    arrays: dict[int, tuple[str, list[float], str]] = {
        1: ("float32_data", [-0.5, 0.25], "float32"),
        2: ("int32_data", [-(2**30), 2**29], "int32"),
        8: ("int16_data", [-16384, 8192], "int16"),
        16: ("int8_data", [-64, 32], "int8"),
        32: ("uint8_data", [64, 160], "uint8"),
        4: ("int32_data", [1, 2], ""),
    }
    sent = [
        (AUDIO, "audio", {"header": HEADER, "audio": {
            "audio_data": {field: samples}, "info": {"format": number, "channels": 1, "rate": 16000, "chunk": 2}}})
        for number, (field, samples, _) in arrays.items()
    ]  # fmt: skip
    *said, refused = read(["mgonzs13/audio_common_msgs"], {"audio_type": "mgonzs13"}, *sent)
    wanted = [[[[sample] for sample in samples], dtype, 16000, 7.5] for _, samples, dtype in arrays.values()]
    assert said == wanted[:-1]
    assert "PortAudio's formats 1 (float32), 2 (int32), 8 (int16), 16 (int8), 32 (uint8), got 4" in refused


def test_audio_utils(read: Callable[..., Any]) -> None:
    """Its formats by value are in tests/core; its frames end at their stamp."""
    about = {"header": HEADER, "sampling_frequency": 16000, "frame_sample_count": 2}
    said = read(
        ["introlab/audio_utils_msgs"],
        {"audio_type": "audio_utils"},
        (FRAME, "audio", about | {"format": "signed_16", "channel_count": 1, "data": S16}),
        (FRAME, "audio", about | {"format": "unsigned_padded_24", "channel_count": 2, "data": [0, 0, 64, 0] * 4}),
        (FRAME, "audio", about | {"format": "mp3", "channel_count": 1, "data": S16}),
    )
    assert said[0] == [*READ_S16[:3], 7.5 - 2 / 16000]
    assert said[1] == [[[-(2**30)] * 2] * 2, "int32", 16000, 7.5 - 2 / 16000]
    assert "signed_padded_24" in said[2] and "got 'mp3'" in said[2]


def test_packages_that_are_missing_or_another_s(read: Callable[..., Any]) -> None:
    said = read([], {"audio_type": "audio_utils"})
    assert "audio_type:=audio_utils takes the package audio_utils_msgs, which is not here" in said
    assert "build introlab/audio_utils" in said
    assert "-audio-common-msgs" in read([], {"audio_type": "audio_common"})
    said = read(["ros_drivers/audio_common_msgs"], {"audio_type": "mgonzs13"})
    assert "takes audio_common_msgs/msg/AudioStamped, but the audio_common_msgs here has none" in said
    assert "build mgonzs13/audio_common" in said
