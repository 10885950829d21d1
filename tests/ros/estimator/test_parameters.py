"""Parameters of a node: when they may be set, of which type they stay, from when on they count."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from emotion_core.errors import EmotionError

pytestmark = pytest.mark.ros


def test_what_needs_a_reload_is_refused_while_configured_and_counts_after(bench: Any) -> None:
    echo = bench()
    assert echo.set(model="first") == (True, "")
    echo.node.trigger_configure()
    assert echo.spin(lambda: echo.health.values.get("model") == "first")
    accepted, reason = echo.set(model="second")
    assert not accepted and reason == "parameter model: cannot change while the node is configured, clean it up first"
    assert echo.set(model="first") == (True, "")  # as a whole file of parameters does
    echo.node.trigger_cleanup()
    assert echo.set(model="second") == (True, "")
    echo.node.trigger_configure()
    assert echo.spin(lambda: echo.health.values.get("model") == "second")


def test_a_live_parameter_counts_from_the_next_message_on(bench: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    assert echo.ask() == "yes 1.0"
    assert echo.set(times=2.5) == (True, "")
    assert echo.ask() == "yes 2.5"
    echo.node.trigger_deactivate()
    assert echo.set(times=3.5, word="ja") == (True, "")  # nobody works, and it is not lost
    echo.node.trigger_activate()
    echo.connect()
    assert echo.ask() == "ja 3.5"


def test_whole_numbers_leave_a_parameter_what_it_is(bench: Any) -> None:
    echo = bench(times=2, word=1, autostart="no")  # as YAML reads them
    assert echo.node.settings.autostart is False
    echo.node.start()
    echo.connect()
    assert echo.ask() == "1 2.0"
    assert echo.set(times=3) == (True, "")
    assert echo.ask() == "1 3.0"
    value = echo.get("times")
    assert (value.type, value.double_value) == (3, 3.0)  # PARAMETER_DOUBLE
    assert not echo.set(times="four")[0]
    assert echo.ask() == "1 3.0"


def test_what_is_refused_changes_nothing(bench: Any, capfd: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    assert not echo.set(times=5.0, model="second")[0]  # all or nothing
    assert not echo.set(times=10.0)[0]
    assert echo.ask() == "yes 1.0"
    assert echo.set(word="no") == (False, "the word no cannot be repeated")
    assert echo.ask() == "yes 1.0"
    echo.node.trigger_deactivate()
    assert echo.set(word="no") == (False, "the word no cannot be repeated")
    assert echo.get("word").string_value == "yes"


def test_what_must_be_loaded_is_loaded_while_messages_are_worked_on(bench: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    loading, go_on = threading.Event(), threading.Event()

    def load(voice: str) -> None:
        loading.set()
        assert go_on.wait(20)

    echo.node.pipeline.load = load
    assert echo.set(voice="high") == (True, "")
    assert loading.wait(20)
    assert [echo.ask() for _ in range(3)] == ["yes 1.0"] * 3  # nobody waits for it
    assert echo.set(times=2.0) == (True, "")  # and what is set meanwhile is not lost
    go_on.set()
    assert echo.spin(lambda: echo.node.pipeline.config.voice == "high" and echo.node.pipeline.config.times == 2.0)
    assert echo.ask() == "yes 2.0"
    assert echo.node._worker.counts().dropped == 0


def test_what_cannot_be_loaded_leaves_the_former_value(bench: Any, capfd: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()

    def load(voice: str) -> None:
        raise EmotionError(f"there is no voice {voice}")

    echo.node.pipeline.load = load
    assert echo.set(voice="high") == (True, "")
    assert echo.spin(lambda: echo.get("voice").string_value == "deep")
    assert capfd.readouterr().err.count("are not applied: there is no voice high") == 1
    assert echo.ask() == "yes 1.0"


def test_what_was_set_while_it_was_ended_counts_when_it_goes_on(bench: Any) -> None:
    echo = bench()
    echo.node.start()
    loading, go_on = threading.Event(), threading.Event()
    echo.node.pipeline.load = lambda voice: (loading.set(), go_on.wait(20))
    assert echo.set(voice="high") == (True, "")
    assert loading.wait(20)
    assert echo.set(voice="hoarse") == (True, "")  # it waits, and is dropped with its thread
    threading.Timer(0.2, go_on.set).start()
    echo.node.trigger_deactivate()
    echo.node.pipeline.load = lambda voice: None
    echo.node.trigger_activate()
    assert echo.node.pipeline.config.voice == "hoarse"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"times": 10.0}, r"parameter times: expected a number in \[0, 9\], got 10.0"),
        ({"times": "many"}, "parameter times: expected float, got 'many'"),
        ({"autostart": "maybe"}, "parameter autostart: expected bool, got 'maybe'"),
        ({"stale_warn_s": float("nan")}, "parameter stale_warn_s"),
    ],
)
def test_a_bad_value_at_the_start(bench: Any, values: dict[str, Any], reason: str) -> None:
    with pytest.raises(EmotionError, match=reason):
        bench(**values)
