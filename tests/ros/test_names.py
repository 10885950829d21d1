"""Every name that a node uses is relative or its own, so that namespaces and remappings reach it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_ros.audiovisual_node import AudiovisualNode
from emotion_ros.facial_node import FacialNode
from emotion_ros.recorder_node import RecorderNode
from emotion_ros.source_node import SourceNode

pytestmark = pytest.mark.ros
COMMON = {"/clock", "/diagnostics", "/parameter_events", "/rosout"}
"""Topics that are one for the whole robot, by the conventions of ROS."""


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        (FacialNode, "facial", {"detector": "haar", "markers_from": "depth"}),
        (AudiovisualNode, "audiovisual", {"detector": "haar"}),
        (SourceNode, "source", {"loop": True}),
        (RecorderNode, "recorder", {"video": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_names_follow_the_namespace(
    spin_with: Callable[..., Any], tmp_path: Path, kind: Any, name: str, values: dict[str, Any]
) -> None:
    if name == "recorder":
        pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
        values = {**values, "out": str(tmp_path)}
    if name == "source":
        cv2.imwrite(str(tmp_path / "still.png"), np.zeros((4, 4), np.uint8))
        values = {**values, "source": str(tmp_path / "still.png")}
    node = spin_with(kind, name, "__ns:=/lab", **values)
    if hasattr(node, "start"):
        node.start()
    topics = {entity.topic_name for entities in (node.publishers, node.subscriptions) for entity in entities}
    services = {service.srv_name for service in node.services}
    assert {topic for topic in topics - COMMON if not topic.startswith("/lab/")} == set()
    assert {service for service in services if not node.resolve_service_name(service).startswith("/lab/")} == set()
    own = {"facial": "/lab/facial/estimates", "audiovisual": "/lab/audio", "source": "/lab/image"}
    assert own.get(name, "/lab/estimates") in topics
