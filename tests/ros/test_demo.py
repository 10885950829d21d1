"""The demo, as `make demo` runs it."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emotion_core.recording.recording import Summary

pytest.importorskip("av", reason="PyAV comes with the extra [media]")

ROOT = Path(__file__).resolve().parents[2]
FILES = ["demo.csv", "demo.mp4", "summary.json", "timeline.png"]

pytestmark = pytest.mark.ros


def demo(*arguments: object, **kwargs: object) -> subprocess.Popen[str]:
    """The demo, in a domain of its own: it chooses one when none is set."""
    env = {name: value for name, value in os.environ.items() if name != "ROS_DOMAIN_ID"}
    command = [sys.executable, "-m", "emotion_ros.demo", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that a script starts in the background inherit a SIGINT that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **kwargs,
    )  # type: ignore[call-overload]


def children(process: subprocess.Popen[str]) -> list[str]:
    """Node processes that the demo has started and that still run, found by their parent."""
    found = subprocess.run(
        ["ps", "-o", "args=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
    )
    return found.stdout.splitlines()


@pytest.mark.slow
def test_it_needs_nothing_but_this_machine(tmp_path: Path) -> None:
    process = demo("--duration", 2, "--out", tmp_path / "out")
    printed, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    summary = Summary.load(tmp_path / "out" / "summary.json")
    assert summary.seconds >= 2 and summary.frames > 1 and summary.people >= 1
    assert summary.node.detector == "haar" and summary.node.model  # the tests' model store is empty
    for text in ("a still photo, slowly panned", "detector haar", str(tmp_path / "out" / "demo.mp4"), "CAMERA=0"):
        assert text in printed
    with (tmp_path / "out" / "demo.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) >= summary.frames


@pytest.mark.slow
def test_control_c_writes_what_there_is_and_leaves_no_process(tmp_path: Path) -> None:
    process = demo("--duration", 0, "--out", tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("recording"):
            break
    assert len(children(process)) == 3
    pids = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    time.sleep(1)
    for _ in range(3):  # within milliseconds, as a terminal and a script may both send it
        process.send_signal(signal.SIGINT)
        time.sleep(0.005)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert Summary.load(tmp_path / "summary.json").frames > 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--video", "nothing.mp4"], "there is no nothing.mp4"),
        (["--duration", "-1"], "expected seconds"),
        (["--camera", "0", "--video", "a.mp4"], "not allowed with"),
        (["--camera", "77"], "/dev/video77"),
        (["--model", "no_such_model"], "no_such_model"),
    ],
)
def test_bad_input_is_told_in_time(arguments: list[str], message: str, tmp_path: Path) -> None:
    process = demo(*arguments, "--out", tmp_path)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 2
    assert message in errors and "Traceback" not in errors
