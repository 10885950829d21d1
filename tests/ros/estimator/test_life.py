"""Every transition of a managed node: allowed or not, successful or not, idle or busy."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from lifecycle_msgs.msg import State, Transition
from sensor_msgs.msg import Image

from emotion_core.errors import EmotionError
from emotion_ros.base.latest import LatestWorker

pytestmark = pytest.mark.ros


def test_what_is_not_allowed_is_answered_with_no(bench: Any, capfd: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    assert not echo.change(Transition.TRANSITION_ACTIVATE)
    assert not echo.change(Transition.TRANSITION_CLEANUP)
    assert not echo.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert not echo.change(99)
    assert not echo.change(label="fly")
    assert echo.state == State.PRIMARY_STATE_ACTIVE
    assert echo.ask() == "yes 1.0"
    assert "no transition 3 from the state active" in capfd.readouterr().err


def test_every_transition_by_service(bench: Any) -> None:
    echo = bench()
    for _ in range(2):
        assert echo.change(Transition.TRANSITION_CONFIGURE)
        assert echo.spin(lambda: len(echo.publishers()) == 2)
        assert echo.change(Transition.TRANSITION_ACTIVATE)
        echo.connect()
        assert echo.ask() == "yes 1.0"
        assert echo.workers == 1
        assert echo.change(Transition.TRANSITION_DEACTIVATE)
        assert echo.workers == 0 and echo.spin(lambda: not echo.images.get_subscription_count())
        assert echo.change(Transition.TRANSITION_CLEANUP)
        assert echo.spin(lambda: echo.publishers() == [])
    assert echo.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert echo.state == State.PRIMARY_STATE_FINALIZED


@pytest.mark.parametrize("activated", [True, False])
def test_nothing_is_published_after_shutdown(bench: Any, activated: bool) -> None:
    echo = bench()
    echo.node.trigger_configure()
    if activated:
        echo.node.trigger_activate()
        echo.connect()
    assert echo.spin(lambda: len(echo.health.statuses) >= 2)
    echo.node.trigger_shutdown()
    assert echo.spin(lambda: echo.publishers() == [])
    assert echo.workers == 0
    heard = len(echo.health.statuses)
    assert not echo.spin(lambda: len(echo.health.statuses) > heard, timeout_s=0.5)
    assert list(echo.node.timers) == []


def test_a_failed_configuration_leaves_nothing_and_says_why(bench: Any, capfd: Any) -> None:
    echo = bench(model="nobody")
    assert not echo.change(Transition.TRANSITION_CONFIGURE)
    assert echo.state == State.PRIMARY_STATE_UNCONFIGURED
    assert echo.publishers() == [] and list(echo.node.timers) == []
    assert "could not be configured: unknown model 'nobody'" in capfd.readouterr().err
    with pytest.raises(EmotionError, match=r"^could not be configured: unknown model 'nobody'$"):
        echo.node.start()
    assert echo.set(model="somebody") == (True, "")
    echo.node.start()
    assert echo.state == State.PRIMARY_STATE_ACTIVE


def test_a_defect_in_a_transition_is_told_with_its_traceback(bench: Any, capfd: Any) -> None:
    echo = bench(model="broken")
    with pytest.raises(ZeroDivisionError, match="a defect"):
        echo.node.start()
    said = capfd.readouterr().err
    assert "Traceback" in said and "in make_pipeline" in said
    assert echo.state == State.PRIMARY_STATE_UNCONFIGURED


def test_a_failed_activation_is_undone(bench: Any) -> None:
    echo = bench()

    def fail() -> None:
        raise EmotionError("no such topic")

    echo.node.listen = fail
    with pytest.raises(EmotionError, match="could not be activated: no such topic"):
        echo.node.start()
    assert echo.state == State.PRIMARY_STATE_INACTIVE
    assert echo.workers == 0
    assert list(echo.node.subscriptions) == []
    assert echo.node.pipeline.resets == 1
    echo.node.listen = lambda: None
    assert echo.change(Transition.TRANSITION_ACTIVATE)
    echo.connect()
    assert echo.ask() == "yes 1.0"


def test_deactivation_waits_for_the_message_at_work(bench: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    begun, go_on = threading.Event(), threading.Event()

    def work(_: Image) -> None:
        begun.set()
        assert go_on.wait(20)

    echo.node.work = work
    echo.images.publish(echo.image(7))
    assert echo.spin(begun.is_set)
    echo.images.publish(echo.image(8))  # waits, and is dropped
    assert echo.spin(lambda: echo.node._worker.counts().received == 2)
    threading.Timer(0.3, go_on.set).start()
    before_s = time.monotonic()
    echo.node.trigger_deactivate()
    assert time.monotonic() - before_s > 0.2 and echo.workers == 0
    assert echo.spin(lambda: echo.health.message == "inactive")
    assert [answer.header.stamp.sec for answer in echo.answers] == [7]
    assert [echo.health.count(name) for name in ("received", "processed", "dropped", "rejected")] == [2, 1, 1, 0]


def test_work_that_does_not_end_is_an_error_and_leaves_nothing(
    bench: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    begun, go_on = threading.Event(), threading.Event()

    def work(_: Image) -> None:
        begun.set()
        assert go_on.wait(20)

    echo.node.work = work
    echo.images.publish(echo.image())
    assert echo.spin(begun.is_set)
    stop = LatestWorker.stop
    monkeypatch.setattr(LatestWorker, "stop", lambda worker: stop(worker, 0.1))
    assert not echo.change(Transition.TRANSITION_DEACTIVATE)
    assert echo.state == State.PRIMARY_STATE_UNCONFIGURED
    assert echo.publishers() == [] and list(echo.node.timers) == []
    go_on.set()  # what it then publishes goes nowhere, and is no news
    assert echo.spin(lambda: echo.workers == 0)
    said = capfd.readouterr().err
    assert "could not be deactivated: the message at work has not been finished" in said
    assert "Traceback" not in said and echo.answers == []
