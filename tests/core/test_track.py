from __future__ import annotations

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


def test_nobody_is_fine():
    assert IouTracker().update([], 0.0) == []
