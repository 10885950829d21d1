"""What docs/architecture.md says about nodes: a network that no package knows, and a node of one's own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from emotion_perception.msg import EmotionEstimates
from sensor_msgs.msg import Image
from std_msgs.msg import Header, Int32

from emotion_ros.base import qos
from emotion_ros.facial_node import FacialNode
from emotion_ros.messages import images

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "architecture.md").read_text()


def block(heading: str) -> str:
    """The first Python block below a heading."""
    return re.search(r"```python\n(.*?)```", TEXT.partition(f"## {heading}\n")[2], re.DOTALL)[1]


@pytest.fixture
def see(ros_node, spin_until):
    """Call with a picture, a topic and its type to send the picture until an answer comes; returns the answer."""
    publisher = ros_node.create_publisher(Image, "image", qos.IMAGE_OUT)

    def send(picture, kind, topic):
        answers: list = []
        ros_node.create_subscription(kind, topic, answers.append, qos.ESTIMATES)
        for second in range(1, 21):
            publisher.publish(images.to_message(picture, Header(stamp=Time(sec=second))))
            if spin_until(lambda: bool(answers), timeout_s=2.0):
                return answers[0]
        raise AssertionError(f"nothing on {topic}")

    return send


def test_a_network_of_one_s_own_runs_in_the_facial_node(spin_with, see, portrait, tmp_path):
    pytest.importorskip("torch", reason="exporting needs torch")
    pytest.importorskip("onnx", reason="exporting needs onnx")
    from emotion_core.data import registry as datasets
    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.models import registry
    from emotion_core.models.registry import build, describe, entry_of, preset
    from emotion_core.plugins import load_plugin

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_registered", dict(registry._registered))
        patch.setattr(datasets, "DATASETS", dict(datasets.DATASETS))
        (tmp_path / "toy.py").write_text(block("Adding an architecture and a dataset"))
        load_plugin(str(tmp_path / "toy.py"))
        toy = build(preset("toy"), seed=0)
        export_onnx(toy, describe(entry_of(toy), "toy", ("sad", "happy"), "none"), tmp_path / "toy.onnx")
    # The node knows no architecture of that type any more: the card in the file is all it has.
    node = spin_with(FacialNode, "facial", model=str(tmp_path / "toy.onnx"), detector="haar")
    node.autostart()
    (estimate,) = see(portrait, EmotionEstimates, "facial/estimates").estimates
    assert (estimate.model, estimate.labels) == ("toy", ["sad", "happy"])
    assert sum(estimate.probabilities) == pytest.approx(1, abs=1e-6) and np.isnan(estimate.valence)


def test_a_node_of_one_s_own_counts_faces(spin_with, see, portrait):
    space = {"__name__": "counting_node"}
    exec(compile(block("Adding a node"), "counting_node.py", "exec"), space)
    node = spin_with(space["CountingNode"], "counting", detector="haar")
    node.autostart()
    assert see(portrait, Int32, "counting/count").data == 1
    node.trigger_deactivate()
    node.trigger_activate()
    assert see(np.full((240, 320, 3), 90, np.uint8), Int32, "counting/count").data == 0
