"""Chunks that are lost, doubled, late, jittery, drifting or from another time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emotion_core.audio.order import ChunkOrder, SoundCounts
from emotion_core.errors import EmotionError

RATE = 16000
CHUNK = 320  # 20 ms


def made(count: int, size: int = CHUNK, start_s: float = 100.0) -> list[tuple[np.ndarray, float]]:
    """Chunks of a sound whose samples are 1, 2, 3…, with their stamps."""
    sound = np.arange(1, count * size + 1, dtype=np.float32)
    return [(sound[i * size : (i + 1) * size], start_s + i * size / RATE) for i in range(count)]


def heard(chunks, counts=None, **kwargs) -> tuple[np.ndarray, ChunkOrder]:
    """What came out since the last restart."""
    order = ChunkOrder(RATE, counts or SoundCounts(), **kwargs)
    out: list[np.ndarray] = []
    for samples, stamp_s in chunks:
        restarted, more = order.push(samples, stamp_s)
        out = [more] if restarted else [*out, more]
    out.append(order.finish())
    return np.concatenate(out), order


def test_whole_sound_passes_as_it_is():
    chunks, counts = made(10), SoundCounts()
    out, order = heard(chunks, counts)
    np.testing.assert_array_equal(out, np.arange(1, 3201))
    assert order.origin_s == pytest.approx(100.0) and order.end_s == pytest.approx(100.2)
    assert counts == SoundCounts()


def test_lost_chunk_becomes_zeros():
    chunks, counts = made(10), SoundCounts()
    out, order = heard(chunks[:4] + chunks[5:], counts)
    wanted = np.arange(1, 3201, dtype=np.float32)
    wanted[4 * CHUNK : 5 * CHUNK] = 0
    np.testing.assert_array_equal(out, wanted)
    assert (counts.gaps, counts.gap_s) == (1, pytest.approx(0.02))
    assert order.end_s == pytest.approx(100.2)


def test_gap_is_given_up_when_three_wait():
    chunks = made(10)
    order = ChunkOrder(RATE, SoundCounts())
    order.push(*chunks[0])
    lengths = [len(order.push(*chunk)[1]) for chunk in chunks[2:6]]
    assert lengths == [0, 0, 4 * CHUNK, CHUNK]


def test_gap_is_given_up_after_half_a_second_of_sound():
    chunks = made(4, size=4800)  # 0.3 s
    order = ChunkOrder(RATE, SoundCounts())
    order.push(*chunks[0])
    assert len(order.push(*chunks[2])[1]) == 9600


@pytest.mark.parametrize("arrival", [[0, 2, 1, 3, 4], [0, 2, 3, 1, 4], [0, 3, 2, 1, 4]])
def test_wrong_order_is_put_right(arrival):
    chunks, counts = made(5), SoundCounts()
    out, _ = heard([chunks[i] for i in arrival], counts)
    np.testing.assert_array_equal(out, np.arange(1, 1601))
    assert counts.reordered >= 1
    assert (counts.gaps, counts.late, counts.restarts) == (0, 0, 0)


def test_chunk_whose_place_is_filled_is_dropped():
    chunks, counts = made(8), SoundCounts()
    out, _ = heard([chunks[i] for i in (0, 2, 3, 4, 1, 5, 6, 7)], counts)
    assert len(out) == 8 * CHUNK and not out[CHUNK : 2 * CHUNK].any()
    assert (counts.gaps, counts.late) == (1, 1)


@pytest.mark.parametrize("size", [160, 1600, 16000, 80000])
def test_doubled_chunks_count_once(size):
    chunks, counts = made(4, size), SoundCounts()
    out, _ = heard([chunk for chunk in chunks for _ in range(2)], counts)
    np.testing.assert_array_equal(out, np.arange(1, 4 * size + 1))
    assert (counts.late, counts.restarts, counts.gaps) == (4, 0, 0)


def test_overlap_is_dropped():
    sound = np.arange(1, 16001, dtype=np.float32)
    starts = range(0, 16000 - 3200 + 1, 1600)  # each chunk of 0.2 s repeats half of the last one
    counts = SoundCounts()
    out, _ = heard([(sound[i : i + 3200], 5 + i / RATE) for i in starts], counts)
    np.testing.assert_array_equal(out, sound)
    assert (counts.overlaps, counts.overlap_s) == (8, pytest.approx(0.8))


def test_small_overlaps_and_gaps_are_seen_once_stamps_proved_exact():
    sound, counts = np.arange(1, 16001, dtype=np.float32), SoundCounts()
    chunks = [(sound[i : i + CHUNK], i / RATE) for i in range(0, 12800, CHUNK)]
    chunks += [(sound[12720:13040], 12720 / RATE), (sound[13120:13440], 13120 / RATE)]  # 5 ms too early, 5 ms too late
    out, _ = heard(chunks, counts)
    wanted = sound[:13440].copy()
    wanted[13040:13120] = 0
    np.testing.assert_array_equal(out, wanted)
    assert (counts.overlaps, counts.gaps) == (1, 1)
    assert (counts.overlap_s, counts.gap_s) == (pytest.approx(0.005), pytest.approx(0.005))


@given(st.lists(st.tuples(st.sampled_from(["drop", "double", "swap", "pass"]), st.integers(160, 3200)), max_size=40))
@example([("drop", 161), ("double", 2684), ("drop", 160), ("double", 615)])
def test_every_sample_is_in_its_place_or_missing(events):
    """What befalls each chunk, and how long it is; the first one always comes, and is whole."""
    chunks, at = [(np.ones(CHUNK, np.float32), 0.0)], CHUNK
    held = None
    for event, size in events:
        chunk = (np.arange(at + 1, at + size + 1, dtype=np.float32), at / RATE)
        at += size
        if event == "swap" and held is None:
            held = chunk
            continue
        chunks += [] if event == "drop" else [chunk] * (1 + (event == "double"))
        chunks += [] if held is None else [held]
        held = None
    counts = SoundCounts()
    out, order = heard(chunks, counts, max_step_s=60)
    off_s = (out - np.arange(1, len(out) + 1)) / RATE
    # Where stamps are off by less than a chunk that is lost, time itself follows them a little: origin_s says how far.
    followed_s = np.clip(off_s, min(0.0, order.origin_s), max(0.0, order.origin_s))
    right = (out == 0) | (np.abs(off_s - followed_s) <= 0.02)
    assert right[CHUNK:].all() and abs(order.origin_s) < 0.02
    assert order.end_s * RATE == pytest.approx(max(t * RATE + len(x) for x, t in chunks), abs=0.02 * RATE)
    assert counts.restarts == 0


def test_jitter_neither_cuts_nor_fills():
    rng = np.random.default_rng(0)
    counts = SoundCounts()
    out, order = heard([(x, t + rng.uniform(-0.0045, 0.0045)) for x, t in made(500)], counts)
    np.testing.assert_array_equal(out, np.arange(1, 500 * CHUNK + 1))
    assert counts == SoundCounts()
    assert order.end_s == pytest.approx(110.0, abs=0.003)


def test_time_follows_a_clock_that_drifts():
    counts = SoundCounts()
    out, order = heard([(x, 100 + (t - 100) * 1.0005) for x, t in made(5000)], counts)  # 100 s, 50 ms in all
    assert len(out) == 5000 * CHUNK and counts == SoundCounts()
    assert order.end_s == pytest.approx(200.05, abs=0.002)


@pytest.mark.parametrize("jump_s", [3600.0, 1.5, -1.5, -3600.0])
def test_jump_of_the_clock_begins_anew(jump_s):
    chunks, counts = made(6), SoundCounts()
    out, order = heard(chunks[:3] + [(x, t + jump_s) for x, t in chunks[3:]], counts)
    np.testing.assert_array_equal(out, np.arange(3 * CHUNK + 1, 6 * CHUNK + 1))
    assert counts == SoundCounts(restarts=1)
    assert order.origin_s == pytest.approx(100.06 + jump_s)


def test_longest_step_can_be_chosen():
    chunks = made(2)
    late = (chunks[1][0], 110.0)
    out, _ = heard([chunks[0], late], counts := SoundCounts(), max_step_s=60)
    assert len(out) == round(10.02 * RATE)
    assert (counts.gaps, counts.restarts) == (1, 0)


@pytest.mark.parametrize("stamp_s", [math.nan, math.inf])
def test_time_must_be_a_number(stamp_s):
    order = ChunkOrder(RATE, SoundCounts())
    with pytest.raises(EmotionError, match="time of a chunk"):
        order.push(np.ones(10, np.float32), stamp_s)
    assert math.isnan(order.end_s)


def test_stamps_of_today_are_exact_enough():
    out, order = heard(made(1000, size=160, start_s=1.8e9), counts := SoundCounts())
    np.testing.assert_array_equal(out, np.arange(1, 160001))
    assert counts == SoundCounts()
    assert order.end_s == pytest.approx(1.8e9 + 10, abs=1e-5)
