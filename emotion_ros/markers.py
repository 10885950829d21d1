"""Text markers for RViz, placed where the faces should be in front of a calibrated camera."""

from __future__ import annotations

import numpy as np
from emotion_perception.msg import EmotionEstimates
from sensor_msgs.msg import CameraInfo
from visualization_msgs.msg import Marker, MarkerArray

from emotion_ros import qos
from emotion_ros.managed import ManagedNode
from emotion_ros.topics import camera_info_topic
from emotion_ros.views import Seen

FACE_HEIGHT_M = 0.22
"""Height of a face from chin to hairline, about; with the focal length it turns pixels into a distance."""


class Markers:
    """``~/markers``: a text above each face, once the camera's calibration is known."""

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        self.camera: CameraInfo | None = None
        self._publisher = node.output(MarkerArray, "~/markers", qos.ESTIMATES)

    def listen(self) -> None:
        """To the calibration, sent with every image, or once."""
        for profile in (qos.LATEST_IMAGE, qos.LATCHED):
            self._node.input(
                CameraInfo, camera_info_topic(self._node, "image"), self._set_camera, profile, optional=True
            )

    def show(self, seen: Seen) -> None:
        """Publish them."""
        if self.camera is not None and self._publisher.get_subscription_count():
            self._publisher.publish(to_markers(seen.message, self.camera))

    def end(self) -> None:
        """Another camera may come."""
        self.camera = None

    def _set_camera(self, message: CameraInfo) -> None:
        self.camera = message


def to_markers(estimates: EmotionEstimates, camera: CameraInfo) -> MarkerArray:
    """One text above each face, in the camera's optical frame (REP-103: z forward, x right, y down, metres).

    The distance follows from the height of the box and is good to some 20 %. Nothing is shown without a focal
    length: an uncalibrated camera sends zeros, some send NaN. The first marker removes those of the last image.
    """
    array = MarkerArray(markers=[Marker(header=estimates.header, action=Marker.DELETEALL)])
    fx, fy, cx, cy = camera.k[0], camera.k[4], camera.k[2], camera.k[5]
    if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
        return array
    for i, estimate in enumerate(estimates.estimates):
        roi = estimate.roi
        if not roi.height:
            continue
        distance = fy * FACE_HEIGHT_M / roi.height
        marker = Marker(header=estimates.header, ns="emotions", id=i, type=Marker.TEXT_VIEW_FACING)
        marker.pose.position.x = (roi.x_offset + roi.width / 2 - cx) / fx * distance
        marker.pose.position.y = (roi.y_offset - 0.2 * roi.height - cy) / fy * distance
        marker.pose.position.z = distance
        marker.pose.orientation.w = 1.0
        marker.scale.z = 0.08
        marker.color.r = marker.color.g = marker.color.b = marker.color.a = 1.0
        marker.text = f"{estimate.label} {estimate.confidence:.0%}"
        marker.lifetime.sec = 1
        array.markers.append(marker)
    return array
