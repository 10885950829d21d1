"""The nodes write nothing but what was asked for, and need no home folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emotion_ros.process.log_files import without_log_file

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0o755, 0o000], ids=["empty", "unreadable"])
def test_source_facial_and_recorder_leave_the_home_as_it_is(tmp_path, ros_domain, bounded, mode):
    """All three with a home folder that is empty, or somebody else's: rcl, ONNX Runtime and matplotlib would write."""
    pytest.importorskip("av", reason="the demo writes a video")
    home = tmp_path / "home"
    home.mkdir()
    unset = ("EMOTION_MODEL_DIR", "MPLCONFIGDIR", "ORT_DISABLE_TELEMETRY", "ROS_HOME", "ROS_LOG_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in unset and "XDG" not in name}
    environment |= {"HOME": str(home), "TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    home.chmod(mode)
    command = [sys.executable, "-m", "emotion_ros.demo", "--duration", "2", "--out", str(tmp_path / "out")]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False, preexec_fn=bounded
    )
    home.chmod(0o755)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "out" / "demo.csv").stat().st_size > 0
    assert list(home.rglob("*")) == []
    assert list((tmp_path / "temporary").rglob("*")) == []


def test_log_files_come_where_a_place_is_named(monkeypatch):
    for name in ("ROS_HOME", "ROS_LOG_DIR"):
        monkeypatch.delenv(name, raising=False)
    without = ["--ros-args", "--disable-external-lib-logs"]
    assert without_log_file(["-p", "a:=1"]) == ["-p", "a:=1", *without]
    assert without_log_file([]) == without
    monkeypatch.setattr(sys, "argv", ["facial", "--ros-args"])
    assert without_log_file() == ["facial", "--ros-args", *without]
    assert without_log_file(["--ros-args", "--enable-external-lib-logs"])[-1] == "--enable-external-lib-logs"
    for name in ("ROS_HOME", "ROS_LOG_DIR"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "/tmp")
            assert without_log_file(["x"]) == ["x"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["emotion_ros.demo", "--video", b"\xc3\xbc\xff.mp4"], 2),
        (["emotion_ros.demo", "--out", b"/proc/\xc3\xbc\xff"], 2),
        (["emotion_ros", "facial", b"--\xc3\xbc\xff"], 2),
        (["emotion_ros", "facial", "--help"], 0),
    ],
)
def test_any_name_can_be_said_under_any_locale(words, code):
    """A name in UTF-8 (ü) with a byte that is none (0xff)."""
    command = [sys.executable, "-m", *words]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == code, result.stderr
    assert len(result.stderr.splitlines()) == (code == 2), result.stderr
    assert (r"\xfc\udcff" in result.stderr) == (code == 2)
