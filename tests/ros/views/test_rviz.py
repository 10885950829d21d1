"""RViz's layouts: it is not installed here, so they are compared with what the nodes publish."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from emotion_ros.views.markers import FRAMES, TEXTS, MarkerConfig, Markers
from emotion_ros.views.overlay import Overlay, OverlayConfig

pytestmark = pytest.mark.ros
FOLDER = Path(__file__).resolve().parents[3] / "rviz"
TYPES = {
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
    "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
}
"""Displays with a topic, and what they show."""


def manager(name: str) -> Any:
    return yaml.safe_load((FOLDER / f"{name}.rviz").read_text())["Visualization Manager"]


def test_every_estimating_node_has_a_layout() -> None:
    assert {path.name for path in FOLDER.glob("*")} == {"facial.rviz", "audiovisual.rviz"}


@pytest.mark.parametrize("name", ["facial", "audiovisual"])
def test_a_layout_shows_what_the_node_publishes(name: str, ros_node: Any, stage: Any) -> None:
    class Both:
        def __init__(self, node: Any) -> None:
            self.views = (
                Overlay(node, OverlayConfig(), lambda: None, lambda timeout_s: None),
                Markers(node, MarkerConfig()),
            )

        def listen(self) -> None:
            """Not needed."""

        end = listen

    node = stage(Both)
    published = {
        publisher.topic_name.replace("/stage/", f"/{name}/"): publisher.msg_type for publisher in node.publishers
    }
    shown = {display["Topic"]["Value"]: display for display in manager(name)["Displays"] if "Topic" in display}
    assert set(shown) == {f"/{name}/overlay", f"/{name}/markers"}
    for topic, display in shown.items():
        package, kind = published[topic].__module__.partition(".")[0], published[topic].__name__
        assert TYPES[display["Class"]] == f"{package}/msg/{kind}"
        assert display["Enabled"] and display["Value"]
        # A reliable, volatile publisher matches a subscriber that asks for no more.
        assert display["Topic"]["Durability Policy"] == "Volatile"
        assert display["Topic"]["Reliability Policy"] in ("Reliable", "Best Effort")
    namespaces = shown[f"/{name}/markers"]["Namespaces"]
    assert namespaces == {TEXTS: True, FRAMES: True}


@pytest.mark.parametrize("name", ["facial", "audiovisual"])
def test_the_view_is_that_of_the_camera(name: str) -> None:
    """By the geometry of RViz's Orbit, in whose world z is up: it looks along z, with -y up, from behind the camera."""
    view = manager(name)["Views"]["Current"]
    assert view["Class"] == "rviz_default_plugins/Orbit"
    yaw, pitch = view["Yaw"], view["Pitch"]
    assert abs(pitch) <= math.pi / 2 - 0.001  # RViz takes no more
    away = np.array([math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch)])
    focus = np.array([view["Focal Point"][axis] for axis in "XYZ"], float)
    eye = focus + view["Distance"] * away
    assert eye[2] < 0
    np.testing.assert_allclose(-away, (0, 0, 1), atol=0.002)
    up = np.array([0, 0, 1]) - away[2] * away
    np.testing.assert_allclose(up / np.linalg.norm(up), (0, -1, 0), atol=0.002)


@pytest.mark.parametrize("name", ["facial", "audiovisual"])
def test_the_layouts_differ_in_the_name_only(name: str) -> None:
    own = (FOLDER / f"{name}.rviz").read_text()
    assert own.replace(name, "facial") == (FOLDER / "facial.rviz").read_text()
    assert manager(name)["Global Options"]["Fixed Frame"] == "camera"  # as the source says
