"""An ensemble's card as the model of a facial node, from its start and while it works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from emotion_perception.msg import EmotionEstimates, ModelInfo
from rclpy.parameter import Parameter
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from emotion_core.runtime.classifier import Classifier
from emotion_core.store.ensemble import EnsembleCard, new_member
from emotion_ros.base import qos
from emotion_ros.facial_node import FacialNode
from emotion_ros.messages import images

pytestmark = pytest.mark.ros


def write(path: Path, weight: float) -> Path:
    EnsembleCard(path.stem, (new_member("esr_compact", path, weight),)).write(path)
    return path


def test_a_node_runs_an_ensemble_as_one_model(ros_node: Any, spin_until: Any, spin_with: Any, portrait, tmp_path):
    first, second = write(tmp_path / "first.json", 1.0), write(tmp_path / "second.json", 2.0)
    node = spin_with(FacialNode, "ensemble", model=str(first), detector="haar")
    answers: list[EmotionEstimates] = []
    infos: list[ModelInfo] = []
    publisher = ros_node.create_publisher(Image, "image", qos.IMAGE_OUT)
    ros_node.create_subscription(EmotionEstimates, "ensemble/estimates", answers.append, qos.ESTIMATES)
    ros_node.create_subscription(ModelInfo, "ensemble/model_info", infos.append, qos.LATCHED)
    node.start()
    assert spin_until(lambda: publisher.get_subscription_count() and node._estimates.get_subscription_count())

    def see(at_s: int) -> Any:
        count = len(answers)
        stamp = Time(seconds=at_s).to_msg()
        publisher.publish(images.to_message(portrait, Header(stamp=stamp, frame_id="lens")))
        assert spin_until(lambda: len(answers) > count)
        return answers[-1].estimates[0]

    assert see(1).model == "first"
    assert tuple(see(2).labels) == Classifier.load(first).card.labels
    assert spin_until(lambda: bool(infos))
    assert json.loads(infos[-1].card)["architecture"]["members"][0]["name"] == "esr_compact"
    (result,) = node.set_parameters([Parameter("model", value=str(second))])
    assert result.successful, result.reason
    assert spin_until(lambda: node.pipeline.classifier.card.name == "second")
    assert see(3).model == "second"
    (refused,) = node.set_parameters([Parameter("model", value=str(tmp_path / "none.json"))])
    assert not refused.successful and "none.json" in refused.reason
