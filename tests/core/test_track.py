from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_core.types import Box, Face
from emotion_core.vision.track import IouTracker


def face(x: float, y: float = 0.0, size: float = 100.0) -> Face:
    return Face(Box(x, y, size, size))


def ids(tracker: IouTracker, faces: list[Face], stamp_s: float) -> list[str]:
    return [track.track_id for track in tracker.update(faces, stamp_s)]


def test_ids_stay_with_people_who_move_and_change_order():
    tracker = IouTracker()
    assert ids(tracker, [face(0), face(300)], 0.0) == ["1", "2"]
    assert ids(tracker, [face(290), face(15)], 0.1) == ["2", "1"]
    assert ids(tracker, [face(30), face(280)], 0.2) == ["1", "2"]


def test_a_new_person_gets_a_new_id():
    tracker = IouTracker()
    ids(tracker, [face(0)], 0.0)
    assert ids(tracker, [face(500), face(0)], 0.1) == ["2", "1"]


def test_a_short_gap_is_bridged_along_the_movement_and_a_long_one_is_not():
    tracker = IouTracker(max_gap_s=0.5)
    for step in range(10):
        assert ids(tracker, [face(20 * step)], 0.1 * step) == ["1"]
    # Unseen for 0.4 s: 80 px further, where the last box overlaps by only 0.11.
    assert ids(tracker, [face(20 * 13)], 1.3) == ["1"]
    assert ids(tracker, [face(20 * 13)], 2.0) == ["2"]


def test_two_detections_never_share_a_track():
    tracker = IouTracker()
    ids(tracker, [face(0)], 0.0)
    assert sorted(ids(tracker, [face(5), face(8)], 0.1)) == ["1", "2"]


def test_time_that_runs_backwards_forgets_people_but_not_ids():
    tracker = IouTracker()
    ids(tracker, [face(0)], 10.0)
    assert ids(tracker, [face(0)], 1.0) == ["2"]
    assert ids(tracker, [face(0)], 1.1) == ["2"]
    assert [track.track_id for track in tracker.tracks] == ["2"]


def test_a_late_frame_names_its_faces_and_changes_nobody():
    tracker = IouTracker(max_gap_s=0.5)
    for step in range(10):
        ids(tracker, [face(20 * step)], 0.1 * step)
    (track,) = tracker.tracks
    before = track.face, track.seen_s, track.velocity
    assert ids(tracker, [face(20 * 8)], 0.899) == ["1"]  # one millisecond
    assert ids(tracker, [face(20 * 5), face(900)], 0.5) == ["1", "2"]  # four frames, with somebody new
    assert (track.face, track.seen_s, track.velocity) == before
    assert ids(tracker, [face(900), face(20 * 10)], 1.0) == ["2", "1"]


def test_the_time_of_a_late_frame_is_nobodys_end():
    tracker = IouTracker(max_gap_s=0.5)
    ids(tracker, [face(0)], 1.0)
    ids(tracker, [face(0)], 0.6)
    assert ids(tracker, [face(0)], 1.5) == ["1"]


@pytest.mark.parametrize("rate_hz", [30, 240, 900])
def test_at_high_rates_a_gap_is_as_long(rate_hz):
    tracker = IouTracker(max_gap_s=0.5)
    ids(tracker, [face(0)], 0.0)
    for i in range(1, int(0.49 * rate_hz)):
        ids(tracker, [], i / rate_hz)
    assert ids(tracker, [face(0)], 0.495) == ["1"]


@pytest.mark.parametrize("step_s", [0.0, 1e-9])
def test_stamps_that_stand_still_follow_people_and_forget_those_who_left(step_s):
    tracker = IouTracker(max_gap_s=0.5)
    for i in range(30):
        assert ids(tracker, [face(10 * i)], 5.0 + i * step_s) == ["1"]
    for i in range(30, 1000):  # somebody new at another place in each frame
        ids(tracker, [face(200 * (i % 300), 500)], 5.0 + i * step_s)
        assert len(tracker.tracks) <= 17
    assert "1" not in {track.track_id for track in tracker.tracks}


def test_a_velocity_takes_more_than_a_moment_to_measure():
    tracker = IouTracker()
    ids(tracker, [face(0)], 0.0)
    (track,) = tracker.update([face(3)], 0.001)
    assert track.velocity == (0, 0)
    for i in range(1, 40):
        (track,) = tracker.update([face(3 + 4 * i)], i / 30)
    assert track.velocity == pytest.approx((120, 0), rel=0.01)


def test_ids_count_on_from_the_first():
    tracker = IouTracker(first_id=7)
    assert tracker.next_id == 7
    assert ids(tracker, [face(0), face(300)], 0.0) == ["7", "8"]
    assert tracker.next_id == 9


def test_the_gap_may_be_set_between_two_frames():
    tracker = IouTracker(max_gap_s=0.5)
    ids(tracker, [face(0)], 0.0)
    tracker.max_gap_s = 3.0
    assert ids(tracker, [face(0)], 2.0) == ["1"]
    tracker.max_gap_s = 0.5
    assert ids(tracker, [face(0)], 4.0) == ["2"]


JITTER = st.floats(-0.08, 0.08)
STEPS = st.one_of(st.floats(0.0, 0.002), st.floats(0.01, 0.1), st.floats(0.1, 0.5))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(STEPS, JITTER, JITTER, st.floats(0.95, 1.05)), min_size=2, max_size=40))
def test_somebody_who_stands_still_has_one_id_whatever_frames_are_dropped(frames):
    tracker, stamp = IouTracker(max_gap_s=0.5), 100.0
    for step, dx, dy, size in frames:
        stamp += step
        people = [face(x + 80 * dx, 50 + 80 * dy, 80 * size) for x in (100, 300, 500)]
        assert ids(tracker, people, stamp) == ["1", "2", "3"]


@settings(max_examples=200, deadline=None)
@given(
    speed=st.floats(-300, 300),
    steps=st.lists(st.floats(0.01, 0.1), min_size=10, max_size=40),
    jitter=st.lists(st.floats(-1.5, 1.5), min_size=40, max_size=40),
)
def test_people_who_walk_past_each_other_keep_their_ids(speed, steps, jitter):
    """They pass at 250 px of distance: near, but never over one another."""
    tracker, stamp = IouTracker(), 0.0
    for step, shake in zip(steps, jitter, strict=False):
        stamp += step
        walker, sitter = face(400 + speed * stamp + shake, 0), face(400 - shake, 250)
        assert ids(tracker, [walker, sitter], stamp) == ["1", "2"]


STAMPS = st.one_of(st.just(0.0), st.floats(-1, 1), st.floats(-0.01, 0.04))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(STAMPS, st.lists(st.integers(0, 5), unique=True, max_size=4)), max_size=60))
def test_whatever_the_stamps_ids_are_unique_and_times_never_go_back(frames):
    tracker, stamp, newest = IouTracker(max_gap_s=0.5), 50.0, 0
    for step, places in frames:
        stamp += step
        before = {track.track_id: track.seen_s for track in tracker.tracks}
        found = ids(tracker, [face(300 * place) for place in places], stamp)
        assert len(set(found)) == len(places)
        fresh = [int(track_id) for track_id in found if track_id not in before]
        assert fresh == list(range(newest + 1, newest + 1 + len(fresh)))
        newest += len(fresh)
        assert all(track.seen_s >= before.get(track.track_id, -1) for track in tracker.tracks)
    assert tracker.next_id == newest + 1


@pytest.mark.parametrize("stamps", [(1.0,), (1.0, 0.9), (0.95, 0.7, 0.8)])
def test_stamps_that_stand_behind_the_newest_follow_people_and_forget_those_who_left(stamps):
    tracker = IouTracker(max_gap_s=0.5)
    ids(tracker, [face(0, 0)], 1.0)
    ids(tracker, [face(10, 0)], 1.1)
    seen = set()
    for i in range(500):  # somebody who walks on, and somebody new at another place in each frame
        found = ids(tracker, [face(20 + 10 * i), face(200 * (i % 300), 500)], stamps[i % len(stamps)])
        seen.add(found[0])
        assert len(tracker.tracks) <= 20
    assert len(seen) <= 2  # one new start, when frames have been late for too long


def test_a_clock_that_goes_back_a_little_catches_up_without_forgetting_anybody():
    tracker = IouTracker(max_gap_s=0.5)
    for i in range(60):
        assert ids(tracker, [face(4 * i)], 1.0 + i / 60) == ["1"]
    for i in range(60, 200):
        assert ids(tracker, [face(4 * i)], 0.7 + i / 60) == ["1"]


def test_frames_that_come_in_pairs_or_out_of_order_do_not_shorten_the_gap():
    for swap in ((0, 0), (1, 0)):
        tracker = IouTracker(max_gap_s=0.5)
        ids(tracker, [face(0)], 0.0)
        for i in range(1, 60):
            for offset in swap:
                ids(tracker, [], (2 * i + offset) / 250)
        assert ids(tracker, [face(0)], 0.49) == ["1"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9]), min_size=1, max_size=6),
    st.lists(st.floats(0.5, 1.5), max_size=5),
)
def test_whatever_stamps_repeat_people_who_left_are_forgotten(repeated, before):
    tracker = IouTracker(max_gap_s=0.5)
    for stamp in before:
        ids(tracker, [face(0)], stamp)
    for i in range(150):
        ids(tracker, [face(300 * i)], repeated[i % len(repeated)])
        assert len(tracker.tracks) <= 40


def test_nobody_is_fine():
    assert IouTracker().update([], 0.0) == []
