"""What may change while the facial node works: every live parameter has its effect, and nobody is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from emotion_perception.msg import EmotionEstimates, ModelInfo
from rclpy.parameter import Parameter
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from emotion_core.parameters import parameter_of
from emotion_core.pipeline.facial import FacialConfig
from emotion_ros.base import qos
from emotion_ros.facial_node import FacialNode
from emotion_ros.messages import images

pytestmark = pytest.mark.ros


class Camera:
    """Sends a picture ten times a second of its own clock, and waits for what the node says of each."""

    def __init__(self, ros_node: Any, spin: Any, node: FacialNode, client_of: Any) -> None:
        self.spin, self.node, self.client_of, self.at = spin, node, client_of, 0
        self.answers: list[EmotionEstimates] = []
        self.images = ros_node.create_publisher(Image, "image", qos.IMAGE_OUT)
        ros_node.create_subscription(
            EmotionEstimates, f"{node.get_name()}/estimates", self.answers.append, qos.ESTIMATES
        )
        node.start()
        self.connect()

    def connect(self) -> None:
        assert self.spin(lambda: self.images.get_subscription_count() and self.node._estimates.get_subscription_count())

    def publish(self, picture: np.ndarray) -> None:
        self.at += 1
        stamp = Time(nanoseconds=self.at * 100_000_000).to_msg()
        self.images.publish(images.to_message(picture, Header(stamp=stamp, frame_id="lens")))

    def see(self, picture: np.ndarray) -> list[Any]:
        count = len(self.answers)
        self.publish(picture)
        assert self.spin(lambda: len(self.answers) > count)
        return list(self.answers[-1].estimates)

    def set(self, **values: Any) -> None:
        """Set parameters, and wait until they count."""
        results = self.node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        assert all(result.successful for result in results), results
        config = self.node.pipeline
        assert config is not None
        assert self.spin(lambda: all(getattr(config.config, name) == value for name, value in values.items()))

    def call(self, kind: Any, service: str, request: Any) -> Any:
        future = self.client_of(kind, f"{self.node.get_name()}/{service}").call_async(request)
        assert self.spin(future.done)
        return future.result()


@pytest.fixture
def camera(ros_node: Any, spin_until: Any, spin_with: Any, client_of: Any) -> Callable[..., Camera]:
    """Make a facial node in this process, active, and its camera."""

    def make(**values: Any) -> Camera:
        values = {"detector": "haar", "smoothing_s": 0.0, "detect_every": 1, "diagnostics_period_s": 0.1} | values
        return Camera(ros_node, spin_until, spin_with(FacialNode, "facial", **values), client_of)

    return make


@pytest.fixture(scope="module")
def two(portrait: np.ndarray) -> np.ndarray:
    """(480, 768, 3) uint8: a large face on the left and a smaller one on the right."""
    import cv2

    small = cv2.resize(portrait[:480], (256, 240))
    right = np.full((480, 256, 3), 90, np.uint8)
    right[120:360] = small
    return np.concatenate([portrait[:480], right], axis=1)


LIVE = {
    "model", "provider", "detector", "detect_every", "detection_size", "min_score", "min_face_px", "regions",
    "max_faces", "min_iou", "max_gap_s", "smoothing_s", "threads", "prior",
}  # fmt: skip


def test_these_are_all_that_can_change() -> None:
    """One that is added here wants a test of its effect below."""
    found = {item.name for item in fields(FacialConfig) if (p := parameter_of(item)) is not None and not p.read_only}
    assert found == LIVE


def test_who_counts_changes_at_once(camera: Any, two: np.ndarray) -> None:
    node = camera()
    assert len(node.see(two)) == 2
    large, small = node.see(two)
    for values, left in (
        ({"max_faces": 1}, [large]),
        ({"max_faces": 16, "min_face_px": small.roi.width + 5}, [large]),
        ({"min_face_px": 0, "regions": "0.6 0 0.4 1"}, [small]),
        ({"regions": "", "min_score": 1.0}, []),
        ({"min_score": 0.7, "detection_size": 64}, []),  # too small for the cascade
        ({"detection_size": 320}, [large, small]),
    ):
        node.set(**values)
        found = node.see(two)
        assert [abs(e.roi.x_offset - o.roi.x_offset) < 20 for e, o in zip(found, left, strict=True)] == [True] * len(
            left
        ), values


def test_who_is_who_changes_at_once(camera: Any, portrait: np.ndarray) -> None:
    node, face = camera(), np.ascontiguousarray(portrait[:480, :400])
    moved = np.ascontiguousarray(portrait[:480, 45:445])
    (first,) = node.see(face)
    (second,) = node.see(moved)
    assert first.track_id == second.track_id
    node.set(min_iou=0.95)
    (third,) = node.see(face)
    assert third.track_id != first.track_id  # so little a face may move now
    node.set(min_iou=0.3, max_gap_s=0.0)
    empty = np.zeros_like(face)
    for _ in range(4):
        node.see(empty)
    (fourth,) = node.see(face)
    assert fourth.track_id != third.track_id
    node.set(max_gap_s=60.0)
    for _ in range(4):
        node.see(empty)
    (fifth,) = node.see(face)
    assert fifth.track_id == fourth.track_id


def test_smoothing_changes_at_once(camera: Any, portrait: np.ndarray) -> None:
    node, face = camera(), np.ascontiguousarray(portrait[:480])
    dark = (face // 2 + 20).astype(np.uint8)
    (bright,), (plain,) = node.see(face), node.see(dark)
    assert np.abs(np.subtract(bright.probabilities, plain.probabilities)).max() > 0.01
    node.see(face)
    node.set(smoothing_s=60.0)
    (smoothed,) = node.see(dark)
    np.testing.assert_allclose(smoothed.probabilities, bright.probabilities, atol=0.005)


def test_what_is_expected_changes_at_once(camera: Any, portrait: np.ndarray) -> None:
    node, face = camera(prior="learned"), np.ascontiguousarray(portrait[:480])
    (learned,) = node.see(face)
    node.set(prior="1 1000 1 1 1 1 1 1")
    (happy,) = node.see(face)
    calibration = node.node.pipeline.classifier.card.calibration
    expected = np.array(learned.probabilities) * [1, 1000, 1, 1, 1, 1, 1, 1] / np.array(calibration["learned"])
    assert happy.label == "happy" and happy.track_id == learned.track_id
    # The mean over the branches is taken afterwards, so this is near, and not the same.
    np.testing.assert_allclose(happy.probabilities, expected / expected.sum(), atol=0.05)
    (result,) = node.node.set_parameters([Parameter("prior", value="mostly harmless")])
    assert not result.successful and "expected uniform" in result.reason
    assert node.see(face)[0].label == "happy"


def test_faces_are_followed_from_then_on(camera: Any, portrait: np.ndarray) -> None:
    node, face = camera(), np.ascontiguousarray(portrait[:480])
    node.see(face)
    searches = []
    search = node.node.pipeline.detector.detect
    node.node.pipeline.detector.detect = lambda image: searches.append(1) or search(image)
    node.see(face), node.see(face)
    assert len(searches) == 2
    node.set(detect_every=4)
    for _ in range(8):
        assert len(node.see(face)) == 1
    assert len(searches) == 4


def test_model_and_detector_change_while_pictures_come_and_nothing_is_lost(
    camera: Any, portrait: np.ndarray, ros_node: Any, health_of: Any, shared: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    import shutil

    (yunet,) = (shared / "models").glob("*yunet*")
    shutil.copy(yunet, tmp_path)
    monkeypatch.setenv("EMOTION_MODEL_DIR", str(tmp_path))
    copy = tmp_path / "other.onnx"
    node, face, told = camera(), np.ascontiguousarray(portrait[:480]), []
    shutil.copy(_model_path(), copy)
    health = health_of("facial")
    ros_node.create_subscription(ModelInfo, "facial/model_info", told.append, qos.LATCHED)
    (before,) = node.see(face)
    wanted = [Parameter("model", value=str(copy)), Parameter("detector", value="yunet"), Parameter("threads", value=2)]
    assert node.node.set_parameters_atomically(wanted).successful
    seen = 0
    while node.node.pipeline.config.detector != "yunet" or seen < 3:
        (after,) = node.see(face)
        seen += 1
        assert after.track_id == before.track_id and seen < 500
    assert node.node.pipeline.classifier.card.name == "esr_compact" and node.node.pipeline.config.model == str(copy)
    assert node.spin(lambda: [info.detector for info in told] == ["haar", "yunet"])
    assert node.spin(lambda: health.values.get("detector") == "yunet" and health.count("processed") == seen + 1)
    assert (health.count("dropped"), health.count("rejected")) == (0, 0)


def _model_path() -> Any:
    from emotion_core.store.finding import find_model

    return find_model("esr_compact")


def test_what_is_not_there_is_refused_or_taken_back(camera: Any, portrait: np.ndarray, tmp_path: Any) -> None:
    node, face = camera(), np.ascontiguousarray(portrait[:480])
    (result,) = node.node.set_parameters([Parameter("model", value="nobody")])
    assert not result.successful and "unknown model 'nobody'" in result.reason
    (result,) = node.node.set_parameters([Parameter("provider", value="cuda")])
    assert result.successful  # whether it starts is known only when it was tried
    assert node.spin(lambda: node.node.get_parameter("provider").value == "auto")
    assert len(node.see(face)) == 1
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(_model_path().read_bytes()[:-1000])
    (result,) = node.node.set_parameters([Parameter("model", value=str(damaged))])
    if result.successful:
        assert node.spin(lambda: node.node.get_parameter("model").value == "esr_compact")
    assert len(node.see(face)) == 1


def test_it_rests_and_goes_on(camera: Any, portrait: np.ndarray, health_of: Any) -> None:
    node, face, health = camera(), np.ascontiguousarray(portrait[:480]), health_of("facial")
    (before,) = node.see(face)
    answer = node.call(SetBool, "set_enabled", SetBool.Request(data=False))
    assert (answer.success, answer.message) == (True, "disabled: it listens to nothing")
    assert node.spin(lambda: health.message == "disabled" and node.images.get_subscription_count() == 0)
    node.publish(face)
    node.spin(lambda: False, timeout_s=0.3)
    assert len(node.answers) == 1 and health.level == b"\0"
    assert node.call(SetBool, "set_enabled", SetBool.Request(data=True)).success
    node.connect()
    (after,) = node.see(face)
    assert int(after.track_id) > int(before.track_id)
    assert node.spin(lambda: health.count("processed") == 2)
    assert node.node.trigger_deactivate() is not None
    answer = node.call(SetBool, "set_enabled", SetBool.Request(data=True))
    assert not answer.success and "the node is inactive" in answer.message


def test_a_node_that_rests_ends_as_any_other(camera: Any, portrait: np.ndarray) -> None:
    node = camera()
    assert node.call(SetBool, "set_enabled", SetBool.Request(data=False)).success
    node.node.trigger_deactivate()
    node.node.trigger_activate()
    node.connect()
    assert len(node.see(np.ascontiguousarray(portrait[:480]))) == 1


def test_it_forgets_everybody_when_asked(camera: Any, portrait: np.ndarray) -> None:
    node, face = camera(), np.ascontiguousarray(portrait[:480])
    (before,) = node.see(face)
    assert node.call(Trigger, "reset", Trigger.Request()).success
    (after,) = node.see(face)
    assert int(after.track_id) == int(before.track_id) + 1


def test_no_more_than_the_rate_is_worked_on(camera: Any, portrait: np.ndarray, health_of: Any) -> None:
    health, face = health_of("facial"), np.ascontiguousarray(portrait[:480])
    node = camera(max_rate_hz=5.0)  # the camera sends ten a second
    for i in range(10):
        node.publish(face)
        assert node.spin(lambda i=i: health.count("processed") + health.count("limited") == i + 1)
    assert (health.count("processed"), health.count("limited"), health.count("dropped")) == (5, 5, 0)


def test_quality_of_service_can_be_overridden(spin_with: Any, ros_node: Any, spin_until: Any) -> None:
    from rclpy.qos import ReliabilityPolicy

    node = spin_with(
        FacialNode,
        "facial",
        detector="haar",
        **{
            "qos_overrides./image.subscription.reliability": "reliable",
            "qos_overrides./facial/estimates.publisher.depth": 77,
        },
    )
    for _ in range(2):  # they count in a second life, too
        node.start()
        assert spin_until(lambda: ros_node.get_subscriptions_info_by_topic("/image"))
        (info,) = ros_node.get_subscriptions_info_by_topic("/image")
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert node._estimates.publisher.qos_profile.depth == 77
        node.trigger_deactivate()
        node.trigger_cleanup()
        assert spin_until(lambda: not ros_node.get_subscriptions_info_by_topic("/image"))
    assert qos.LATEST_IMAGE.reliability == ReliabilityPolicy.BEST_EFFORT and qos.ESTIMATES.depth == 10
