"""A node's process from its first moment to its last: arguments, signals, defects, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ament_index_python.packages import get_package_prefix

import emotion_ros.__main__ as entry

FOLDER = Path(get_package_prefix("emotion_perception")) / "lib" / "emotion_perception"
NAMES = ["audiovisual", "bag_player", "bag_recorder", "facial", "recorder", "source"]

pytestmark = pytest.mark.ros

# A node whose parts fail as the words behind it say; run() is the package's.
TOY = """
import gc, sys, time
from rclpy.node import Node
from emotion_core.errors import EmotionError
from emotion_ros.process.runner import run

words = sys.argv[1:]

class Toy(Node):
    def __init__(self):
        super().__init__("toy")
        if "broken" in words:
            raise RuntimeError("a defect of the node")
        self.ticks = 0
        self.create_timer(0.05, self.tick)
    def tick(self):
        self.ticks += 1
        if "raise" in words:
            raise ValueError("a defect of a callback")

def start(node):
    if "mend" in words:
        raise EmotionError("could not be configured: no such model")
    if "defect" in words:
        raise RuntimeError("a defect of the start")
    print("ready", flush=True)

def finish(node):
    for _ in range(40 * ("slow" in words)):
        time.sleep(0.05)
    print("ticks", node.ticks, flush=True)
    if "garbage" in words:
        print("collected", gc.isenabled(), "frozen", gc.get_freeze_count() > 10000, flush=True)
    return 0

done = lambda node: node.ticks >= 10 and "stay" not in words
sys.exit(run("toy", Toy, ["toy"], start=start, done=done, finish=finish))
"""


@pytest.fixture
def launch(ros_domain: int, end_all: Any) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command; it is ended with the test."""
    processes = []

    def run(*command: object, **options: Any) -> subprocess.Popen[str]:
        words = [str(word) for word in command]
        pipe = subprocess.PIPE
        process = subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, **options)
        processes.append(process)
        return process

    yield run
    end_all(processes)


def toy(launch: Any, *words: str, **options: Any) -> subprocess.Popen[str]:
    return launch(sys.executable, "-c", TOY, *words, **options)


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    printed, errors = process.communicate(timeout=60)
    return process.returncode, printed, errors


# ---- arguments -----------------------------------------------------------------------------------------------------


def test_every_node_is_known() -> None:
    assert entry.names() == NAMES


@pytest.mark.parametrize("name", [*NAMES, "facial_node"])
def test_help_is_printed_and_nothing_is_started(launch: Any, name: str) -> None:
    code, printed, errors = end(launch(FOLDER / name, "--help"))
    assert (code, errors) == (0, "")
    assert printed.startswith(f"usage: {name.removesuffix('_node')} ")
    wanted = {
        "audiovisual": "audio_type (chunk; chunk, ",
        "bag_player": "wait_for_subscriber (",
        "bag_recorder": "keep_free_mb (",
        "facial": "stale_warn_s (2.0; 0.1 to 3600)",
        "recorder": "duration_s (0.0; ",
        "source": "rate_hz",
    }
    assert wanted[name.removesuffix("_node")] in printed


def test_the_command_line_passes_help_on(launch: Any) -> None:
    emotion = [sys.executable, "-m", "emotion_core.cli", "node"]
    processes = [launch(*emotion, *words) for words in (["facial", "--help"], ["--help"], ["nobody"], [])]
    (code, printed, _), general, unknown, none = map(end, processes)
    assert code == 0 and printed.startswith("usage: facial ") and "image_transport (raw; raw, compressed)" in printed
    assert general[0] == 0 and general[1].startswith("usage: emotion node")
    assert ", ".join(NAMES) in " ".join(general[1].split())
    assert unknown[0] == 2 and f"one of {', '.join(NAMES)}, got 'nobody'" in unknown[2]
    assert none[0] == 2 and "got none" in none[2]


def test_nobody_who_stops_reading_its_help_gets_a_traceback(launch: Any) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen([FOLDER / "facial", "--help"], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert process.communicate(timeout=60)[1] == "" and process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hlep"], "expected --help or --ros-args …, got --hlep"),
        (["image:=/camera"], "got image:=/camera"),
        (["--ros-args", "-p", "threads:=2", "--", "model:=x"], "got model:=x"),
        (["--ros-args", "--params-file", "/none/there.yaml"], "/none/there.yaml"),
        (["--ros-args", "-r", "__node:=a b"], "a b"),
        (["--ros-args", "-p", "threads:=[1"], "threads:=[1"),
        (["--ros-args", "-p", "threads:=many"], "threads"),
        (["--ros-args", "--log-level", "loud"], "loud"),
        (["--ros-args", "-r", "image:=a//b"], "a//b"),
        (["--ros-args", "--nonsense"], "--nonsense"),
    ],
)
def test_what_it_does_not_know_ends_it_with_a_line(launch: Any, arguments: list[str], said: str) -> None:
    code, printed, errors = end(launch(FOLDER / "facial", *arguments))
    assert (code, printed) == (2, "")
    assert said in errors and "Traceback" not in errors


def test_a_later_parameter_file_counts_more_and_the_others_still_count(launch: Any, tmp_path: Path) -> None:
    """As launch passes them: params_file, and then a file of what was given as arguments."""
    first, second = tmp_path / "robot.yaml", tmp_path / "arguments.yaml"
    head = "/**:\n  ros__parameters:\n    "
    first.write_text(head + "image_transport: compressed\n    detector: yunet\n    smoothing_s: 1\n")
    second.write_text(head + "detector: haar\n")
    process = launch(FOLDER / "facial", "--ros-args", "--params-file", first, "--params-file", second)
    lines = [process.stderr.readline() for _ in range(2)]
    process.send_signal(signal.SIGINT)
    assert end(process)[0] == 0
    assert lines[0].endswith("detector haar\n") and lines[1].endswith("waiting for images on /image/compressed\n")


def test_what_is_for_ros() -> None:
    assert entry.without_ros(["a", "--ros-args", "-p", "b:=1", "--", "c", "--ros-args", "-r", "d:=e"]) == ["a", "c"]


# ---- signals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_s", [0.01, 0.02, 0.04, 0.08, 0.2, 0.4, 0.8])
def test_control_c_at_any_time_gives_no_traceback(launch: Any, after_s: float) -> None:
    process = launch(FOLDER / "facial", "--ros-args", "-p", "detector:=haar")
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    code, _, errors = end(process)
    assert code in (0, -signal.SIGINT)  # a shell makes 130 of it
    assert "Traceback" not in errors and "KeyboardInterrupt" not in errors


def test_repeats_of_a_signal_are_ignored_and_a_second_one_ends_it(launch: Any) -> None:
    # In a domain of its own: what is ended at once may leave its shared memory behind.
    apart = {**os.environ, "ROS_DOMAIN_ID": "101"}
    patient, impatient = (toy(launch, "stay", "slow", env=apart) for _ in range(2))
    for process in (patient, impatient):
        assert process.stdout.readline() == "ready\n"
        for _ in range(5):
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
    time.sleep(1.3)  # finishing takes two seconds
    impatient.send_signal(signal.SIGINT)
    assert end(impatient)[:2] == (-signal.SIGINT, "")
    code, printed, errors = end(patient)
    assert code == 0 and printed.startswith("ticks ") and errors == ""


def test_a_lifecycle_shutdown_and_then_a_signal(launch: Any, ros_node: Any, spin_until: Any, client_of: Any) -> None:
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    process = launch(FOLDER / "facial", "--ros-args", "-p", "detector:=haar")
    assert spin_until(lambda: ros_node.count_publishers("facial/estimates") == 1)
    client = client_of(ChangeState, "facial/change_state")
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVE_SHUTDOWN))
    future = client.call_async(request)
    assert spin_until(future.done) and future.result().success
    assert spin_until(lambda: ros_node.count_publishers("facial/estimates") == 0)
    begun_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert end(process)[0] == 0
    assert time.monotonic() - begun_s < 5  # a quarter of a second on an idle machine


# ---- defects -------------------------------------------------------------------------------------------------------


def test_an_exception_of_a_callback_is_told_and_ends_nothing(launch: Any) -> None:
    code, printed, errors = end(toy(launch, "raise"))
    assert (code, printed) == (0, "ready\nticks 10\n")
    assert errors.count("a defect of a callback") == 1 and "in tick" in errors  # once in five seconds


def test_what_can_be_mended_and_what_cannot_at_the_start(launch: Any) -> None:
    code, printed, errors = end(toy(launch, "mend"))
    assert (code, printed, errors) == (2, "", "toy: error: could not be configured: no such model\n")
    code, printed, errors = end(toy(launch, "defect"))
    assert (code, printed) == (1, "")
    assert errors.startswith("toy: error: this is a defect\nTraceback") and "a defect of the start" in errors
    code, printed, errors = end(toy(launch, "broken"))
    assert (code, printed) == (1, "")
    assert errors.startswith("toy: error: this is a defect\nTraceback") and "a defect of the node" in errors


def test_what_the_core_warns_of_is_in_the_node_s_log(launch: Any, empty_store: Path) -> None:
    """A detector's file that is none: the other detector is taken, and the node's log says so."""
    (empty_store / "face_detection_yunet_2026may.onnx").write_bytes(b"nothing")
    process = launch(FOLDER / "facial", env=os.environ)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "ready" in line:
            break
    process.send_signal(signal.SIGINT)
    assert end(process)[0] == 0
    (warning,) = (line for line in lines if "WARN" in line)
    assert "[facial.core]: " in warning and "yunet_2026may" in warning
    assert any("detector haar" in line for line in lines)


def test_a_configuration_that_fails_says_why(launch: Any, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    process = launch(FOLDER / "facial", "--ros-args", "-p", f"model:={tmp_path / 'model.onnx'}", env=os.environ)
    code, _, errors = end(process)
    assert code == 2
    assert "facial: error: could not be configured: " in errors and "model.onnx" in errors.splitlines()[-1]


def test_garbage_is_looked_for_only_among_what_came_after_the_start(launch: Any) -> None:
    process = toy(launch, "garbage")
    code, printed, _ = end(process)
    assert code == 0 and printed.splitlines()[-1] == "collected True frozen True"
