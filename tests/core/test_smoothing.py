from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_core.pipeline.smoothing import Smoother


def test_step_response_reaches_63_percent_after_the_time_constant_at_any_rate():
    for steps in (1, 7, 100):
        smoother = Smoother(0.5, 10.0)
        value = smoother.update("a", np.array([0.0]), 0.0)
        for i in range(1, steps + 1):
            value = smoother.update("a", np.array([1.0]), 0.5 * i / steps)
        assert value[0] == pytest.approx(1 - math.exp(-1))


@given(st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 1)), min_size=1, max_size=20))
def test_probabilities_stay_probabilities(steps):
    smoother, stamp = Smoother(0.3, 10.0), 0.0
    for elapsed, p in steps:
        stamp += elapsed
        value = smoother.update("a", np.array([p, 1 - p]), stamp)
        assert value.sum() == pytest.approx(1)
        assert (value >= -1e-12).all()


def test_people_do_not_mix_and_long_gaps_and_time_reversal_start_anew():
    smoother = Smoother(1.0, 0.5)
    one, zero = np.array([1.0]), np.array([0.0])
    smoother.update("a", one, 0.0)
    assert smoother.update("b", zero, 0.1)[0] == 0
    assert 0 < smoother.update("a", zero, 0.1)[0] < 1
    assert smoother.update("a", zero, 1.0)[0] == 0
    smoother.update("a", one, 5.0)
    assert smoother.update("a", zero, 4.0)[0] == 0


def test_forgetting_and_no_smoothing():
    smoother = Smoother(1.0, 10.0)
    smoother.update("a", np.array([1.0]), 0.0)
    smoother.forget_except({"b"})
    assert smoother.update("a", np.array([0.0]), 0.1)[0] == 0
    off = Smoother(0.0, 10.0)
    off.update("a", np.array([1.0]), 0.0)
    assert off.update("a", np.array([0.25]), 0.1)[0] == 0.25


def test_where_no_time_passes_nothing_is_smoothed():
    smoother = Smoother(1.0, 0.5)
    for value in (1.0, 0.0, 0.3):
        assert smoother.update("a", np.array([value]), 7.0)[0] == value
    expected = 0.3 + (1 - math.exp(-0.1)) * 0.7
    assert smoother.update("a", np.array([1.0]), 7.1)[0] == pytest.approx(expected)


def test_a_late_value_is_answered_with_the_state_and_does_not_move_it():
    late, plain = Smoother(1.0, 0.5), Smoother(1.0, 0.5)
    for smoother in (late, plain):
        smoother.update("a", np.array([1.0]), 0.0)
        state = smoother.update("a", np.array([0.0]), 0.4)[0]
    for stamp in (0.399, 0.1, -0.1):
        assert late.update("a", np.array([9.0]), stamp)[0] == state
    assert late.update("a", np.array([0.0]), 0.6)[0] == plain.update("a", np.array([0.0]), 0.6)[0]
    assert late.update("a", np.array([9.0]), 0.0)[0] == 9.0  # 0.6 s back: a new start


@pytest.mark.parametrize("stamps", [(7.0, 7.0 + 1e-9, 7.0 + 2e-9), (6.9,), (6.9, 6.8), (6.7, 6.95, 6.8)])
def test_stamps_that_stand_still_or_behind_the_newest_freeze_nothing(stamps):
    smoother = Smoother(0.25, 0.5)
    for stamp in (6.0, 7.0):
        smoother.update("a", np.array([0.0]), stamp)
    for i in range(40):
        value = smoother.update("a", np.array([1.0]), stamps[i % len(stamps)])
    assert value[0] == 1.0


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9]), min_size=1, max_size=6),
    st.lists(st.floats(0.5, 1.5), max_size=5),
)
def test_whatever_stamps_repeat_the_value_follows(repeated, before):
    smoother = Smoother(0.25, 0.5)
    for stamp in before:
        smoother.update("a", np.array([0.0]), stamp)
    for i in range(150):
        value = smoother.update("a", np.array([1.0]), repeated[i % len(repeated)])
    assert value[0] == pytest.approx(1.0, abs=0.01)


def test_the_gap_may_be_set_between_two_values():
    smoother = Smoother(10.0, 0.5)
    smoother.update("a", np.array([0.0]), 0.0)
    smoother.max_gap_s = 3.0
    assert smoother.update("a", np.array([1.0]), 1.0)[0] == pytest.approx(1 - math.exp(-0.1))
