"""What the facial node makes of a stream: of its stamps, its rate, its interruptions; a recording twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from emotion_perception.msg import EmotionEstimate, EmotionEstimates
from rclpy.parameter import Parameter
from rclpy.time import Time as RosTime
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from emotion_core.media.clip import sample_photo, window
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.types import Box, Face
from emotion_ros.base import qos
from emotion_ros.facial_node import FacialNode
from emotion_ros.messages import images

pytestmark = pytest.mark.ros


class Stream:
    """Sends pictures with stamps to a node, one after the other, and collects what comes back."""

    def __init__(self, ros_node: Any, spin_until: Any, node: FacialNode) -> None:
        self.spin, self.node = spin_until, node
        self.answers: list[EmotionEstimates] = []
        self.publisher = ros_node.create_publisher(Image, "image", qos.IMAGE_OUT)
        topic = f"{node.get_name()}/estimates"
        self.listener = ros_node.create_subscription(EmotionEstimates, topic, self.answers.append, qos.ESTIMATES)

    def start(self) -> Stream:
        if self.node.pipeline is None:
            self.node.trigger_configure()
        self.node.trigger_activate()
        assert self.spin(lambda: self.publisher.get_subscription_count() and self.listener.get_publisher_count())
        estimates = self.node._estimates
        assert self.spin(lambda: estimates.get_subscription_count() > 0)
        return self

    def publish(self, picture: np.ndarray, stamp_s: float) -> None:
        stamp = RosTime(nanoseconds=round(stamp_s * 1e9)).to_msg() if stamp_s else Time()
        self.publisher.publish(images.to_message(picture, Header(stamp=stamp, frame_id="lens")))

    def send(self, picture: np.ndarray, stamp_s: float) -> list[EmotionEstimate]:
        """The estimates of one picture; the next one is sent only then, so none is dropped."""
        count = len(self.answers)
        self.publish(picture, stamp_s)
        assert self.spin(lambda: len(self.answers) > count)
        return list(self.answers[-1].estimates)

    def ids(self, pictures: Sequence[np.ndarray], stamps_s: Sequence[float]) -> list[str]:
        """The id of the one face in each of them."""
        found = [self.send(picture, stamp_s) for picture, stamp_s in zip(pictures, stamps_s, strict=True)]
        assert [len(estimates) for estimates in found] == [1] * len(stamps_s)
        return [estimate.track_id for (estimate,) in found]


@pytest.fixture
def stream(ros_node: Any, spin_until: Any, spin_with: Any) -> Callable[..., Stream]:
    """Make a facial node in this process, active."""

    def make(name: str = "facial", **values: Any) -> Stream:
        values = {"detector": "haar", "diagnostics_period_s": 0.1} | values
        return Stream(ros_node, spin_until, spin_with(FacialNode, name, **values)).start()

    return make


@pytest.fixture(scope="module")
def face(portrait: np.ndarray) -> np.ndarray:
    """(480, 512, 3) uint8: one face."""
    return np.ascontiguousarray(portrait[:480])


@pytest.fixture(scope="module")
def other(face: np.ndarray) -> np.ndarray:
    """The same face at the same place in another light."""
    return (face // 2 + 20).astype(np.uint8)


def probabilities(picture: np.ndarray) -> np.ndarray:
    """Those of the one face of a picture, of which nothing is known before."""
    (estimate,) = FacialPipeline(FacialConfig(detector="haar")).process(picture, 1.0)
    return np.array(estimate.probabilities)


def test_stamps_that_stand_still_freeze_nothing(stream: Any, face: np.ndarray, other: np.ndarray) -> None:
    facial = stream()
    first, again, last = (facial.send(picture, 5.0) for picture in (face, other, other))
    assert np.abs(probabilities(face) - probabilities(other)).max() > 0.01  # there is something to tell apart
    np.testing.assert_allclose(first[0].probabilities, probabilities(face), atol=1e-6)
    np.testing.assert_allclose(again[0].probabilities, probabilities(other), atol=1e-6)
    assert {estimates[0].track_id for estimates in (first, again, last)} == {"1"}


def test_unset_stamps_are_smoothed_by_the_time_of_arrival(
    stream: Any, health_of: Any, face: np.ndarray, other: np.ndarray
) -> None:
    health = health_of("facial")
    facial = stream(smoothing_s=60.0)
    facial.send(face, 0)
    (estimate,) = facial.send(other, 0)
    np.testing.assert_allclose(estimate.probabilities, probabilities(face), atol=0.01)  # a moment is little of 60 s
    assert facial.answers[0].header.stamp.sec >= int(time.time()) - 60
    assert facial.spin(lambda: health.count("unstamped") == 2)


@pytest.mark.parametrize(
    "stamps_s",
    [
        (10.0, 10.1, 10.099, 10.2, 10.15, 10.3),  # out of order by a little
        (10.0, 11.0, 12.0, 13.0, 14.0),  # one a second
        (10.0, 13.0, 16.0, 19.0),  # one in three seconds
    ],
)
def test_one_face_keeps_one_id(stream: Any, face: np.ndarray, stamps_s: tuple[float, ...]) -> None:
    assert set(stream().ids([face] * len(stamps_s), stamps_s)) == {"1"}


def test_one_face_keeps_one_id_while_most_frames_are_dropped(stream: Any, health_of: Any, face: np.ndarray) -> None:
    health = health_of("facial")
    facial = stream()
    estimate = facial.node.estimate
    facial.node.estimate = lambda *arguments: (time.sleep(0.7), estimate(*arguments))[1]  # a busy machine
    begun_s, sent = time.monotonic(), 0

    def enough() -> bool:
        nonlocal sent
        if time.monotonic() >= begun_s + sent / 20:
            facial.publish(face, 100 + sent / 20)
            sent += 1
        return len(facial.answers) >= 5

    assert facial.spin(enough)
    ids = [e.track_id for answer in facial.answers for e in answer.estimates]
    assert len(ids) >= 5 and set(ids) == {"1"}
    assert facial.spin(lambda: health.count("dropped") + health.count("lost") > 10)


def test_a_stream_that_starts_again_is_somebody_new(stream: Any, face: np.ndarray) -> None:
    assert stream().ids([face] * 4, (100.0, 100.1, 20.0, 20.1)) == ["1", "1", "2", "2"]


def test_ids_are_never_used_twice(stream: Any, face: np.ndarray) -> None:
    facial = stream()
    assert facial.ids([face], [1.0]) == ["1"]
    (result,) = facial.node.set_parameters([Parameter("min_iou", value=0.4)])
    assert result.successful
    assert facial.ids([face], [1.1]) == ["1"]  # new settings forget nobody
    facial.node.trigger_deactivate()
    assert facial.start().ids([face], [1.2]) == ["2"]
    facial.node.trigger_deactivate()
    facial.node.trigger_cleanup()
    assert facial.start().ids([face], [1.3]) == ["3"]


def test_a_parameter_that_was_set_counts(stream: Any, face: np.ndarray) -> None:
    facial = stream()
    assert len(facial.send(face, 1.0)) == 1
    twice = np.concatenate([face, face], axis=1)
    assert len(facial.send(twice, 1.1)) == 2
    facial.node.set_parameters([Parameter("max_faces", value=1)])
    assert len(facial.send(twice, 1.2)) == 1


def test_a_recording_twice_gives_the_same_estimates(stream: Any) -> None:
    """Through two nodes, and through one node twice: all but the ids of the second time."""
    photo, times_s = sample_photo(), np.arange(12) / 10
    frames, stamps_s = [window(photo, t) for t in times_s], [50 + float(t) for t in times_s]

    def replay(facial: Stream) -> list[EmotionEstimates]:
        facial.answers.clear()
        for frame, stamp_s in zip(frames, stamps_s, strict=True):
            facial.send(frame, stamp_s)
        return list(facial.answers)

    facial = stream()
    first = replay(facial)
    assert sum(len(answer.estimates) for answer in first) >= 6
    again = replay(facial)
    facial.node.trigger_shutdown()
    assert replay(stream("other")) == first
    ids = {e.track_id for answer in first for e in answer.estimates}
    assert ids.isdisjoint(e.track_id for answer in again for e in answer.estimates)
    for answer in (*first, *again):
        for estimate in answer.estimates:
            estimate.track_id = ""
    assert again == first


# ---- trouble in mid-stream -----------------------------------------------------------------------------------------


def test_the_resolution_may_change(stream: Any, face: np.ndarray) -> None:
    facial = stream(detect_every=3)
    sizes = [face.shape[1::-1], (256, 240), (256, 240), (1024, 960), face.shape[1::-1]]
    for i, (width, height) in enumerate(sizes):
        picture = cv2.resize(face, (width, height))
        (estimate,) = facial.send(picture, 10 + i / 30)
        roi = estimate.roi
        assert 0 < roi.x_offset + roi.width <= width and 0 < roi.y_offset + roi.height <= height
        assert roi.width / width == pytest.approx(0.35, abs=0.15)


def test_two_publishers_and_their_frames_are_told_apart_by_the_header(
    stream: Any, ros_node: Any, face: np.ndarray
) -> None:
    facial = stream()
    other = ros_node.create_publisher(Image, "image", qos.IMAGE_OUT)
    assert facial.spin(lambda: other.get_subscription_count() > 0)
    for i in range(6):
        count, frame_id = len(facial.answers), ("lens", "tail")[i % 2]
        stamp = RosTime(nanoseconds=(100 + i) * 10**8).to_msg()
        publisher = (facial.publisher, other)[i % 2]
        publisher.publish(images.to_message(face, Header(stamp=stamp, frame_id=frame_id)))
        assert facial.spin(lambda count=count: len(facial.answers) > count)
        answer = facial.answers[-1]
        assert (answer.header.frame_id, answer.header.stamp) == (frame_id, stamp)
        assert {estimate.header.frame_id for estimate in answer.estimates} == {frame_id}


def test_thousands_of_faces_of_a_broken_detector(stream: Any, health_of: Any, face: np.ndarray) -> None:
    health = health_of("facial")
    facial = stream(max_faces=8)
    rng = np.random.default_rng(0)
    faces = [Face(Box(*rng.uniform(-50, 500, 2), *rng.uniform(1, 300, 2))) for _ in range(5000)]
    real = facial.node.pipeline.detector.detect
    facial.node.pipeline.detector.detect = lambda image: faces
    for i in range(3):
        assert len(facial.send(face, 10 + i)) == 8
    facial.node.pipeline.detector.detect = real
    assert len(facial.send(face, 20)) == 1
    assert facial.spin(lambda: health.count("processed") == 4 and health.values["faces"] == "1")
    assert health.count("rejected") == 0


def test_a_simulated_clock_that_jumps_changes_nothing(
    ros_node: Any, spin_until: Any, spin_with: Any, face: np.ndarray
) -> None:
    """Stamps are the images'; the clock is asked for an image without one only."""
    node = spin_with(FacialNode, "facial", use_sim_time=True, detector="haar")
    clock = ros_node.create_publisher(Clock, "/clock", 10)
    facial = Stream(ros_node, spin_until, node).start()
    assert spin_until(lambda: clock.get_subscription_count() > 0)
    ids = []
    for i, second in enumerate((1000, 5, 0, 2_000_000_000)):
        clock.publish(Clock(clock=Time(sec=second)))
        if second:
            assert spin_until(lambda second=second: node.get_clock().now().nanoseconds == second * 10**9)
        (estimate,) = facial.send(face, 50 + 0.1 * i)
        ids.append(estimate.track_id)
    assert set(ids) == {"1"}
    facial.send(face, 0)
    assert facial.answers[-1].header.stamp.sec == 2_000_000_000
