"""At most so many messages a second."""

import numpy as np
import pytest

from emotion_ros.base.limit import RateLimit


@pytest.mark.parametrize(
    ("camera_hz", "limit_hz", "expected_hz"),
    [(30, 0, 30), (30, 30, 30), (30, 15, 15), (30, 20, 20), (30, 60, 30), (60, 7, 7)],
)
def test_the_rate_is_held_and_an_even_camera_stays_even(camera_hz: int, limit_hz: float, expected_hz: float) -> None:
    rng, limit = np.random.default_rng(1), RateLimit(limit_hz)
    stamps = 1000 + np.arange(10 * camera_hz) / camera_hz + rng.normal(0, 0.05 / camera_hz, 10 * camera_hz)
    passed = [stamp for stamp in stamps if limit.passes(stamp)]
    assert len(passed) == pytest.approx(10 * expected_hz, abs=2)
    if camera_hz % expected_hz == 0:
        assert np.diff(passed).max() < 1.3 / expected_hz


def test_a_clock_that_goes_back_begins_anew() -> None:
    limit = RateLimit(10)
    assert limit.passes(100.0) and not limit.passes(100.05)
    assert limit.passes(5.0) and not limit.passes(5.05) and limit.passes(5.1)


def test_after_a_pause_there_is_no_burst() -> None:
    limit = RateLimit(10)
    assert limit.passes(0.0)
    assert [limit.passes(9 + i / 30) for i in range(6)] == [True, False, False, True, False, False]
