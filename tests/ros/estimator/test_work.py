"""Messages in, answers out: defects, counts, stamps, clocks, health."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage

from emotion_ros.base.diagnostics import ERROR, OK, STALE, WARN

pytestmark = pytest.mark.ros


def test_a_defect_in_the_work_is_counted_and_told_and_ends_nothing(bench: Any, capfd: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    echo.node.work = lambda message: 1 // 0
    echo.images.publish(echo.image())
    assert echo.spin(lambda: echo.health.count("rejected") == 1)
    assert echo.health.values["last_rejection"].startswith("ZeroDivisionError")
    said = capfd.readouterr().err
    assert "could not process the image on /image" in said and "Traceback" in said
    echo.node.work = lambda message: None
    assert echo.ask() == "yes 1.0"


def test_an_exception_of_a_callback_ends_nothing(bench: Any, capfd: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    heard: list[CompressedImage] = []

    def hear(message: CompressedImage) -> None:
        heard.append(message)
        raise KeyError("no such channel")

    echo.node.hear = hear
    for _ in range(3):
        echo.sound.publish(CompressedImage())
    assert echo.spin(lambda: len(heard) == 3)  # of sound, none is left out
    said = capfd.readouterr().err
    assert said.count("a callback failed") == 1 and said.count("in hear") == 1
    assert echo.ask() == "yes 1.0"


def test_two_nodes_in_one_process(bench: Any) -> None:
    left, right = bench("left", word="l"), bench("right", word="r")
    for echo in (left, right):
        echo.node.start()
        echo.connect()
    assert left.workers == 2
    assert left.ask(1) == "l 1.0"
    assert right.spin(lambda: len(right.answers) == 1) and right.answers[0].header.frame_id == "r 1.0"
    left.node.trigger_shutdown()
    assert left.workers == 1
    assert right.ask(2) == "r 1.0"
    assert len(left.answers) == 1


def test_frames_that_were_overwritten_on_their_way_are_counted(bench: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    assert echo.ask(1) == "yes 1.0"
    for second in range(2, 10):  # nobody spins meanwhile, and a depth of 1 keeps the last
        echo.images.publish(echo.image(second))
    assert echo.spin(lambda: echo.answers[-1].header.stamp.sec == 9)
    assert echo.spin(lambda: echo.health.count("lost") + echo.health.count("received") == 9)
    assert echo.health.count("lost") > 0


def test_an_unset_stamp_is_that_of_the_arrival(bench: Any, capfd: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    before_s = time.time()
    for _ in range(3):
        echo.ask(0)
    stamps = [answer.header.stamp.sec + answer.header.stamp.nanosec / 1e9 for answer in echo.answers]
    assert before_s <= stamps[0] < stamps[1] < stamps[2] <= time.time()
    assert echo.ask(5) == "yes 1.0" and echo.answers[-1].header.stamp == Time(sec=5)
    assert echo.spin(lambda: echo.health.count("unstamped") == 3 and echo.health.count("processed") == 4)
    assert capfd.readouterr().err.count("the image on /image has no stamp") == 1


def test_a_simulated_clock_that_stands_still_silences_no_diagnostics(bench: Any) -> None:
    echo = bench(use_sim_time=True)
    echo.node.start()
    echo.connect()
    assert echo.spin(lambda: len(echo.health.statuses) >= 3, timeout_s=10)
    assert echo.health.stamps[-1] == Time()
    assert echo.ask(3) == "yes 1.0" and echo.answers[-1].header.stamp == Time(sec=3)
    clock = echo.ros.create_publisher(Clock, "/clock", 10)
    assert echo.spin(lambda: clock.get_subscription_count() > 0)

    def simulated() -> bool:
        clock.publish(Clock(clock=Time(sec=1000)))
        return bool(echo.health.stamps[-1] == Time(sec=1000))

    assert echo.spin(simulated)
    echo.ask(0)  # without a stamp: that of the arrival, by the same clock
    assert echo.answers[-1].header.stamp == Time(sec=1000)


def test_before_the_first_image_there_is_no_health(bench: Any) -> None:
    echo = bench(stale_warn_s=100.0)
    echo.node.start()
    assert echo.spin(lambda: len(echo.health.statuses) >= 2)
    assert (echo.health.level, echo.health.message) == (STALE, "no image yet; no sound yet")
    assert echo.health.values["age_s"] == echo.health.values["sound_age_s"] == "never"


def test_a_camera_that_is_gone_is_no_health(bench: Any) -> None:
    echo = bench(stale_warn_s=1.0, stale_error_s=1.5)
    echo.node.start()
    echo.connect()
    assert echo.spin(lambda: echo.health.level == ERROR)
    assert echo.health.message.startswith("no image on /image for ")
    assert echo.health.statuses[-1].hardware_id == "echo"

    def both() -> bool:
        echo.ask()
        echo.sound.publish(CompressedImage())
        return bool(echo.health.level == OK)

    assert echo.spin(both)
    assert echo.health.message == "estimating"
    status = echo.health.statuses[-1]
    assert (status.hardware_id, status.name) == ("lens", "echo")
    assert float(echo.health.values["age_s"]) < 1 and float(echo.health.values["sound_age_s"]) < 1
    assert float(echo.health.values["rate_hz"]) > 0 and float(echo.health.values["latency_p95_ms"]) > 0

    assert echo.spin(lambda: echo.health.level == WARN)
    both_gone = "no image on /image for .* s; no sound on /sound for .* s"
    assert echo.spin(lambda: echo.health.level == ERROR and re.fullmatch(both_gone, echo.health.message))
    assert echo.spin(both)


def test_a_node_that_drops_most_of_its_frames_warns(bench: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    echo.node.work = lambda message: time.sleep(0.1)
    second = 0

    def flood() -> bool:
        nonlocal second
        second += 1
        echo.images.publish(echo.image(second))
        echo.sound.publish(CompressedImage())
        return "images dropped: they come too fast" in echo.health.message

    assert echo.spin(flood)
    assert echo.health.level == WARN
    assert echo.health.count("dropped") + echo.health.count("lost") > echo.health.count("processed")
