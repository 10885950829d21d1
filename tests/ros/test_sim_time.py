"""Nodes on a simulated clock: what they stamp, play and measure is in its time. For estimating nodes, test_work.py and
test_facial_stream.py have the like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from emotion_perception.msg import EmotionEstimates
from rclpy.qos import QoSProfile
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from emotion_ros.base import qos
from emotion_ros.recorder_node import RecorderNode
from emotion_ros.source_node import SourceNode

pytestmark = pytest.mark.ros
START_NS, STEP_NS, COUNT = 5_000_000_000, 100_000_000, 6


@pytest.fixture
def set_time(ros_node: Any, spin_until: Any) -> Iterator[Callable[[Any, int], None]]:
    """Call with a node and a time in ns; returns when it is that time for the node."""
    publisher = ros_node.create_publisher(Clock, "/clock", QoSProfile(depth=10))

    def tell(node: Any, time_ns: int) -> None:
        message = Clock(clock=Time(nanoseconds=time_ns).to_msg())

        def told() -> bool:
            if node.get_clock().now().nanoseconds == time_ns:
                return True
            publisher.publish(message)
            return False

        assert spin_until(told)

    yield tell
    ros_node.destroy_publisher(publisher)


def test_the_source_plays_as_fast_as_simulated_time_goes(
    spin_with: Any, set_time: Any, ros_node: Any, spin_until: Any, tmp_path: Path
) -> None:
    for index in range(COUNT):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((4, 4, 3), 10 * index, np.uint8))
    images: list[Image] = []
    ros_node.create_subscription(Image, "image", images.append, QoSProfile(depth=50))
    node = spin_with(SourceNode, "source", use_sim_time=True, source=str(tmp_path), rate_hz=10.0)
    assert spin_until(lambda: ros_node.count_publishers("image") == 1)
    assert not spin_until(lambda: bool(images) or node.outcome is not None, timeout_s=0.5)  # time has not begun
    for index in range(COUNT):
        set_time(node, START_NS + index * STEP_NS)
        assert spin_until(lambda index=index: len(images) == index + 1)  # type: ignore[misc]
        assert not spin_until(lambda index=index: len(images) > index + 1, timeout_s=0.15)  # type: ignore[misc]
    stamps = [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for message in images]
    assert stamps == [START_NS + index * STEP_NS for index in range(COUNT)]
    set_time(node, START_NS + COUNT * STEP_NS)
    assert spin_until(lambda: node.outcome is True)


def test_the_recorder_measures_latencies_in_simulated_time(
    spin_with: Any, set_time: Any, ros_node: Any, spin_until: Any, tmp_path: Path
) -> None:
    node = spin_with(RecorderNode, "recorder", use_sim_time=True, out=str(tmp_path), video=False)
    publisher = ros_node.create_publisher(EmotionEstimates, "estimates", qos.ESTIMATES)
    assert spin_until(lambda: publisher.get_subscription_count() == 1)
    for index in range(3):
        stamp_ns = START_NS + index * STEP_NS
        set_time(node, stamp_ns + 20_000_000)
        message = EmotionEstimates()
        message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        publisher.publish(message)
        assert spin_until(lambda index=index: len(node.recording) == index + 1)  # type: ignore[misc]
    assert np.allclose([latency_ms for _, latency_ms in node.recording.latency_ms], 20.0)
