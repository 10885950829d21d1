"""Text markers for RViz, placed where the faces should be in front of a calibrated camera."""

from __future__ import annotations

import numpy as np
from emotion_perception.msg import EmotionEstimates
from sensor_msgs.msg import CameraInfo
from visualization_msgs.msg import Marker, MarkerArray

FACE_HEIGHT_M = 0.22
"""Height of a face from chin to hairline, about; with the focal length it turns pixels into a distance."""


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
