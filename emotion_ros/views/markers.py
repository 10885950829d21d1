"""Markers for RViz where the faces are in front of a calibrated camera: what they express, and a frame around them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from emotion_core.parameters import CheckedConfig, parameter
from emotion_core.types import Box, EmotionEstimate
from emotion_core.vision.palette import colour
from emotion_core.vision.space import Pinhole, depth_m
from emotion_ros.base import qos
from emotion_ros.base.managed import ManagedNode
from emotion_ros.base.topics import camera_info_topic
from emotion_ros.messages.conversions import to_seconds
from emotion_ros.views.depth import DepthImages
from emotion_ros.views.view import Seen

TEXTS, FRAMES = "emotions", "faces"
"""Namespaces of the markers."""
_TEXT_M = 0.08  # height of a capital letter
_LINE_M = 0.008


@dataclass(frozen=True)
class MarkerConfig(CheckedConfig):
    """How the markers are placed; raises EmotionError for a bad value."""

    markers_from: str = parameter(
        "size",
        "How far away the markers are: by the size of the faces, or by the images on `depth`, and by size without one.",
        choices=("size", "depth"),
    )
    face_size_m: float = parameter(
        0.16, "Assumed mean side in metres of the box around a face, for the distance by size.", low=0.01, high=1.0
    )
    depth_slop_s: float = parameter(
        0.1, "So many seconds may lie between the stamps of an image and its depth.", low=0.0, high=10.0
    )
    marker_lifetime_s: float = parameter(
        1.0, "RViz drops a marker that is not renewed for so many seconds.", low=0.1, high=3600.0
    )


class Markers:
    """``~/markers``: a text above each face and a frame around it, once the camera's calibration is known.

    A person keeps their markers' id for as long as they keep their track; only what is no longer there is deleted.

    Attributes:
        camera: the last calibration that came.
        heard, unusable: how many came, and how many of them had no focal length.
    """

    def __init__(self, node: ManagedNode, settings: MarkerConfig) -> None:
        self._node, self._settings = node, settings
        self.camera: CameraInfo | None = None
        self.heard = self.unusable = 0
        self._depth = DepthImages(node, settings.depth_slop_s) if settings.markers_from == "depth" else None
        self._publisher = node.output(MarkerArray, "~/markers", qos.ESTIMATES)
        self._count = 0
        self._ids: dict[str | int, int] = {}
        self._header = Header()

    def listen(self) -> None:
        """To the calibration, sent with every image or once, and to depth images where they are asked for."""
        for profile in (qos.LATEST_IMAGE, qos.LATCHED):
            self._node.input(
                CameraInfo, camera_info_topic(self._node, "image"), self._set_camera, profile, optional=True
            )
        if self._depth is not None:
            self._depth.listen()

    def show(self, seen: Seen) -> None:
        """Publish the markers of an image; a voice alone is nowhere."""
        camera, settings = self.camera, self._settings
        if camera is None or seen.picture is None or not self._publisher.get_subscription_count():
            return
        height, width = seen.picture.shape[:2]
        pinhole = to_pinhole(camera, width, height)
        faces = [] if pinhole is None else [(e, e.face.box) for e in seen.estimates if e.face is not None]
        # Whom nothing follows from image to image has the place in the list for a name.
        names: list[str | int] = [estimate.track_id or i for i, (estimate, _) in enumerate(faces)]
        gone = sorted(self._ids.pop(name) for name in self._ids.keys() - set(names))
        self._header = Header(stamp=seen.header.stamp, frame_id=seen.header.frame_id or camera.header.frame_id)
        markers = deletions(gone, self._header)
        depth = self._depth.at(to_seconds(seen.header.stamp)) if self._depth is not None and faces else None
        for name, (estimate, box) in zip(names, faces, strict=True):
            assert pinhole is not None
            distance_m = None if depth is None else depth_m(depth, box, (width, height))
            if distance_m is None:
                distance_m = pinhole.distance_m(box, settings.face_size_m)
            place = Place(pinhole, distance_m, self._header, settings.marker_lifetime_s)
            markers += to_markers(self._id(name), estimate, box, place)
        if markers:
            self._publisher.publish(MarkerArray(markers=markers))

    def end(self) -> None:
        """Nobody is seen any more, and another camera may come."""
        if self._ids:
            self._publisher.publish(MarkerArray(markers=deletions(self._ids.values(), self._header)))
        self._ids.clear()
        self.camera = None
        if self._depth is not None:
            self._depth.forget()

    def _set_camera(self, message: CameraInfo) -> None:
        self.camera = message
        self.heard += 1
        self.unusable += to_pinhole(message, 1, 1) is None

    def _id(self, name: str | int) -> int:
        if name not in self._ids:
            self._count = (self._count + 1) % 2**31  # int32 in the message
            self._ids[name] = self._count
        return self._ids[name]


@dataclass(frozen=True)
class Place:
    """Where a face is, and what its markers share.

    Attributes:
        pinhole: the camera of the image.
        distance_m: of the face along the optical axis.
        header: of the markers.
        lifetime_s: of the markers.
    """

    pinhole: Pinhole
    distance_m: float
    header: Header
    lifetime_s: float


def to_pinhole(camera: CameraInfo, width: int, height: int) -> Pinhole | None:
    """The camera of an image of a size in pixels; None without a focal length.

    CameraInfo speaks of the full resolution, and an image shows its region of interest, or all of it, in fewer pixels
    where the camera bins them or somebody has scaled it. An uncalibrated camera sends zeros, some send NaN. Lens
    distortion is not removed: it moves a marker a little, not what was estimated.
    """
    fx, fy, cx, cy = (float(camera.k[i]) for i in (0, 4, 2, 5))
    if not (all(map(math.isfinite, (fx, fy, cx, cy))) and fx > 0 and fy > 0):
        return None
    roi = camera.roi
    wide, high = roi.width or camera.width, roi.height or camera.height
    across = width / wide if wide else 1 / max(1, camera.binning_x)
    down = height / high if high else 1 / max(1, camera.binning_y)
    return Pinhole(fx * across, fy * down, (cx - roi.x_offset) * across, (cy - roi.y_offset) * down)


def to_markers(number: int, estimate: EmotionEstimate, box: Box, place: Place) -> list[Marker]:
    """Text and frame of a face, in the camera's optical frame (REP-103: x right, y down, z forward, metres)."""
    left, top, right, bottom = box.x, box.y, box.x + box.width, box.y + box.height

    def point(x: float, y: float, above_m: float = 0.0) -> Point:
        x_m, y_m, z_m = place.pinhole.point(x, y, place.distance_m)
        return Point(x=x_m, y=y_m - above_m, z=z_m)

    text, frame = (_marker(namespace, number, place.header) for namespace in (TEXTS, FRAMES))
    text.type, text.scale.z = Marker.TEXT_VIEW_FACING, _TEXT_M
    text.text = f"{estimate.label} {estimate.confidence:.0%}"
    text.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
    text.pose.position = point((left + right) / 2, top, above_m=_TEXT_M)  # its middle
    frame.type, frame.scale.x = Marker.LINE_STRIP, _LINE_M
    red, green, blue = (value / 255 for value in colour(estimate.label))
    frame.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
    corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
    frame.points = [point(*corner) for corner in corners]
    for marker in (text, frame):
        marker.pose.orientation.w = 1.0
        marker.lifetime = Duration(sec=int(place.lifetime_s), nanosec=int(place.lifetime_s % 1 * 1e9))
    return [text, frame]


def deletions(ids: Iterable[int], header: Header) -> list[Marker]:
    """What deletes the markers of people who are gone."""
    markers = [_marker(namespace, number, header) for number in ids for namespace in (TEXTS, FRAMES)]
    for marker in markers:
        marker.action = Marker.DELETE
    return markers


def _marker(namespace: str, number: int, header: Header) -> Marker:
    return Marker(header=header, ns=namespace, id=number)
