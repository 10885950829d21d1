"""The faces as detections of vision_msgs, for what works with any detector's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from std_msgs.msg import Header

from emotion_core.errors import EmotionError
from emotion_core.parameters import CheckedConfig, parameter
from emotion_core.types import EmotionEstimate, Face
from emotion_ros.base import qos
from emotion_ros.base.managed import ManagedNode
from emotion_ros.messages.others import message_type
from emotion_ros.views.view import Seen


@dataclass(frozen=True)
class DetectionsConfig(CheckedConfig):
    """Whether detections are published; raises EmotionError for a bad value."""

    detections: bool = parameter(False, "Publish the faces as vision_msgs/Detection2DArray, too; takes vision_msgs.")


class Detections:
    """``~/detections``: each face with its emotions as hypotheses, the most probable first.

    Raises:
        EmotionError: vision_msgs is not installed, or older than 4.0.
    """

    def __init__(self, node: ManagedNode) -> None:
        names = ("Detection2DArray", "Detection2D", "BoundingBox2D", "ObjectHypothesisWithPose")
        self._array, self._detection, self._box, self._hypothesis = (
            message_type("vision_msgs", name, "detections: true") for name in names
        )
        refuse_old(self._box)
        self._publisher = node.output(self._array, "~/detections", qos.ESTIMATES)

    def listen(self) -> None:
        """There is nothing to listen to."""

    def show(self, seen: Seen) -> None:
        """Publish the faces of an image, while somebody subscribes; a voice alone is no detection."""
        if seen.picture is None or not self._publisher.get_subscription_count():
            return
        found = [self._to_detection(e, e.face, seen.header) for e in seen.estimates if e.face is not None]
        self._publisher.publish(self._array(header=seen.header, detections=found))

    def end(self) -> None:
        """There is nothing to finish."""

    def _to_detection(self, estimate: EmotionEstimate, face: Face, header: Header) -> Any:
        box = self._box(size_x=float(face.box.width), size_y=float(face.box.height))
        box.center.position.x, box.center.position.y = map(float, face.box.centre)
        # The label may be decided by a vote, and comes first anyway: readers take the first.
        order = sorted(
            zip(estimate.labels, estimate.probabilities, strict=True),
            key=lambda pair: (pair[0] != estimate.label, -pair[1]),
        )
        detection = self._detection(header=header, bbox=box, id=estimate.track_id)
        for label, probability in order:
            hypothesis = self._hypothesis()
            hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = label, probability
            detection.results.append(hypothesis)
        return detection


def refuse_old(box: Any) -> None:
    """Raise EmotionError unless the type BoundingBox2D is that of vision_msgs 4, which Humble and later have."""
    kind = box.get_fields_and_field_types()["center"]
    if kind != "vision_msgs/Pose2D":
        raise EmotionError(
            f"detections: true takes vision_msgs 4.0 or newer, but the centre of a box here is a {kind}: update it"
        )
