"""The facial node with the faces of another node, which publishes as hri_face_detect does, over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rclpy
from emotion_perception.msg import EmotionEstimates
from hri_msgs.msg import Expression, IdsList, NormalizedRegionOfInterest2D
from rclpy.context import Context
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from emotion_ros.audiovisual_node import AudiovisualNode
from emotion_ros.base import qos
from emotion_ros.facial_node import FacialNode
from emotion_ros.messages.conversions import to_seconds
from emotion_ros.views.hri import FACES, TRACKED
from emotion_ros.views.hri_faces import HELD_IMAGES, MAX_FACES

pytestmark = pytest.mark.ros
ANNA, BERT = (0.25, 0.25, 0.5, 0.625), (0.5, 0.125, 0.875, 0.5)
"""(xmin, ymin, xmax, ymax) in shares."""


class Detector:
    """The regions of an image, then its list, all with its header; topics of a face live while it is listed."""

    def __init__(self, node: Any) -> None:
        self.node, self.regions = node, {}  # type: ignore[var-annotated]
        self.list = node.create_publisher(IdsList, TRACKED, 1)

    def tell(self, header: Header, people: dict[str, Any], unseen: tuple[str, ...] = ()) -> None:
        for name in list(self.regions):
            if name not in (*people, *unseen):
                self.node.destroy_publisher(self.regions.pop(name))
        for name, (xmin, ymin, xmax, ymax) in people.items():
            if name not in self.regions:
                self.regions[name] = self.node.create_publisher(NormalizedRegionOfInterest2D, f"{FACES}/{name}/roi", 1)
            self.regions[name].publish(
                NormalizedRegionOfInterest2D(header=header, xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax, c=0.9)
            )
        self.list.publish(IdsList(header=header, ids=[*people, *unseen]))


@pytest.fixture
def detector(ros_node: Any) -> Detector:
    return Detector(ros_node)


@pytest.fixture
def told(camera: Any, detector: Detector, spin_until: Any, face: np.ndarray) -> Callable[..., dict[str, Any]]:
    """Show images and tell whose faces are in them until the node has heard of all of them, and a condition holds.

    Returns what it estimates, by id.
    """

    def show(
        answers: list[EmotionEstimates], people: dict[str, Any], condition: Callable[[], Any] = lambda: True
    ) -> dict[str, Any]:
        end_s = time.monotonic() + 60
        while time.monotonic() < end_s:
            header = camera.show(face)
            detector.tell(header, people)
            if spin_until(lambda header=header: answers and answers[-1].header == header, timeout_s=0.5):
                found = {e.track_id: e for e in answers[-1].estimates}
                if found.keys() == people.keys() and condition():
                    return found
        raise AssertionError(f"nothing comes but {answers[-1:]}")

    return show


@pytest.mark.parametrize("kind", [FacialNode, AudiovisualNode])
def test_faces_and_ids_are_the_other_node_s(facial: Any, told: Any, kind: Any) -> None:
    node = facial(faces="hri", kind=kind)
    found = told(node.answers, {"anna": ANNA, "bert": BERT})
    places = {name: (e.roi.x_offset, e.roi.y_offset, e.roi.width, e.roi.height) for name, e in found.items()}
    assert places == {"anna": (128, 120, 128, 180), "bert": (256, 60, 192, 180)}
    assert [e.detection_score for e in found.values()] == [pytest.approx(0.9)] * 2
    assert all(abs(sum(e.probabilities) - 1) < 1e-5 for e in found.values())
    assert node.answers[-1].estimates[0].track_id == "bert"  # the larger
    assert told(node.answers, {"anna": ANNA}).keys() == {"anna"}
    assert told(node.answers, {}) == {}
    assert told(node.answers, {"cleo": BERT}).keys() == {"cleo"}


def test_one_of_our_nodes_finds_faces_for_the_other(facial: Any, seen_until: Any, face: np.ndarray) -> None:
    finds = facial("finds", hri=True)
    takes = facial("takes", faces="hri", hri=True)

    def agreed() -> bool:
        theirs = {to_seconds(answer.header.stamp): answer for answer in takes.answers if answer.estimates}
        both = [(answer, theirs[at]) for answer in finds.answers if (at := to_seconds(answer.header.stamp)) in theirs]
        for (one,), (other,) in ((a.estimates, b.estimates) for a, b in both):
            assert other.track_id.endswith(one.track_id) and len(other.track_id) == 5 + len(one.track_id)
            assert one.detection_score == other.detection_score
            np.testing.assert_allclose(
                [one.roi.x_offset, one.roi.y_offset, one.roi.width, one.roi.height],
                [other.roi.x_offset, other.roi.y_offset, other.roi.width, other.roi.height],
                atol=1,
            )
        return len(both) >= 3

    seen_until(finds, face, agreed)


def test_images_wait_for_their_faces(
    facial: Any, told: Any, camera: Any, detector: Detector, face: np.ndarray, health_of: Any, spin_until: Any
) -> None:
    """A detector that takes long: the faces of an image come when three others have been shown."""
    health = health_of("facial")
    node = facial(faces="hri")
    told(node.answers, {"anna": ANNA})
    assert spin_until(lambda: health.count("processed") >= 1)
    processed, dropped, count = health.count("processed"), health.count("dropped"), len(node.answers)
    headers = []
    for waiting in (1, 2, 3, 4):
        headers.append(camera.show(face))
        assert spin_until(lambda waiting=waiting: len(node._given._images) == waiting)  # type: ignore[misc]
    assert not spin_until(lambda: len(node.answers) > count, timeout_s=0.5)
    detector.tell(headers[1], {"anna": BERT})
    assert spin_until(lambda: len(node.answers) > count)
    assert node.answers[-1].header == headers[1]
    assert node.answers[-1].estimates[0].roi.x_offset == 256
    assert spin_until(lambda: health.count("processed") == processed + 1 and health.count("dropped") == dropped + 1)
    node.trigger_deactivate()  # two still wait
    assert spin_until(lambda: health.count("dropped") == dropped + 3)


def test_who_is_listed_but_not_seen_in_an_image(
    facial: Any, told: Any, camera: Any, detector: Detector, face: np.ndarray, spin_until: Any
) -> None:
    """hri_face_detect lists somebody for some images after the last sight; that is known with the next list."""
    node = facial(faces="hri")
    told(node.answers, {"anna": ANNA, "bert": BERT})
    count, first = len(node.answers), camera.show(face)
    detector.tell(first, {"anna": ANNA}, unseen=("bert",))
    assert not spin_until(lambda: len(node.answers) > count, timeout_s=0.5)
    second = camera.show(face)
    detector.tell(second, {"anna": ANNA}, unseen=("bert",))
    assert spin_until(lambda: len(node.answers) > count)
    assert node.answers[-1].header == first
    assert [e.track_id for e in node.answers[-1].estimates] == ["anna"]


def test_without_lists_the_node_says_so(
    facial: Any, camera: Any, face: np.ndarray, health_of: Any, spin_until: Any, capfd: Any
) -> None:
    health = health_of("facial")
    facial(faces="hri", stale_warn_s=0.5, stale_error_s=1.0)
    for _ in range(HELD_IMAGES + 5):
        camera.show(face)
        spin_until(lambda: False, timeout_s=0.02)
    assert spin_until(lambda: "no faces on /humans/faces/tracked for" in health.message)
    said = ""

    def warned() -> bool:
        nonlocal said
        camera.show(face)
        said += capfd.readouterr().err
        return "no faces come on /humans/faces/tracked for the images" in said and health.level == b"\x02"

    assert spin_until(warned)  # an error, though images come: without faces they are of no use
    assert health.values["detector"] == "hri" and float(health.values["age_s"]) < 0.9
    assert spin_until(lambda: health.count("dropped") > 0)


def test_a_broken_detector_is_survived(
    facial: Any, told: Any, camera: Any, detector: Detector, face: np.ndarray, spin_until: Any, capfd: Any
) -> None:
    """Thousands of faces, names that are no names, boxes that are no boxes."""
    node = facial(faces="hri")
    told(node.answers, {"anna": ANNA})
    subscriptions = len(list(node.subscriptions))
    nan = float("nan")
    detector.tell(camera.show(face), {"anna": ANNA, "bert": (nan, 0.0, 1.0, 1.0), "cleo": (0.5, 0.5, 0.5, 0.75)})
    header = camera.show(face)
    detector.list.publish(IdsList(header=header, ids=["a b", "9", "", "anna", "anna", *(f"x{i}" for i in range(5000))]))
    assert spin_until(lambda: len(list(node.subscriptions)) == subscriptions + MAX_FACES - 1)
    said = capfd.readouterr().err
    assert "ids that cannot be part of a topic's name" in said and f"only the first {MAX_FACES} count" in said
    assert "Traceback" not in said
    assert told(node.answers, {"anna": ANNA}).keys() == {"anna"}
    assert len(list(node.subscriptions)) == subscriptions


def test_a_face_without_a_region_is_told(
    facial: Any,
    told: Any,
    camera: Any,
    detector: Detector,
    face: np.ndarray,
    spin_until: Any,
    capfd: Any,
    ros_domain: int,
) -> None:
    """As where the other node follows an old draft of REP-155, with a message in pixels and without a stamp."""
    context = Context()  # a participant of its own, for one cannot have two types on a topic
    rclpy.init(context=context, domain_id=ros_domain)
    old_node = rclpy.create_node("old", context=context)
    old = old_node.create_publisher(RegionOfInterest, f"{FACES}/bert/roi", 1)
    node = facial(faces="hri")
    told(node.answers, {"anna": ANNA})
    expected = "nothing comes on /humans/faces/bert/roi: expected hri_msgs/msg/NormalizedRegionOfInterest2D, found "
    said = ""

    def warned() -> bool:
        nonlocal said
        old.publish(RegionOfInterest(width=10, height=10))
        detector.tell(camera.show(face), {"anna": ANNA}, unseen=("bert",))
        said += capfd.readouterr().err
        return f"{expected}sensor_msgs/msg/RegionOfInterest" in said

    assert spin_until(warned), said
    old_node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_process_adds_expressions_to_the_faces_of_another_node(
    ros_node: Any, camera: Any, detector: Detector, told: Any, spin_until: Any, end_all: Any
) -> None:
    """The whole of it, with the executable: one node finds faces, the other tells what they express."""
    answers: list[Any] = []
    said: list[Any] = []
    ros_node.create_subscription(EmotionEstimates, "facial/estimates", answers.append, qos.ESTIMATES)
    ros_node.create_subscription(Expression, f"{FACES}/anna/expression", said.append, qos.ESTIMATES)
    settings = ("faces:=hri", "hri:=true", "hri_cropped:=true", "detector:=haar")
    command = [sys.executable, "-m", "emotion_ros.facial_node", "--ros-args"]
    command += [word for setting in settings for word in ("-p", setting)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    )
    try:
        assert spin_until(lambda: camera.publisher.get_subscription_count() > 0)
        estimate = told(answers, {"anna": ANNA}, lambda: said)["anna"]
        assert spin_until(lambda: said[-1].header == answers[-1].header)
        assert said[-1].confidence == answers[-1].estimates[0].confidence
        # The list, the regions and the pictures are the other node's.
        expected = {"tracked": 1, "anna/roi": 1, "anna/cropped": 0, "anna/expression": 1}
        assert {topic: ros_node.count_publishers(f"{FACES}/{topic}") for topic in expected} == expected
        assert estimate.detection_score == pytest.approx(0.9)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0, output
        assert "detector hri" in output
    finally:
        end_all([process])
