from __future__ import annotations

import pytest

from emotion_core.pipeline.cadence import Cadence


def gaps(cadence: Cadence, *stamps: float) -> list[float]:
    return [round(cadence.update(stamp), 9) for stamp in stamps]


@pytest.mark.parametrize(("period_s", "gap_s"), [(1 / 30, 0.5), (0.1, 0.5), (0.5, 1.5), (1, 3), (300, 900)])
def test_the_gap_is_the_chosen_one_and_never_less_than_three_periods(period_s, gap_s):
    assert gaps(Cadence(0.5), *(7 + i * period_s for i in range(20))) == pytest.approx([0.5, *[gap_s] * 19])


def test_a_pause_is_no_rate():
    stamps = [i / 10 for i in range(10)]
    assert gaps(Cadence(0.5), *stamps, *(60 + s for s in stamps)) == [0.5] * 20


def test_a_stream_that_slows_down_is_followed():
    assert gaps(Cadence(0.5), *(i / 10 for i in range(10)), *range(1, 10))[-1] == 3


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
