"""The faces as detections, with the real messages of vision_msgs, over DDS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from vision_msgs.msg import Detection2DArray

from emotion_ros.base import qos

pytestmark = pytest.mark.ros


def test_faces_are_detections(
    ros_node: Any, facial: Any, seen: Any, seen_until: Any, spin_until: Any, face: np.ndarray
) -> None:
    node = facial(detections=True)
    arrays: list[Any] = []
    ros_node.create_subscription(Detection2DArray, "facial/detections", arrays.append, qos.ESTIMATES)
    answer = seen_until(node, face, lambda: arrays)
    assert spin_until(lambda: arrays[-1].header == answer.header)
    (estimate,), (detection,) = answer.estimates, arrays[-1].detections
    assert detection.header == answer.header and detection.id == estimate.track_id == "1"
    scores = {item.hypothesis.class_id: item.hypothesis.score for item in detection.results}
    np.testing.assert_allclose([scores[label] for label in estimate.labels], estimate.probabilities, atol=1e-6)
    assert len(scores) == len(detection.results) == 8
    assert detection.results[0].hypothesis.class_id == estimate.label
    assert sorted(scores.values(), reverse=True) == list(scores.values())
    roi, box = estimate.roi, detection.bbox  # the first in whole pixels
    np.testing.assert_allclose(
        [box.center.position.x, box.center.position.y], [roi.x_offset + roi.width / 2, roi.y_offset + roi.height / 2],
        atol=1,
    )  # fmt: skip
    np.testing.assert_allclose([box.size_x, box.size_y], [roi.width, roi.height], atol=2)
    assert box.center.theta == 0
    answer = seen(node, np.zeros_like(face))
    assert spin_until(lambda: arrays[-1].header == answer.header)
    assert arrays[-1].detections == []
