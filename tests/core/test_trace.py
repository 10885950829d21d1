"""Paths of several people, fed by one thread and read by another."""

from __future__ import annotations

import math
import threading

import pytest

from emotion_core.labels import AFFECTNET
from emotion_core.types import EmotionEstimate
from emotion_core.vision.trace import AffectTrace, AffectTraces


def estimate(stamp_s: float, track: str, valence: float = 0.0) -> EmotionEstimate:
    return EmotionEstimate(stamp_s, AFFECTNET, (0.125,) * 8, valence, -valence, track_id=track)


def test_everybody_has_a_path_of_their_own():
    traces = AffectTraces(2.0)
    for i in range(5):
        now = [estimate(i, "a", i / 10), estimate(i, "", 0.9), estimate(i, "quiet", math.nan)]
        traces.add(now + ([estimate(i, "b", -i / 10)] if i < 2 else []), i)
    found = traces.points(now, 4.0)
    assert set(found) == {"a"}
    assert [(p.valence, p.arousal, p.age, p.joined) for p in found["a"]] == [
        (0.3, -0.3, 0.5, False),
        (0.4, -0.4, 0.0, True),
    ]
    assert traces.points([estimate(4, "b")], 4.0) == {}  # unseen for too long


def test_who_keeps_an_id_was_followed_however_slow_the_camera():
    traces = AffectTraces(10.0)
    for stamp in (0.0, 3.0, 6.0):
        traces.add([estimate(stamp, "a")], stamp)
    assert [p.joined for p in traces.points([estimate(6, "a")], 6.0)["a"]] == [False, True, True]


def test_a_clock_that_jumps_leaves_nothing_behind():
    traces = AffectTraces(5.0)
    traces.add([estimate(1000.0, "a", 0.5)], 1000.0)
    traces.add([estimate(999.9, "a", 0.9)], 999.9)  # a late frame of the same person
    assert [p.valence for p in traces.points([estimate(1000, "a")], 1000.0)["a"]] == [0.5]
    traces.add([estimate(3.0, "b", 0.1)], 3.0)
    assert set(traces.points([estimate(3, "a"), estimate(3, "b")], 3.0)) == {"b"}
    assert not set(traces._traces) - {"b"}


@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_nothing_grows_while_nobody_reads(seconds):
    trace, traces = AffectTrace(seconds), AffectTraces(seconds)
    for i in range(5000):
        one = estimate(i / 100, str(i // 10))
        traces.add([one], one.stamp_s)
        trace.add(estimate(i / 100, "a"))
    assert len(trace.points(49.99)) == 100 * seconds
    assert len(traces._traces) <= 10 * seconds + 1
    assert sum(len(t.places()) for t in traces._traces.values()) <= 100 * seconds + 10


def test_no_seconds_keep_nothing():
    traces = AffectTraces(0.0)
    traces.add([estimate(1.0, "a")], 1.0)
    assert traces.points([estimate(1.0, "a")], 1.0) == {}


def test_one_thread_may_read_while_another_adds():
    traces, stop, failures = AffectTraces(1.0), threading.Event(), []

    def read() -> None:
        try:
            while not stop.is_set():
                for points in traces.points([estimate(0, str(k)) for k in range(5)], 10.0).values():
                    assert all(p.age <= 10 for p in points)
        except Exception as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(3000):
        traces.add([estimate(i / 300, str(k)) for k in range(5)], i / 300)
    stop.set()
    reader.join(60)
    assert not reader.is_alive() and not failures
