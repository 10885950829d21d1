from __future__ import annotations

import random

import pytest

from emotion_core.pipeline.cadence import Cadence
from emotion_core.types import Box, Face
from emotion_core.vision.track import IouTracker


def gaps(cadence: Cadence, *stamps: float) -> list[float]:
    return [round(cadence.update(stamp), 9) for stamp in stamps]


@pytest.mark.parametrize(("period_s", "gap_s"), [(1 / 30, 0.5), (0.1, 0.5), (0.5, 1.5), (1, 3), (300, 900)])
def test_the_gap_is_the_chosen_one_and_never_less_than_three_periods(period_s, gap_s):
    assert gaps(Cadence(0.5), *(7 + i * period_s for i in range(20))) == pytest.approx([0.5, *[gap_s] * 19])


@pytest.mark.parametrize("pause_s", [0.6, 5, 3600])
def test_a_pause_is_longer_than_the_gap_and_soon_forgotten(pause_s):
    cadence, stamps = Cadence(0.5), [i / 10 for i in range(10)]
    assert gaps(cadence, *stamps) == [0.5] * 10
    assert cadence.update(0.9 + pause_s) < pause_s
    assert gaps(cadence, *(0.9 + pause_s + s for s in stamps[1:]))[-1] == 0.5


def test_one_id_for_a_face_that_is_looked_at_now_and_then():
    """A node that is busy takes a frame in 0.1 to 0.8 s: that is no reason to think of somebody else."""
    for seed in range(50):
        cadence, tracker, rng, stamp = Cadence(0.5), IouTracker(), random.Random(seed), 9.0
        for _ in range(200):
            tracker.max_gap_s = cadence.update(stamp)
            jitter = [rng.gauss(0, 2) for _ in range(3)]
            tracker.update([Face(Box(100 + jitter[0], 80 + jitter[1], 90 + jitter[2], 90 + jitter[2]))], stamp)
            stamp += rng.uniform(0.1, 0.8)
        assert tracker.next_id == 2


def test_a_stream_that_slows_down_is_followed():
    assert gaps(Cadence(0.5), *(i / 10 for i in range(10)), *range(1, 12))[-1] == 3


def test_repeated_and_late_stamps_say_nothing_of_the_rate():
    cadence = Cadence(0.5)
    assert gaps(cadence, 1, 1, 1, 1) == [0.5] * 4
    assert gaps(cadence, 2, 2, 2) == [3] * 3
    assert gaps(cadence, 1.9, 1.5) == [3, 3]
    assert gaps(cadence, 3, 4) == [3, 3]


def test_a_larger_step_back_is_a_new_start():
    cadence = Cadence(0.5)
    gaps(cadence, 10, 11, 12)
    assert gaps(cadence, 2, 2.1, 2.2) == [0.5] * 3
