"""``emotion doctor``: a verdict in each line, nothing private, and an end whatever a probe does."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emotion_core.cli import doctor, doctor_probes
from emotion_core.cli.doctor import MISSING, OK, WARNING, Finding


def emotion(*args: str) -> int:
    parser = argparse.ArgumentParser()
    doctor.add(parser)
    parsed = parser.parse_args([*args])
    return int(parsed.run(parsed))


@pytest.fixture
def ros(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without anything of ROS."""
    for name in [name for name in os.environ if name.startswith(("ROS_", "RMW_", "FAST"))]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_here_everything_that_is_needed_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert emotion("--json") == 0
    findings = [Finding(**json.loads(line)) for line in capsys.readouterr().out.splitlines()]
    # In the order in which one reads them, and nothing left out.
    assert list(dict.fromkeys(finding.topic for finding in findings)) == list(doctor.PROBES)
    assert {finding.verdict for finding in findings} <= {OK, WARNING, MISSING}
    assert all(bool(finding.fix) == (finding.verdict != OK) for finding in findings)
    by_text = [finding.text for finding in findings if finding.verdict == OK]
    assert any("esr_compact answers: neutral, happy" in text for text in by_text)
    assert any(f"Python {sys.version_info[0]}.{sys.version_info[1]}" in text for text in by_text)


def test_in_a_pipe_every_finding_is_one_line_with_its_verdict_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = Finding("models", WARNING, "a model " * 40, "get another " * 30)
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("system", OK, "fine"), long])
    monkeypatch.setenv("COLUMNS", "40")
    assert emotion() == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok       system      fine",
        f"warning  models      {long.text} -> {long.fix}",
    ]


@pytest.mark.parametrize(("needed", "code"), [(True, 1), (False, 0)])
def test_only_what_everybody_needs_makes_it_fail(
    needed: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("sound", MISSING, "no ears", "grow some", needed)])
    assert emotion() == code
    assert "no ears -> grow some" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import time; time.sleep(600)", "did not answer in time"),
        ("raise RuntimeError('no such luck')", "RuntimeError: no such luck"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", f"ended with code -{signal.SIGSEGV.value}"),
    ],
)
def test_a_probe_that_hangs_or_crashes_is_a_line(body: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = f"if sys.argv[2] == 'sound':\n    {body}\n"
    monkeypatch.setattr(doctor, "_PROBE", doctor._PROBE.replace("from emotion_core", f"{kind}from emotion_core"))
    limit_s = 1.0 if "sleep" in body else 60.0
    found = doctor.examine(("sound",), limit_s)
    assert [(finding.topic, finding.verdict) for finding in found] == [("sound", WARNING)]
    assert said in found[0].text


def test_a_file_of_the_working_folder_is_not_taken_for_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken')")
    monkeypatch.chdir(tmp_path)
    (found,) = doctor.examine(("system",), 60.0)
    assert found.verdict == OK


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("model store: /home/anna/.cache/x", "model store: ~/.cache/x"),
        ("/home/anna: gone", "~: gone"),
        ("/home/other/a and /Users/bob/b", "~/a and ~/b"),
        ("/home/annabel/a", "~/a"),
        ("/opt/models", "/opt/models"),
    ],
)
def test_nobody_is_named(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    finding = doctor.private(Finding("models", WARNING, text, f"delete {text}"))
    assert (finding.text, finding.fix) == (shown, f"delete {shown}")


def test_of_the_environment_only_ros_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    home = tmp_path / "anna"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("EMOTION_MODEL_DIR", str(home / "models"))
    monkeypatch.setenv("API_TOKEN", "hunter2")
    monkeypatch.setenv("ROS_DOMAIN_ID", "hunter2")  # not even of those what is no setting
    monkeypatch.setenv("RMW_IMPLEMENTATION", "hunter2; x")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "hunter2")
    examine = doctor.examine
    monkeypatch.setattr(doctor, "examine", lambda: examine(("models", "ros", "dds")))
    emotion()
    shown = capsys.readouterr().out
    assert "hunter2" not in shown and "anna" not in shown
    assert "~/models" in shown


def found(name: str, **arguments: Any) -> list[tuple[str, str]]:
    return [(finding.verdict, finding.text) for finding in getattr(doctor_probes, name)(**arguments)]


@pytest.mark.skipif(sys.platform != "linux", reason="cameras are listed where Linux keeps them")
def test_cameras_are_named_and_not_opened(tmp_path: Path) -> None:
    devices, about = tmp_path / "dev", tmp_path / "sys"
    assert [verdict for verdict, _ in found("cameras", devices=devices, about=about)] == [MISSING]
    for i, index in ((0, 0), (1, 1), (10, 0), (2, 0)):
        (about / f"video{i}").mkdir(parents=True)
        (about / f"video{i}" / "name").write_text(f"Eye {i}\n")
        (about / f"video{i}" / "index").write_text(f"{index}\n")
        devices.mkdir(exist_ok=True)
        os.mkfifo(devices / f"video{i}")  # whoever opened it would wait for ever
    assert found("cameras", devices=devices, about=about) == [(OK, f"{devices}/video{i}: Eye {i}") for i in (0, 2, 10)]


@pytest.mark.skipif(sys.platform != "linux", reason="cameras are listed where Linux keeps them")
def test_a_camera_that_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "video0").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (finding,) = doctor_probes.cameras(tmp_path, tmp_path / "none")
    assert finding.verdict == WARNING and "usermod -aG video" in finding.fix


@pytest.mark.parametrize(
    ("name", "value", "verdict", "text"),
    [
        ("ROS_DOMAIN_ID", "7", OK, "ROS_DOMAIN_ID 7"),
        ("ROS_DOMAIN_ID", "150", WARNING, "ROS_DOMAIN_ID 150"),
        ("ROS_DOMAIN_ID", "-1", WARNING, "ROS_DOMAIN_ID is no number from 0 to 232"),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST", OK, "discovery: LOCALHOST"),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "", OK, "discovery: SUBNET, the default"),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF", WARNING, "discovery: OFF: nodes find nobody"),
        ("ROS_LOCALHOST_ONLY", "1", OK, "discovery: this machine only (ROS_LOCALHOST_ONLY, which newer ones replace)"),
    ],
)
def test_settings_of_ros(ros: pytest.MonkeyPatch, name: str, value: str, verdict: str, text: str) -> None:
    ros.setenv(name, value)
    assert (verdict, text) in found("ros")


def test_without_ros_the_rest_is_said_to_need_none(ros: pytest.MonkeyPatch) -> None:
    ros.setattr(doctor_probes.importlib.util, "find_spec", lambda name: None)
    first = next(doctor_probes.ros())
    assert (first.verdict, first.needed) == (MISSING, False)
    assert first.text == "no ROS 2, without rclpy, emotion_ros, emotion_perception" and "needs no ROS" in first.fix


def test_profile_and_shared_memory(ros: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert (WARNING, "no profile is set") in found("dds")
    ros.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(tmp_path / "gone.xml"))
    assert (WARNING, f"the profile {tmp_path}/gone.xml is not there") in found("dds")
    (tmp_path / "gone.xml").touch()
    assert (OK, f"profile {tmp_path}/gone.xml") in found("dds")
    ros.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
    assert found("dds")[0] == (OK, "rmw_cyclonedds_cpp") and not any("profile" in text for _, text in found("dds"))

    class Room:  # of docker run without --ipc=host
        f_frsize, f_blocks, f_bavail = 4096, 16384, 16000

    ros.setattr(os, "statvfs", lambda path: Room)
    assert (WARNING, "/dev/shm: 67 MB, 66 MB free, two nodes with images take 128") in found("dds")
    ros.setattr(doctor_probes, "shared_memory", lambda: tmp_path / "none")
    ros.undo()


def test_a_package_that_is_missing_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    original = doctor_probes.importlib.util.find_spec
    monkeypatch.setattr(
        doctor_probes.importlib.util, "find_spec", lambda name: None if name == "soxr" else original(name)
    )
    missing = [finding for finding in doctor_probes.packages() if finding.verdict == MISSING]
    assert missing == [Finding("packages", MISSING, "soxr", "pip install soxr", True)]


def test_a_damaged_store_is_told(empty_store: Path) -> None:
    (empty_store / "mine.onnx").write_bytes(b"no network")
    assert any(verdict == WARNING and "mine.onnx" in text for verdict, text in found("models"))
    (empty_store / "face_detection_yunet_2023mar.onnx").write_bytes(b"no detector")
    assert found("detector") == [(WARNING, "haar, which finds fewer faces than YuNet")]


def test_the_slower_of_the_two_yunets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(name="yunet", engine="OpenCV", detect=lambda image: [])
    monkeypatch.setattr("emotion_core.vision.detect.create_detector", lambda: old)
    ((verdict, text),) = found("detector")
    assert verdict == WARNING and "twice as long" in text
