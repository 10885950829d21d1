"""Parameters of a node: when they may be set, of which type they stay, from when on they count."""

from __future__ import annotations

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
    assert echo.set(word="no") == (True, "")  # the worker finds out, and goes on as before
    assert echo.ask() == "yes 1.0"
    said = "the parameters that were set are not applied: the word no cannot be repeated"
    assert capfd.readouterr().err.count(said) == 1
    assert echo.set(word="yes") == (True, "")
    echo.node.trigger_deactivate()
    assert echo.set(word="no") == (False, "the word no cannot be repeated")
    assert echo.get("word").string_value == "yes"


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
