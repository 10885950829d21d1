"""The installed facial node in a process of its own: real faces in, estimates out, malformed images in between."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from ament_index_python.packages import get_package_prefix
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from emotion_perception.msg import EmotionEstimate, EmotionEstimates
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET
from emotion_core.pipeline.still import StillPipeline
from emotion_ros.base import qos
from emotion_ros.facial_node import CONFIGS
from emotion_ros.messages import images

EXECUTABLE = Path(get_package_prefix("emotion_perception")) / "lib" / "emotion_perception" / "facial"


class Node:
    """The installed node, its log in a file."""

    def __init__(self, folder: Path, *parameters: str, wait: str = "ready") -> None:
        words = [word for parameter in parameters for word in ("-p", parameter)]
        self.log_path = folder / "facial.log"
        self.log_file = self.log_path.open("w")
        self.process = subprocess.Popen(
            [str(EXECUTABLE), "--ros-args", *words],
            stdout=self.log_file,
            stderr=subprocess.STDOUT,
            env=os.environ,
        )
        self.wait = wait

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.log_file.close()


@pytest.fixture
def start(ros_node, spin_until, tmp_path) -> Iterator[object]:
    """Start the node with parameters and wait until it says that it is ready."""
    nodes: list[Node] = []

    def run(*parameters: str, wait: str = "ready") -> Node:
        node = Node(tmp_path, *parameters, wait=wait)
        nodes.append(node)
        assert spin_until(lambda: wait in node.log or node.process.poll() is not None)
        assert wait in node.log, node.log
        return node

    yield run
    for node in nodes:
        node.stop()


class Peer:
    """Publishes images with stamps and collects what comes back, by stamp."""

    def __init__(self, ros_node, spin_until, kind=Image, topic="image") -> None:
        self.spin_until = spin_until
        self.publisher = ros_node.create_publisher(kind, topic, qos.IMAGE_OUT)
        self.all: dict[int, EmotionEstimates] = {}
        self.largest: dict[int, EmotionEstimate] = {}
        self.diagnostics: dict[str, str] = {}
        ros_node.create_subscription(
            EmotionEstimates,
            "facial/estimates",
            lambda m: self.all.update({m.header.stamp.sec: m}),
            qos.ESTIMATES,
        )
        ros_node.create_subscription(
            EmotionEstimate,
            "facial/estimate",
            lambda m: self.largest.update({m.header.stamp.sec: m}),
            qos.ESTIMATES,
        )
        ros_node.create_subscription(DiagnosticArray, "/diagnostics", self._note, qos.ESTIMATES)
        assert spin_until(lambda: self.publisher.get_subscription_count() > 0)
        names = ("facial/estimates", "facial/estimate")
        assert spin_until(lambda: all(ros_node.count_publishers(name) for name in names))

    def _note(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics = {item.key: item.value for item in status.values}

    def send(self, message: Image, until) -> bool:
        """Best effort may lose a message: send it again, with the same stamp, until the condition holds."""
        for _ in range(20):
            self.publisher.publish(message)
            if self.spin_until(until, timeout_s=3.0):
                return True
        return False

    def estimate(self, message: Image) -> EmotionEstimates:
        second = message.header.stamp.sec
        assert self.send(message, lambda: second in self.all)
        return self.all[second]


def header(second: int) -> Header:
    return Header(stamp=Time(sec=second, nanosec=123_456_789), frame_id="head_camera")


@pytest.fixture(scope="module")
def peer_picture(portrait) -> np.ndarray:
    """(480, 640, 3): the sample portrait on the left, a wall on the right."""
    picture = np.full((480, 640, 3), 90, np.uint8)
    picture[:, :512] = portrait[:480]
    return picture


def test_faces_come_back_with_labels_boxes_and_stamps(start, ros_node, spin_until, peer_picture):
    node = start("detector:=haar")
    peer = Peer(ros_node, spin_until)
    (expected,) = StillPipeline(detector="haar").process(peer_picture)

    for second in (10, 11, 12):
        message = images.to_message(peer_picture, header(second), "rgb8" if second == 11 else "bgr8")
        result = peer.estimate(message)
        assert result.header == message.header
        (estimate,) = result.estimates
        assert estimate.header == message.header
        assert estimate.modalities == EmotionEstimate.FACE
        assert estimate.track_id == ("1" if second == 10 else estimate.track_id)
        assert tuple(estimate.labels) == AFFECTNET
        assert sum(estimate.probabilities) == pytest.approx(1, abs=1e-5)
        assert estimate.label == expected.label
        assert estimate.confidence == pytest.approx(max(estimate.probabilities))
        assert estimate.confidence == pytest.approx(expected.confidence, abs=0.15)
        assert -1 <= estimate.valence <= 1
        assert -1 <= estimate.arousal <= 1
        assert estimate.model == "esr_compact"
        roi, box = estimate.roi, expected.face.box
        assert roi.x_offset == pytest.approx(box.x, abs=0.15 * box.width)
        assert roi.y_offset == pytest.approx(box.y, abs=0.15 * box.width)
        assert roi.width == pytest.approx(box.width, rel=0.2)
        assert peer.spin_until(lambda s=second: s in peer.largest)
        assert peer.largest[second] == estimate

    # Nobody there is said, not left out.
    empty = images.to_message(np.full((480, 640, 3), 90, np.uint8), header(13))
    assert peer.estimate(empty).estimates == []
    assert 13 not in peer.largest
    assert node.stop() == 0
    assert "Traceback" not in node.log


def malformed(peer_picture: np.ndarray) -> dict[str, tuple[Image, str]]:
    """Images with one defect each, and a word that the warning must contain."""
    good = images.to_message(peer_picture, header(1))

    def broken(**changes: object) -> Image:
        message = Image(
            header=good.header, height=good.height, width=good.width, encoding=good.encoding, step=good.step
        )
        message.data = good.data
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    nan = images.to_message(peer_picture, header(1))
    nan.encoding, nan.width, nan.height, nan.step = "32FC1", 4, 4, 16
    nan.data = np.full(16, np.nan, np.float32).tobytes()
    return {
        "short data": (broken(data=good.data[:1000]), "needs 921600 bytes, got 1000"),
        "small step": (broken(step=10), "step"),
        "no size": (broken(width=0, height=0), "got 0 x 0"),
        "absurd size": (broken(width=2**31, height=2**31), "16384 px"),
        "unknown encoding": (broken(encoding="hologram8"), "hologram8"),
        "nan": (nan, "(?i)nan|finite"),
    }


def test_malformed_images_are_counted_and_survived(start, ros_node, spin_until, peer_picture):
    node = start("detector:=haar", "diagnostics_period_s:=0.2")
    peer = Peer(ros_node, spin_until)
    peer.estimate(images.to_message(peer_picture, header(20)))
    for number, (name, (message, _)) in enumerate(malformed(peer_picture).items(), 1):
        before = int(peer.diagnostics.get("rejected", 0))
        counted = peer.send(message, lambda before=before: int(peer.diagnostics.get("rejected", 0)) > before)
        assert counted, f"{name} was not counted as rejected"
        assert len(peer.estimate(images.to_message(peer_picture, header(20 + number))).estimates) == 1, name
    # The log tells of one in five seconds at most, the counts tell of all.
    told = re.findall(r"\[(\d+\.\d+)\] \[facial\]: rejected the image on (\S+): (.+)", node.log)
    assert told[0][1:] == ("/image", malformed_said(peer_picture))
    assert all(float(b) - float(a) > 4.9 for (a, *_), (b, *_) in pairwise(told))
    assert int(peer.diagnostics["rejected"]) >= 6 > len(told)
    names = ("received", "processed", "dropped", "rejected")
    at_rest = peer.spin_until(
        lambda: int(peer.diagnostics["received"]) == sum(int(peer.diagnostics[name]) for name in names[1:])
    )
    assert at_rest, peer.diagnostics
    assert peer.diagnostics["lost"].isdigit() and peer.diagnostics["unstamped"] == "0"
    assert (peer.diagnostics["detector"], peer.diagnostics["model"]) == ("haar", "esr_compact")
    assert node.stop(signal.SIGTERM) == 0
    assert "Traceback" not in node.log


def malformed_said(peer_picture: np.ndarray) -> str:
    """What is said about the first of them."""
    with pytest.raises(EmotionError) as caught:
        images.to_bgr(malformed(peer_picture)["short data"][0])
    return str(caught.value)


@pytest.mark.parametrize("defect", ["short data", "small step", "no size", "absurd size", "unknown encoding", "nan"])
def test_each_defect_is_named(peer_picture, defect):
    message, word = malformed(peer_picture)[defect]
    with pytest.raises(EmotionError, match=word):
        images.to_bgr(message)


def test_compressed_images_and_corrupt_ones(start, ros_node, spin_until, peer_picture):
    node = start("detector:=haar", "image_transport:=compressed", "diagnostics_period_s:=0.2")
    peer = Peer(ros_node, spin_until, CompressedImage, "image/compressed")
    data = cv2.imencode(".jpg", peer_picture)[1].tobytes()

    def message(second: int, data: bytes) -> CompressedImage:
        return CompressedImage(header=header(second), format="bgr8; jpeg compressed bgr8", data=data)

    assert len(peer.estimate(message(30, data)).estimates) == 1
    assert peer.send(message(31, data[: len(data) // 2]), lambda: int(peer.diagnostics.get("rejected", 0)) > 0)
    assert peer.send(message(31, b"nonsense"), lambda: int(peer.diagnostics["rejected"]) > 1)
    assert len(peer.estimate(message(32, data)).estimates) == 1
    assert 31 not in peer.all
    assert node.stop() == 0


def test_overlay_and_markers_only_for_subscribers(start, ros_node, spin_until, peer_picture):
    start("detector:=haar")
    peer = Peer(ros_node, spin_until)
    overlays: list[Image] = []
    jpegs: list[CompressedImage] = []
    markers: list[MarkerArray] = []
    calibration = CameraInfo(height=480, width=640, k=[600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0])
    camera = ros_node.create_publisher(CameraInfo, "camera_info", qos.IMAGE_OUT)
    ros_node.create_subscription(Image, "facial/overlay", overlays.append, qos.LATEST_IMAGE)
    ros_node.create_subscription(CompressedImage, "facial/overlay/compressed", jpegs.append, qos.LATEST_IMAGE)
    ros_node.create_subscription(MarkerArray, "facial/markers", markers.append, qos.ESTIMATES)
    assert spin_until(lambda: camera.get_subscription_count() > 0)
    second = 40

    def both() -> bool:
        nonlocal second
        second += 1
        camera.publish(calibration)
        peer.estimate(images.to_message(peer_picture, header(second)))
        return bool(overlays and jpegs and markers)

    assert spin_until(both)
    overlay = images.to_bgr(overlays[-1])
    assert overlay.shape == peer_picture.shape
    assert (overlay != peer_picture).any()
    assert overlays[-1].header.frame_id == jpegs[-1].header.frame_id == "head_camera"
    assert images.compressed_to_bgr(jpegs[-1]).shape == overlay.shape
    text, frame = markers[-1].markers
    assert (text.ns, frame.ns, text.id) == ("emotions", "faces", frame.id)
    assert text.text.split()[0] in AFFECTNET
    position = text.pose.position
    assert 0.3 < position.z < 0.7  # the face is some 220 px high at 600 px focal length
    assert position.x < 0  # and left of the middle


def test_managed_from_outside(start, ros_node, spin_until, client_of, peer_picture):
    """Every transition of a managed node, twice around."""
    start("detector:=haar", "autostart:=false", wait="waiting for a lifecycle manager")
    names = ((ChangeState, "change_state"), (GetState, "get_state"))
    clients = {kind: client_of(kind, f"facial/{name}") for kind, name in names}

    def call(kind, request):
        future = clients[kind].call_async(request)
        assert spin_until(future.done)
        return future.result()

    def change(transition: int) -> int:
        request = ChangeState.Request(transition=Transition(id=transition))
        assert call(ChangeState, request).success
        return call(GetState, GetState.Request()).current_state.id

    assert call(GetState, GetState.Request()).current_state.id == State.PRIMARY_STATE_UNCONFIGURED
    for turn in (0, 1):
        assert change(Transition.TRANSITION_CONFIGURE) == State.PRIMARY_STATE_INACTIVE
        assert ros_node.count_subscribers("image") == 0
        assert change(Transition.TRANSITION_ACTIVATE) == State.PRIMARY_STATE_ACTIVE
        peer = Peer(ros_node, spin_until)
        assert len(peer.estimate(images.to_message(peer_picture, header(50 + turn))).estimates) == 1
        assert change(Transition.TRANSITION_DEACTIVATE) == State.PRIMARY_STATE_INACTIVE
        assert spin_until(lambda: ros_node.count_subscribers("image") == 0)
        assert change(Transition.TRANSITION_CLEANUP) == State.PRIMARY_STATE_UNCONFIGURED
    assert change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN) == State.PRIMARY_STATE_FINALIZED


def test_parameters_have_descriptions_ranges_and_types_that_stay(start, spin_until, client_of):
    start("detector:=haar", "max_gap_s:=1")  # a whole number is good enough for a float

    def call(kind, name, request):
        future = client_of(kind, f"facial/{name}").call_async(request)
        assert spin_until(future.done)
        return future.result()

    names = [item.name for config in CONFIGS for item in fields(config)]
    described = call(DescribeParameters, "describe_parameters", DescribeParameters.Request(names=names)).descriptors
    assert [descriptor.name for descriptor in described] == names
    for descriptor in described:
        assert descriptor.description, descriptor.name
        if descriptor.type in (ParameterType.PARAMETER_DOUBLE, ParameterType.PARAMETER_INTEGER):
            assert descriptor.floating_point_range or descriptor.integer_range, descriptor.name

    whole = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=2)
    request = SetParameters.Request(parameters=[Parameter(name="smoothing_s", value=whole)])
    assert call(SetParameters, "set_parameters", request).results[0].successful
    request = GetParameters.Request(names=["smoothing_s", "max_gap_s"])
    values = call(GetParameters, "get_parameters", request).values
    assert [value.type for value in values] == [ParameterType.PARAMETER_DOUBLE] * 2
    assert [value.double_value for value in values] == [2.0, 1.0]


@pytest.mark.parametrize(
    ("parameter", "word"),
    [
        ("model:=nope", "unknown model 'nope'"),
        ("smoothing_s:=-1.0", "smoothing_s"),
        ("detector:=mtcnn", "auto, yunet, haar"),
    ],
)
def test_wrong_parameters_end_the_node_with_a_clear_line(ros_domain, tmp_path, parameter, word):
    node = Node(tmp_path, parameter)
    assert node.process.wait(60) == 2
    assert word in node.log
    assert "Traceback" not in node.log
    node.stop()
