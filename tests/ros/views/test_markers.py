"""Markers: where they are, whose they are, and when they go."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from emotion_core.types import Box
from emotion_core.vision.palette import colour
from emotion_core.vision.space import Pinhole
from emotion_ros.base import qos
from emotion_ros.views.markers import MarkerConfig, Markers, Place, to_markers, to_pinhole

pytestmark = pytest.mark.ros
K = [600.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]
FULL = {"width": 640, "height": 480, "k": K}


@pytest.mark.parametrize(("at", "value"), [(0, 0.0), (4, math.nan), (2, math.nan), (5, math.inf), (0, -1.0)])
def test_a_camera_without_a_focal_length_is_none(at: int, value: float) -> None:
    assert to_pinhole(CameraInfo(k=K), 640, 480) == Pinhole(600, 500, 320, 240)
    assert to_pinhole(CameraInfo(k=[*K[:at], value, *K[at + 1 :]]), 640, 480) is None


@pytest.mark.parametrize(
    ("info", "size", "expected"),
    [
        (FULL, (640, 480), Pinhole(600, 500, 320, 240)),
        (FULL, (320, 240), Pinhole(300, 250, 160, 120)),  # somebody has scaled it
        (FULL | {"binning_x": 2, "binning_y": 2}, (320, 240), Pinhole(300, 250, 160, 120)),
        (FULL | {"roi": RegionOfInterest(x_offset=100, y_offset=40, width=400, height=200)}, (400, 200),
         Pinhole(600, 500, 220, 200)),
        (FULL | {"binning_x": 2, "binning_y": 4,
                 "roi": RegionOfInterest(x_offset=100, y_offset=40, width=400, height=200)}, (200, 50),
         Pinhole(300, 125, 110, 50)),
        ({"k": K, "binning_x": 2}, (320, 480), Pinhole(300, 500, 160, 240)),  # it does not know its size
    ],
)  # fmt: skip
def test_the_camera_of_the_image_is_that_of_its_pixels(
    info: dict[str, Any], size: tuple[int, int], expected: Pinhole
) -> None:
    assert to_pinhole(CameraInfo(**info), *size) == expected


def test_text_and_frame_lie_where_the_face_is(estimate: Any) -> None:
    place = Place(Pinhole(600, 500, 320, 240), 2.0, Header(frame_id="lens"), 1.5)
    text, frame = to_markers(7, estimate(label="sad"), Box(320, 240, 60, 100), place)
    # x right, y down, z forward: the corner on the axis is straight ahead.
    corners = [(0, 0), (0.2, 0), (0.2, 0.4), (0, 0.4), (0, 0)]
    assert [(p.x, p.y, p.z) for p in frame.points] == [(pytest.approx(x), pytest.approx(y), 2.0) for x, y in corners]
    position = text.pose.position
    assert (position.x, position.z) == (pytest.approx(0.1), 2.0)
    assert position.y + text.scale.z / 2 < 0  # its lower edge is above the frame
    assert (text.type, frame.type) == (Marker.TEXT_VIEW_FACING, Marker.LINE_STRIP)
    assert text.text == "sad 80%"
    rgb = tuple(value / 255 for value in colour("sad"))
    assert (frame.color.r, frame.color.g, frame.color.b, frame.color.a) == pytest.approx((*rgb, 1.0))
    for marker in (text, frame):
        assert (marker.id, marker.header.frame_id, marker.action) == (7, "lens", Marker.ADD)
        assert marker.pose.orientation.w == 1.0
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (1, 500_000_000)


# ---- on a node -----------------------------------------------------------------------------------------------------


class Room:
    """A node with markers, a camera for it, and what it publishes."""

    def __init__(self, ros_node: Any, spin_until: Any, node: Any) -> None:
        self.ros, self.spin, self.node = ros_node, spin_until, node
        self.arrays: list[MarkerArray] = []
        ros_node.create_subscription(MarkerArray, "stage/markers", self.arrays.append, qos.ESTIMATES)
        assert spin_until(lambda: node.view._publisher.get_subscription_count() > 0)
        node.view.camera = CameraInfo(header=Header(frame_id="of the camera"), **FULL)

    def see(self, picture: Any, estimates: list[Any], stamp_s: float = 1.0, **kwargs: Any) -> list[Marker]:
        count = len(self.arrays)
        self.node.see(picture, estimates, stamp_s, **kwargs)
        assert self.spin(lambda: len(self.arrays) > count)
        return list(self.arrays[-1].markers)


@pytest.fixture
def room(ros_node: Any, spin_until: Any, stage: Any) -> Callable[..., Room]:
    """Call with settings."""
    return lambda **settings: Room(ros_node, spin_until, stage(lambda node: Markers(node, MarkerConfig(**settings))))


def brief(markers: list[Marker]) -> list[tuple[str, int, str]]:
    return [(m.ns, m.id, {Marker.ADD: m.text or "frame", Marker.DELETE: "gone"}[m.action]) for m in markers]


def test_people_keep_their_markers_and_only_who_left_loses_them(room: Any, grey: Any, estimate: Any) -> None:
    here = room()
    anna, ben, cleo = (estimate(track=name, label=label) for name, label in
                       (("41", "happy"), ("8", "sad"), ("97", "fear")))  # fmt: skip
    here.node.see(grey, [])  # nobody: nothing is published
    assert brief(here.see(grey, [anna, ben])) == [
        ("emotions", 1, "happy 80%"), ("faces", 1, "frame"), ("emotions", 2, "sad 80%"), ("faces", 2, "frame"),
    ]  # fmt: skip
    assert len(here.arrays) == 1
    assert brief(here.see(grey, [ben])) == [
        ("emotions", 1, "gone"), ("faces", 1, "gone"), ("emotions", 2, "sad 80%"), ("faces", 2, "frame"),
    ]  # fmt: skip
    assert [m[1] for m in brief(here.see(grey, [ben, cleo, estimate(None)]))] == [2, 2, 3, 3]
    assert brief(here.see(grey, [])) == [
        ("emotions", 2, "gone"), ("faces", 2, "gone"), ("emotions", 3, "gone"), ("faces", 3, "gone"),
    ]  # fmt: skip
    assert [m[1] for m in brief(here.see(grey, [ben]))] == [4, 4]


def test_whom_nothing_follows_gets_markers_too(room: Any, grey: Any, estimate: Any) -> None:
    here = room()
    two = [estimate(track=""), estimate(track="")]
    assert [m.id for m in here.see(grey, two)] == [1, 1, 2, 2]
    assert brief(here.see(grey, two[:1]))[0] == ("emotions", 2, "gone")


def test_the_end_takes_everybody_away(room: Any, grey: Any, estimate: Any) -> None:
    here = room()
    here.see(grey, [estimate()])
    here.node.view.end()
    assert here.spin(lambda: len(here.arrays) == 2)
    assert brief(here.arrays[-1].markers) == [("emotions", 1, "gone"), ("faces", 1, "gone")]
    assert here.node.view.camera is None
    here.node.view.end()
    here.node.see(grey, [estimate()])  # without a calibration nothing is known
    here.spin(lambda: False, timeout_s=0.2)
    assert len(here.arrays) == 2


def test_headers_are_those_of_the_image(room: Any, grey: Any, estimate: Any) -> None:
    here = room()
    markers = here.see(grey, [estimate()], 3.25)
    assert {(m.header.frame_id, m.header.stamp.sec, m.header.stamp.nanosec) for m in markers} == {
        ("lens", 3, 250_000_000)
    }
    assert here.see(grey, [estimate()], frame_id="")[0].header.frame_id == "of the camera"


def test_the_distance_follows_from_the_size_also_at_the_border(room: Any, grey: Any, estimate: Any) -> None:
    here = room(face_size_m=0.2)
    inside, outside = Box(300, 100, 100, 120), Box(-60, 100, 100, 120)
    expected = 0.2 * math.sqrt(600 * 500 / 12000)
    for box in (inside, outside):
        text, _ = here.see(grey, [estimate(box)])
        assert text.pose.position.z == pytest.approx(expected)
    assert text.pose.position.x == pytest.approx((-10 - 320) / 600 * expected)
    # A picture of half the size shows the same face in the same place.
    half = here.see(grey[::2, ::2], [estimate(Box(150, 50, 50, 60))])[0].pose.position
    whole = here.see(grey, [estimate(inside)])[0].pose.position
    assert (half.x, half.y, half.z) == pytest.approx((whole.x, whole.y, whole.z))


# ---- depth ---------------------------------------------------------------------------------------------------------


def depth_image(depth: np.ndarray, stamp_s: float, encoding: str, big: bool = False) -> Image:
    depth = depth.astype(depth.dtype.newbyteorder(">" if big else "<"))
    height, width = depth.shape
    stamp = Time(sec=int(stamp_s), nanosec=round(stamp_s % 1 * 1e9))
    return Image(
        header=Header(stamp=stamp, frame_id="lens"), height=height, width=width, encoding=encoding,
        step=width * depth.itemsize, is_bigendian=int(big), data=array("B", depth.tobytes()),
    )  # fmt: skip


@pytest.mark.parametrize(("encoding", "big"), [("16UC1", False), ("16UC1", True), ("32FC1", False)])
def test_the_distance_is_the_median_of_the_depth(
    room: Any, ros_node: Any, grey: Any, estimate: Any, encoding: str, big: bool
) -> None:
    here = room(markers_from="depth")
    near = np.full((240, 320), 3.0)  # the wall; the face is nearer
    near[60:140, 100:160] = 1.25
    near[60:140:3, 100:160] = 0.0 if encoding == "16UC1" else math.nan
    depth = (near * 1000).astype(np.uint16) if encoding == "16UC1" else near.astype(np.float32)
    publisher = ros_node.create_publisher(Image, "depth", qos.IMAGE_OUT)
    assert here.spin(lambda: publisher.get_subscription_count() > 0)
    publisher.publish(depth_image(np.full_like(depth, 9), 0.5, encoding, big))
    publisher.publish(depth_image(depth, 1.0, encoding, big))
    view = here.node.view
    assert here.spin(lambda: view._depth.at(1.0) is not None)
    text, frame = here.see(grey, [estimate(Box(200, 120, 120, 160))], 1.05)
    assert text.pose.position.z == pytest.approx(1.25)
    assert {point.z for point in frame.points} == {text.pose.position.z}
    by_size = 0.16 * math.sqrt(600 * 500 / (120 * 160))
    assert here.see(grey, [estimate(Box(200, 120, 120, 160))], 2.0)[0].pose.position.z == pytest.approx(by_size)
    view.end()
    assert view._depth.at(1.0) is None


def test_depth_is_heard_only_where_it_is_asked_for(room: Any) -> None:
    topics = {subscription.topic_name for subscription in room().node.subscriptions}
    assert "/camera_info" in topics and "/depth" not in topics


def test_a_depth_image_that_is_none_is_told_and_left_out(
    room: Any, ros_node: Any, grey: Any, estimate: Any, capfd: Any
) -> None:
    here = room(markers_from="depth")
    here.node.view._depth._add(depth_image(np.ones((4, 4), np.uint16), 1.0, "8UC1"))
    text, _ = here.see(grey, [estimate(Box(200, 120, 120, 160))], 1.0)
    assert text.pose.position.z == pytest.approx(0.16 * math.sqrt(600 * 500 / (120 * 160)))
    assert "no use of a depth image: expected a depth image in 16UC1" in capfd.readouterr().err
