"""The fixture that builds other projects' messages: processes send and receive them for real."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

SEND = """
import rclpy
from audio_common_msgs.msg import {kind}

rclpy.init()
node = rclpy.create_node("both")
received = []
publisher = node.create_publisher({kind}, "audio", 10)
node.create_subscription({kind}, "audio", received.append, 10)
message = {kind}()
message.header.stamp.sec, message.header.frame_id = 7, "ear"
{fill}
for _ in range(100):
    publisher.publish(message)
    rclpy.spin_once(node, timeout_sec=0.1)
    if received:
        break
assert received and received[0] == message, received
print(__import__("audio_common_msgs").__file__)
"""


def test_two_packages_of_one_name_live_apart(interfaces: Callable[..., dict[str, str]], ros_domain: int) -> None:
    cases = {
        "ros_drivers": ("AudioDataStamped", "message.audio.data = bytes([1, 2, 255])"),
        "mgonzs13": ("AudioStamped", "message.audio.audio_data.int16_data = [-1, 2]; message.audio.info.rate = 16000"),
    }
    for project, (kind, fill) in cases.items():
        env = interfaces(f"{project}/audio_common_msgs")
        command = [sys.executable, "-c", SEND.format(kind=kind, fill=fill)]
        result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr
        assert f"{project}-audio_common_msgs" in result.stdout
