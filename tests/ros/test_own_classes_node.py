"""What ``emotion train classifier --classes`` ends in is a model of the facial node."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from emotion_perception.msg import EmotionEstimates
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from emotion_core.cli import main
from emotion_core.media.pictures import write_picture
from emotion_ros.base import qos
from emotion_ros.facial_node import FacialNode
from emotion_ros.messages import images

pytestmark = pytest.mark.ros

SIGMAS = {"sharp": 0.5, "blurred": 7.0}
"""Of the blur in pixels: what two classes differ in that a network which evens out the light can see."""


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), sigma)


def test_a_node_tells_own_classes(ros_node: Any, spin_until: Any, spin_with: Any, portrait, tmp_path):
    for name in ("torch", "onnx", "tensorboard"):
        pytest.importorskip(name, reason="training takes it")
    for label, sigma in SIGMAS.items():
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(4):
            write_picture(tmp_path / "photos" / label / f"{i}.png", blurred(portrait, sigma + 0.2 * i))
    words = ["--data", tmp_path / "photos", "--classes", "sharp,blurred", "--out", tmp_path / "run", "--name", "focus",
             "--faces", "haar", "--epochs", 40, "--threads", 1]  # fmt: skip
    assert main(["train", "classifier", *map(str, words)]) == 0

    node = spin_with(FacialNode, "own", model=str(tmp_path / "run" / "focus.onnx"), detector="haar", smoothing_s=0.0)
    answers: list[EmotionEstimates] = []
    publisher = ros_node.create_publisher(Image, "image", qos.IMAGE_OUT)
    ros_node.create_subscription(EmotionEstimates, "own/estimates", answers.append, qos.ESTIMATES)
    node.start()
    assert spin_until(lambda: publisher.get_subscription_count() and node._estimates.get_subscription_count())
    for at_s, (label, sigma) in enumerate(SIGMAS.items(), 1):
        count = len(answers)
        header = Header(stamp=Time(seconds=at_s).to_msg(), frame_id="lens")
        publisher.publish(images.to_message(blurred(portrait, sigma + 0.1), header))
        assert spin_until(lambda count=count: len(answers) > count)
        (estimate,) = answers[-1].estimates
        assert (estimate.model, list(estimate.labels)) == ("focus", ["sharp", "blurred"])
        assert estimate.label == label and np.isnan(estimate.valence)
