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
