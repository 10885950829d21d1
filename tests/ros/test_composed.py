"""``emotion run``: the nodes of a parameter file in one process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image

from emotion_core.errors import EmotionError
from emotion_ros.__main__ import names
from emotion_ros.base import qos
from emotion_ros.composed import Placement, program_of, read_placements
from emotion_ros.messages.images import to_bgr

pytestmark = pytest.mark.ros
COUNT = 6

# Two nodes of the package's base whose work is to count. One gets stuck with its first image, and then with a callback,
# until the other has worked on many: each wait ends only so.
TWO = """
import sys, threading
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Int32
from emotion_core.pipeline.facial import FacialConfig
from emotion_ros.base import handover, qos
from emotion_ros.base.estimator import EstimatorNode
from emotion_ros.messages.images import to_message
from emotion_ros.process.runner import Program, run_all
from std_msgs.msg import Header
import numpy as np

quick_has, images = threading.Semaphore(0), []

class Pipeline:
    next_id, config = 1, None
    def check(self, config): return False
    def prepare(self, config): return lambda: None
    def reset(self): pass

class Counting(EstimatorNode):
    config_class = FacialConfig
    def make_pipeline(self, config, first_id):
        pipeline = Pipeline()
        pipeline.config = config
        return pipeline
    def describe(self, pipeline): return {}
    def advertise(self): self.count = self.output(Int32, "~/count", qos.ESTIMATES)
    def subscribe(self): self.newest("image", Image, "image", qos.LATEST_IMAGE)

class Quick(Counting):
    def estimate(self, pipeline, message):
        images.append(message.data)
        quick_has.release()

def many():
    for _ in range(20):
        assert quick_has.acquire(timeout=60), "the quick node is stalled"

class Slow(Counting):
    seen = heard = False
    def subscribe(self):
        super().subscribe()
        self.input(Image, "image", self.hear, qos.LATEST_IMAGE)
    def hear(self, message):
        if not self.heard:
            many()  # as a callback that takes long, in the executor
            self.heard = True
    def estimate(self, pipeline, message):
        if not self.seen:
            many()  # as an inference that takes long, in the worker
            self.seen = True

class Camera(Node):
    def __init__(self, name):
        super().__init__(name)
        self.image = handover.Outlet(self, self.create_publisher(Image, "image", qos.IMAGE_OUT))
        self.sent = []
        self.create_timer(0.01, self.tick)
    def tick(self):
        message = to_message(np.zeros((48, 64, 3), np.uint8), Header())
        message.header.stamp = self.get_clock().now().to_msg()
        self.sent.append(message.data)
        self.image.publish(message)

nodes = {}
def program(name, kind, **functions):
    def create(name):
        nodes[name] = kind(name)
        return nodes[name]
    return Program(name, create, **functions)

def finish(camera):
    same = all(any(got is sent for sent in camera.sent) for got in images)
    print("through DDS", camera.image.sent, "the same", same, "enough", len(images) >= 40)
    return 0

both = lambda _: nodes["slow"].seen and nodes["slow"].heard
sys.exit(run_all("two", [
    program("camera", Camera, done=both, finish=finish),
    program("slow", Slow, start=Slow.autostart),
    program("quick", Quick, start=Quick.autostart),
]))
"""

# What `emotion run` does, and then which messages of images were handed over, and which went through DDS.
COUNTED = """
import json, sys
from emotion_ros.base import handover
from emotion_ros import composed

outlets, made = [], handover.Outlet.__init__

def note(self, node, publisher):
    made(self, node, publisher)
    outlets.append((publisher.topic_name, self))

handover.Outlet.__init__ = note
code = composed.main(["run", *sys.argv[1:]])
print(json.dumps({topic: (outlet.handed, outlet.sent) for topic, outlet in outlets}))
sys.exit(code)
"""


@pytest.fixture
def start(ros_domain: int, end_all: Any) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python with these words; it is ended with the test."""
    processes = []

    def run(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, *map(str, words)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
        processes.append(process)
        return process

    yield run
    end_all(processes)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(COUNT):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((48, 64, 3), index * 40, np.uint8))
    return folder


def config(path: Path, **nodes: dict[str, Any]) -> Path:
    path.write_text("".join(f"{name}:\n  ros__parameters: {json.dumps(values)}\n" for name, values in nodes.items()))
    return path


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    printed, errors = process.communicate(timeout=90)
    return process.returncode, printed, errors


# ---- who is run ----------------------------------------------------------------------------------------------------


def test_whole_names_are_nodes_and_patterns_are_not(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text("""
/**:
  ros__parameters: {detector: haar}
/*/facial:
  ros__parameters: {smoothing_s: 0.5}
source:
  ros__parameters: {source: "0"}
/front:
  facial:
    ros__parameters: {model: esr_compact}
  rear/mood:
    ros__parameters: {executable: facial, remap: ["image:=/image", "~/estimates:=/seen"]}
/front/facial:
  ros__parameters: {min_score: 0.5}
""")
    assert read_placements(path) == [
        Placement("source", "/", "source"),
        Placement("facial", "/front", "facial"),
        Placement("mood", "/front/rear", "facial", ("image:=/image", "~/estimates:=/seen")),
    ]
    assert [placement.whole_name for placement in read_placements(path)] == [
        "/source", "/front/facial", "/front/rear/mood"
    ]  # fmt: skip


def test_the_document_s_example(tmp_path: Path) -> None:
    """And it is one that ROS itself can read."""
    import rclpy
    from rclpy.context import Context

    text = (Path(__file__).parents[2] / "docs" / "launch.md").read_text()
    (example,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    path = tmp_path / "robot.yaml"
    path.write_text(example)
    assert read_placements(path) == [
        Placement("source", "/front", "source"),
        Placement("facial", "/front", "facial"),
        Placement("mood", "/", "facial", ("image:=/front/image", "~/overlay:=/seen")),
    ]
    context = Context()
    rclpy.init(context=context, args=["--ros-args", "--params-file", str(path)])
    node = rclpy.create_node("mood", context=context, automatically_declare_parameters_from_overrides=True)
    assert node.get_parameter("detector").value == "yunet" and node.get_parameter("executable").value == "facial"
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/**:\n  ros__parameters: {detector: haar}", "expected the whole name of at least one node"),
        (
            "/mood:\n  ros__parameters: {detector: haar}",
            "/mood: expected its name or the parameter executable to be one",
        ),
        ("/a:\n  ros__parameters: {executable: 3}", "executable to be one of .*facial.*, got 3"),
        ("/facial:\n  ros__parameters: [1]", r"expected parameters in ros__parameters of /facial, got \[1\]"),
        ("/facial:\n  model: x", "expected names of nodes with ros__parameters below /facial/model, got 'x'"),
        (
            "/facial:\n  ros__parameters: {remap: image}",
            "/facial: expected remap to be a list of FROM:=TO, got 'image'",
        ),
        ("/facial:\n  ros__parameters: {remap: [image]}", "expected remap to be a list of FROM:=TO"),
        ("", "expected names of nodes with ros__parameters below its top, got None"),
        ("/facial: [", "expected YAML: "),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "robot.yaml").write_text(text)
    with pytest.raises(EmotionError, match=said):
        read_placements(tmp_path / "robot.yaml")


def test_every_node_of_this_package_can_share_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that cannot, as somebody may add it, is refused."""
    for name in names():
        program = program_of(Placement("anna", "/left", name))
        assert program.name == "/left/anna"
    monkeypatch.delattr("emotion_ros.recorder_node.PROGRAM")
    with pytest.raises(EmotionError, match="/left/anna: the node recorder needs a process of its own"):
        program_of(Placement("anna", "/left", "recorder"))


def test_a_mistake_is_a_line_and_two(start: Any, tmp_path: Path) -> None:
    emotion = ("-m", "emotion_core.cli", "run", "--config")
    wrong = config(tmp_path / "wrong.yaml", **{"/left/facial": {"detector": "yolo"}})
    processes = [start(*emotion, tmp_path / "none.yaml"), start(*emotion, wrong), start(*emotion[:-1])]
    missing, refused, usage = map(end, processes)
    assert missing[:2] == (2, "") and missing[2] == f"run: error: {tmp_path / 'none.yaml'}: No such file or directory\n"
    assert refused[:2] == (2, "") and refused[2].startswith("/left/facial: error: parameter detector: expected one of ")
    assert usage[:2] == (2, "") and "required: --config" in usage[2]


# ---- how they run --------------------------------------------------------------------------------------------------


def test_a_node_that_is_stuck_stalls_no_other(start: Any) -> None:
    """Neither in its worker nor in its executor; and what the camera's node sends is what the others get."""
    code, printed, errors = end(start("-c", TWO))
    assert (code, printed) == (0, "through DDS 0 the same True enough True\n"), errors
    assert "stalled" not in errors and "Traceback" not in errors


def test_a_recording_in_one_process(start: Any, pictures: Path, tmp_path: Path, spin_until: Any, ros_node: Any) -> None:
    """Source, two estimating nodes and a recorder, by names and remaps; all ends, in order, with the source."""
    path = config(
        tmp_path / "robot.yaml",
        **{
            "/**": {"detector": "haar", "detection_size": 64},
            "/front/source": {"source": str(pictures), "rate_hz": 5, "wait_for_subscriber": True},
            "/front/facial": {"smoothing_s": 0.5},
            "/mood": {"executable": "facial", "remap": ["image:=/front/image", "~/estimates:=/moods"]},
            "/recorder": {
                "out": str(tmp_path / "out"),
                "video": False,
                "remap": ["estimates:=/front/facial/estimates"],
            },
        },
    )
    process = start("-c", COUNTED, "--config", path, "--ros-args", "--log-level", "warn")
    code, printed, errors = end(process)
    assert code == 0, errors
    counts = json.loads(printed.splitlines()[-1])
    assert counts["/front/image"] == [COUNT, 0]  # handed over, to both, and nothing of it through DDS
    handed, sent = counts["/front/facial/estimates"]
    assert handed >= 1 and sent == 0
    rows = (tmp_path / "out" / "timeline.png").is_file(), json.loads((tmp_path / "out" / "summary.json").read_text())
    assert rows[0] and rows[1]["frames"] == handed
    assert "/moods" in counts and "/mood/estimates" not in counts


def test_others_hear_it_too_and_sigterm_ends_it(
    start: Any, pictures: Path, tmp_path: Path, spin_until: Any, ros_node: Any
) -> None:
    path = config(
        tmp_path / "robot.yaml",
        **{
            "/front/source": {"source": str(pictures), "loop": True, "rate_hz": 20},
            "/front/facial": {"detector": "haar", "detection_size": 64},
        },
    )
    images: list[Image] = []
    process = start("-m", "emotion_core.cli", "run", "--config", path)
    ros_node.create_subscription(Image, "/front/image", images.append, qos.LATEST_IMAGE)
    assert spin_until(lambda: len(images) >= 10)
    assert spin_until(lambda: ros_node.count_publishers("/front/facial/estimates") == 1)
    assert {int(to_bgr(image)[0, 0, 0]) for image in images} <= {index * 40 for index in range(COUNT)}
    process.send_signal(signal.SIGTERM)
    code, _, errors = end(process)
    assert code == 0 and "Traceback" not in errors and "published " in errors


def test_a_source_that_cannot_be_read_ends_all_of_it(start: Any, tmp_path: Path) -> None:
    path = config(tmp_path / "robot.yaml", **{"/source": {"source": "/none.mp4"}, "/facial": {"detector": "haar"}})
    code, _, errors = end(start("-m", "emotion_core.cli", "run", "--config", path))
    assert code == 2
    assert "/source: error: " in errors and "/none.mp4" in errors and "Traceback" not in errors
