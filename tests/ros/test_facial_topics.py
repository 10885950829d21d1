"""Where the facial node listens, and what it makes of a calibration and of a stream of broken pictures."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage

from emotion_ros.base import qos
from emotion_ros.facial_node import FacialNode
from emotion_ros.process import native_output

pytestmark = pytest.mark.ros
K = [600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]


def heard(node: FacialNode) -> list[str]:
    """The topics that it subscribes to, each once."""
    return sorted({subscription.topic_name for subscription in node.subscriptions})


@pytest.mark.parametrize(
    ("transport", "remappings", "topics"),
    [
        ("raw", [], ["/camera_info", "/image"]),
        ("compressed", [], ["/camera_info", "/image/compressed"]),
        ("raw", ["image:=/cam/image_raw"], ["/cam/camera_info", "/cam/image_raw"]),
        ("compressed", ["image:=/cam/image_raw"], ["/cam/camera_info", "/cam/image_raw/compressed"]),
        ("compressed", ["image:=cam/image"], ["/cam/camera_info", "/cam/image/compressed"]),
        ("compressed", ["image/compressed:=/web"], ["/camera_info", "/web"]),
        ("raw", ["image:=/cam/image_raw", "camera_info:=/lens"], ["/cam/image_raw", "/lens"]),
        ("raw", ["__ns:=/lab"], ["/lab/camera_info", "/lab/image"]),
    ],
)
def test_topics_follow_the_image(spin_with: Any, transport: str, remappings: list[str], topics: list[str]) -> None:
    node = spin_with(FacialNode, "facial", *remappings, detector="haar", image_transport=transport)
    node.start()
    assert heard(node) == topics


@pytest.mark.parametrize("latched", [True, False], ids=["sent once before", "sent again and again"])
def test_a_calibration_reaches_the_node(ros_node: Any, spin_until: Any, spin_with: Any, latched: bool) -> None:
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    reliability = ReliabilityPolicy.RELIABLE if latched else ReliabilityPolicy.BEST_EFFORT
    profile = QoSProfile(depth=1, durability=durability, reliability=reliability)
    publisher = ros_node.create_publisher(CameraInfo, "/cam/camera_info", profile)
    publisher.publish(CameraInfo(k=K))
    node = spin_with(FacialNode, "facial", "image:=/cam/image", detector="haar")
    node.start()

    def arrived() -> bool:
        if not latched:
            publisher.publish(CameraInfo(k=K))
        return node.markers.camera is not None

    assert spin_until(arrived, timeout_s=20)
    assert list(node.markers.camera.k) == K


# ---- what decoders print -------------------------------------------------------------------------------------------


def broken_pictures() -> list[bytes]:
    """Pictures of which OpenCV's libraries complain on stderr themselves."""
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    png, jpeg = (bytearray(cv2.imencode(kind, picture)[1].tobytes()) for kind in (".png", ".jpg"))
    png[200] ^= 0xFF  # a wrong checksum in the pixels
    jpeg[len(jpeg) // 2 : len(jpeg) // 2 + 40] = bytes(40)
    return [bytes(png), bytes(jpeg)]


def test_decoders_complain_into_a_list_and_others_go_on_writing(capfd: Any) -> None:
    for data in broken_pictures():
        flat = np.frombuffer(data, np.uint8)
        cv2.imdecode(flat, cv2.IMREAD_COLOR)
        loud = capfd.readouterr().err.splitlines()
        assert loud  # it does complain
        with native_output.collected() as said:
            cv2.imdecode(flat, cv2.IMREAD_COLOR)
            os.write(2, b"[INFO] another thread's line\nlibrary\n")
        assert said == loud
        assert capfd.readouterr().err == "[INFO] another thread's line\nlibrary\n"


def test_a_stream_of_broken_pictures_does_not_fill_the_log(
    ros_node: Any, spin_until: Any, spin_with: Any, health_of: Any, capfd: Any
) -> None:
    health = health_of("facial")
    node = spin_with(FacialNode, "facial", detector="haar", image_transport="compressed", diagnostics_period_s=0.1)
    node.start()
    publisher = ros_node.create_publisher(CompressedImage, "image/compressed", qos.IMAGE_OUT)
    assert spin_until(lambda: publisher.get_subscription_count() > 0)
    png, jpeg = broken_pictures()
    messages = [CompressedImage(format="png", data=png), CompressedImage(format="jpeg", data=jpeg)]
    for message in messages:
        message.header.stamp.sec = 1
    capfd.readouterr()
    sent = 0

    def enough() -> bool:
        nonlocal sent
        counts = node._worker.counts()
        if counts.rejected + counts.processed == sent:  # one at a time, so that none is dropped
            publisher.publish(messages[sent % 2])
            sent += 1
        return sent > 30

    assert spin_until(enough)
    said = capfd.readouterr().err
    assert "rejected the image on /image/compressed" in said
    # One line of each kind in five seconds: what is rejected, and what a decoder complains of.
    assert len(said.splitlines()) <= 4, said
    assert spin_until(lambda: health.count("rejected") >= 15)
