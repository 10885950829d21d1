"""The parts of a node's health, with the time as an argument."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from emotion_ros.base.diagnostics import ERROR, OK, STALE, WARN, Flow, InputHealth, Latency, Report, status
from emotion_ros.base.latest import Counts


def test_an_input_that_falls_silent_warns_then_fails_and_recovers() -> None:
    health = InputHealth("image", "/camera/image", warn_s=2.0, error_s=10.0, now_s=100.0)
    assert health.report(101.9) == Report(STALE, "no image yet", {"age_s": "never"})
    assert health.report(102.0) == Report(WARN, "no image on /camera/image for 2.0 s", {"age_s": "never"})
    assert health.report(110.0).level == ERROR
    health.heard(111.0)
    assert health.report(112.5) == Report(OK, "", {"age_s": "1.50"})
    assert health.report(113.25) == Report(WARN, "no image on /camera/image for 2.2 s", {"age_s": "2.25"})
    assert health.report(121.0).level == ERROR
    health.heard(121.0)
    assert health.report(121.0).level == OK


def test_a_second_input_has_names_of_its_own() -> None:
    health = InputHealth("sound", "/sound", 1.0, 2.0, 0.0, prefix="sound_")
    assert health.report(0.5).values == {"sound_age_s": "never"}


def test_rates_are_those_of_the_last_seconds() -> None:
    flow = Flow("image")
    assert "rate_hz" not in flow.report(0.0, Counts()).values
    for second in range(1, 21):
        report = flow.report(float(second), Counts(30 * second, 20 * second, 10 * second, 0), lost=5 * second)
    assert (report.values["rate_hz"], report.values["input_rate_hz"]) == ("20.0", "35.0")
    assert report.level == OK  # 15 of 35 are missed: many, not most
    for second in range(21, 41):  # the camera is gone; it takes the window to forget it
        report = flow.report(float(second), Counts(600, 400, 200, 0), lost=100)
    assert (report.values["rate_hz"], report.values["input_rate_hz"]) == ("0.0", "0.0")
    assert report.values["lost"] == 100 and report.values["received"] == 600


@pytest.mark.parametrize(("dropped", "lost", "level"), [(16, 0, WARN), (8, 8, WARN), (15, 0, OK), (8, 7, OK)])
def test_most_of_them_dropped_is_a_warning(dropped: int, lost: int, level: bytes) -> None:
    flow = Flow("image")
    flow.report(0.0, Counts(), 0)
    report = flow.report(1.0, Counts(30 - lost, 30 - lost - dropped, dropped, 0), lost)
    assert report.level == level
    assert report.message == ("16 of the last 30 images dropped: they come too fast" if level == WARN else "")


def test_a_few_frames_are_not_judged() -> None:
    flow = Flow()
    flow.report(0.0, Counts(), 0)
    assert flow.report(1.0, Counts(4, 1, 3, 0), 0).level == OK


def test_the_rejected_are_told_once() -> None:
    flow = Flow("image")
    flow.report(0.0, Counts(2, 2, 0, 0))
    report = flow.report(1.0, Counts(6, 3, 0, 3))
    assert (report.level, report.message) == (WARN, "3 images rejected since the last report")
    assert report.values["lost"] == "unknown"
    assert flow.report(2.0, Counts(7, 4, 0, 3)).level == OK


def test_latencies_are_those_of_the_last_seconds() -> None:
    latency = Latency()
    assert latency.report(0.0) == Report()
    for i in range(101):
        latency.add(1.0, i / 1000)
    assert latency.report(5.0).values == {
        "latency_p50_ms": "50.0",
        "latency_p95_ms": "95.0",
        "latency_p99_ms": "99.0",
    }
    latency.add(12.0, 0.007)
    assert latency.report(12.0).values["latency_p99_ms"] == "7.0"


def test_the_worst_part_is_what_a_node_says() -> None:
    parts = [
        Report(OK, "fine", {"a": 1}),
        Report(WARN, "slow"),
        Report(STALE, "none yet"),
        Report(WARN, "odd", {"b": 2}),
    ]
    result = status("lab/facial", "lens", "estimating", parts)
    assert (result.level, result.message) == (DiagnosticStatus.WARN, "slow; odd")
    assert (result.name, result.hardware_id) == ("lab/facial", "lens")
    assert {item.key: item.value for item in result.values} == {"a": "1", "b": "2"}
    assert status("n", "h", "estimating", [Report(), Report(values={"c": 3})]).message == "estimating"
    assert status("n", "h", "estimating", [Report(STALE, "none yet"), Report(ERROR, "gone")]).message == "gone"
