"""The launch files, run by launch itself: processes of nodes over DDS."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
DOCUMENT = LAUNCH.parent / "docs" / "launch.md"

pytestmark = [
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("launch_ros") is None,
        reason="launch_ros is not installed: there is none among the wheels; the containers of ROS 2 have it",
    ),
]

# What `ros2 launch FILE ARGUMENT…` does, without ros2cli.
LAUNCHER = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource

path, *words = sys.argv[1:]
source, values = AnyLaunchDescriptionSource(path), [word.split(":=", 1) for word in words]
service = LaunchService(argv=words)
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=values)]))
sys.exit(service.run())
"""


class Launched:
    """A launch of ours, and what it and its processes say."""

    def __init__(self, *words: object, **options: Any) -> None:
        command = [sys.executable, "-c", LAUNCHER, *map(str, words)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, text=True, **pipes, **options)
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def pids(self) -> list[int]:
        """Of the processes that it has started."""
        return [int(number) for number in re.findall(r"process started with pid \[(\d+)\]", self.said)]

    def end(self) -> int:
        """Ctrl-C, as a terminal sends it to launch; it passes it on."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        self._reader.join(10)
        return code


@pytest.fixture
def launch(ros_domain: int, end_all: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))  # launch's own
    running: list[Launched] = []

    def run(*words: object, **options: Any) -> Launched:
        running.append(Launched(*words, **options))
        return running[-1]

    yield run
    end_all([launched.process for launched in running])


def state_of(client_of: Any, spin_until: Any, node: str) -> str:
    from lifecycle_msgs.srv import GetState

    future = client_of(GetState, f"{node}/get_state").call_async(GetState.Request())
    assert spin_until(future.done)
    return str(future.result().current_state.label)


def test_launch_activates_a_node_and_one_that_has_ended_again(launch: Any, spin_until: Any, client_of: Any) -> None:
    launched = launch(
        LAUNCH / "facial.launch.py", "lifecycle:=active", "respawn:=true", "detector:=haar", "namespace:=lab"
    )
    assert spin_until(lambda: launched.said.count("ready, waiting for images on /lab/image") == 1), launched.said
    assert spin_until(lambda: state_of(client_of, spin_until, "/lab/facial") == "active")
    os.kill(launched.pids()[0], signal.SIGTERM)
    assert spin_until(lambda: launched.said.count("ready, waiting for images on /lab/image") == 2), launched.said
    assert launched.said.count("waiting for a lifecycle manager") == 2
    assert launched.end() == 0
    assert launched.said.count("process has finished cleanly") == 2 and "Traceback" not in launched.said


def test_the_document_s_two_cameras(launch: Any, spin_until: Any, ros_node: Any, tmp_path: Path) -> None:
    """A file that includes ours twice, with arguments of its own; cameras by namespaces, one file of parameters."""
    (example,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "robot.launch.py").write_text(example)
    (tmp_path / "robot.yaml").write_text(
        "/**:\n  ros__parameters: {detector: haar}\n/rear/facial:\n  ros__parameters: {image_transport: compressed}\n"
    )
    launched = launch(tmp_path / "robot.launch.py", "arm:=left", cwd=tmp_path)
    assert spin_until(lambda: launched.said.count("ready, waiting for images on") == 2), launched.said
    topics = set(re.findall(r"waiting for images on (\S+)", launched.said))
    assert topics == {"/front/image_raw", "/rear/image_raw/compressed"}
    assert launched.said.count("detector haar") == 2
    assert spin_until(lambda: all(ros_node.count_publishers(f"/{side}/facial/estimates") for side in ("front", "rear")))
    assert launched.end() == 0 and "Traceback" not in launched.said


def test_a_bag_through_a_node(launch: Any, spin_until: Any, ros_node: Any, tmp_path: Path) -> None:
    """Every picture gets its estimates, once, and launch ends with the bag."""
    pytest.importorskip("rosbags", reason="rosbags comes with the extra [bags]")
    from emotion_perception.msg import EmotionEstimates

    from emotion_core.media.bag_messages import Messages
    from emotion_core.media.bag_writer import BagWriter
    from emotion_ros.base import qos

    stamps = [1_700_000_000_000_000_000 + index * 100_000_000 for index in range(5)]
    with BagWriter(tmp_path / "2026.mcap") as writer:
        make = Messages(writer.store)
        for stamp in stamps:
            picture = np.full((48, 64, 3), 99, np.uint8)
            writer.write("/cam/image", make.image(picture, make.header(stamp, "cam")), stamp)
    answers: list[Any] = []
    ros_node.create_subscription(EmotionEstimates, "/lab/facial/estimates", answers.append, qos.ESTIMATES)
    words = (f"bag:={tmp_path / '2026.mcap'}", "rate:=0.5", "namespace:=lab", "image:=/cam/image", "detector:=haar")
    launched = launch(LAUNCH / "replay.launch.py", *words, "lifecycle:=active")
    assert spin_until(lambda: launched.process.poll() is not None), launched.said
    assert launched.process.returncode == 0, launched.said
    assert "published 5 messages" in launched.said and ", 0 pictures without an answer" in launched.said
    assert launched.said.count("process has finished cleanly") == 2
    heard = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in answers]
    assert heard == stamps[len(stamps) - len(heard) :]  # nobody waits for this test to know the node


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["facial.launch.py", "detector:=yolo"], "Valid options are: ['', 'auto', 'yunet', 'haar']"),
        (["facial.launch.py", "respawn:=2"], "argument respawn: expected true or false, got '2'"),
        (["facial.launch.py", "lifecycle:=on"], "Valid options are: ['', 'inactive', 'active']"),
        (["rviz.launch.py", "node:=robot"], "Valid options are: ['facial', 'audiovisual']"),
    ],
)
def test_what_it_does_not_know_ends_it(launch: Any, arguments: list[str], said: str) -> None:
    launched = launch(LAUNCH / arguments[0], *arguments[1:])
    assert launched.process.wait(60) == 1
    launched._reader.join(10)
    assert said in launched.said and not launched.pids()


@pytest.mark.parametrize("path", sorted(LAUNCH.glob("*.launch.py")), ids=lambda path: path.name)
def test_ros2_launch_shows_its_arguments(path: Path) -> None:
    from launch.launch_description_sources import get_launch_description_from_any_launch_file

    arguments = get_launch_description_from_any_launch_file(str(path)).get_launch_arguments()
    assert arguments and all(argument.description for argument in arguments)
    needed = {argument.name for argument in arguments if argument.default_value is None}
    assert needed == ({"bag"} if path.name == "replay.launch.py" else set())
