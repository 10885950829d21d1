"""For the files here, which test_hri.py runs in a process of its own, where hri_msgs and vision_msgs are built."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from emotion_perception.msg import EmotionEstimates
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from emotion_ros.base import qos
from emotion_ros.facial_node import FacialNode
from emotion_ros.messages import images


@pytest.fixture(scope="module")
def face(portrait: np.ndarray) -> np.ndarray:
    """(480, 512, 3) uint8: one face."""
    return np.ascontiguousarray(portrait[:480])


class Camera:
    """Publishes pictures on ``image`` with stamps of its own, a tenth of a second apart."""

    def __init__(self, ros_node: Any) -> None:
        self.now_s = 100.0
        self.publisher = ros_node.create_publisher(Image, "image", qos.IMAGE_OUT)

    def header(self) -> Header:
        return Header(stamp=Time(nanoseconds=round(self.now_s * 1e9)).to_msg(), frame_id="lens")

    def show(self, picture: np.ndarray) -> Header:
        self.now_s += 0.1
        header = self.header()
        self.publisher.publish(images.to_message(picture, header))
        return header


@pytest.fixture
def camera(ros_node: Any) -> Camera:
    return Camera(ros_node)


@pytest.fixture
def facial(ros_node: Any, spin_with: Any, spin_until: Any, camera: Camera) -> Callable[..., Any]:
    """Make a facial node, or another, active and heard: ``answers`` has what it estimates."""

    def make(name: str = "facial", kind: Any = FacialNode, **values: Any) -> Any:
        node = spin_with(kind, name, **({"detector": "haar", "diagnostics_period_s": 0.1} | values))
        node.start()
        node.answers = []
        listener = ros_node.create_subscription(
            EmotionEstimates, f"{name}/estimates", node.answers.append, qos.ESTIMATES
        )
        assert spin_until(lambda: camera.publisher.get_subscription_count() and listener.get_publisher_count())
        assert spin_until(lambda: node._estimates.get_subscription_count() > 0)
        return node

    return make


@pytest.fixture
def seen(camera: Camera, spin_until: Any) -> Callable[..., EmotionEstimates]:
    """Show a picture to a node and wait for what it estimates."""

    def show(node: Any, picture: np.ndarray) -> EmotionEstimates:
        count = len(node.answers)
        camera.show(picture)
        assert spin_until(lambda: len(node.answers) > count)
        return node.answers[-1]

    return show


@pytest.fixture
def seen_until(seen: Callable[..., EmotionEstimates]) -> Callable[..., EmotionEstimates]:
    """Show a picture to a node again and again until a condition holds; what it estimates of the last one."""

    def show(node: Any, picture: np.ndarray, condition: Callable[[], Any], timeout_s: float = 60.0) -> EmotionEstimates:
        end_s = time.monotonic() + timeout_s
        while True:
            answer = seen(node, picture)
            if condition():
                return answer
            assert time.monotonic() < end_s, "nothing comes"

    return show
