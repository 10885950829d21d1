"""Playing on a clock of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from emotion_ros.playback import Item, Player

MS = 1_000_000
START_NS = 10**18
PERIOD_S = 0.02


class Node:
    """What Player needs of one; the test moves its clock, and calls the timer."""

    def __init__(self) -> None:
        self.now_ns, self.said = START_NS, []

    def create_timer(self, period_s: float, tick: Callable[[], None]) -> None:
        self.tick = tick

    def get_clock(self) -> Any:
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=self.now_ns))

    def get_logger(self) -> Any:
        return SimpleNamespace(warning=lambda text, **_: self.said.append(text))


class Played:
    """A player of pictures every 40 ms and of sound in chunks of 40 ms, and what it published: (name, stamp in ms)."""

    def __init__(self, count: int = 50, may_start: Callable[[], bool] = lambda: True) -> None:
        self.node, self.found, self.outcomes = Node(), [], []
        self.made = threading.Semaphore(0)
        self.player = Player(self.node, self.items(count), PERIOD_S, may_start, self.outcomes.append)

    def items(self, count: int) -> Iterator[Item]:
        for k in range(count):
            yield Item(lambda stamp, k=k: self.note(f"p{k}", stamp), 40 * k * MS, 40 * k * MS)
            yield Item(lambda stamp, k=k: self.note(f"s{k}", stamp), 40 * k * MS, 40 * (k + 1) * MS, exact=True)

    def note(self, name: str, stamp_ns: int) -> None:
        self.found.append((name, (stamp_ns - START_NS) / MS))

    def at(self, ms: float, count: int) -> list[tuple[str, float]]:
        """Let it be so late, and tick until ``count`` items were published in all: decoding may be behind."""
        self.node.now_ns = START_NS + round(ms * MS)
        before = len(self.found)
        for _ in range(2000):
            self.node.tick()
            if len(self.found) >= count:
                break
            threading.Event().wait(0.005)
        return self.found[before:]


@pytest.fixture
def playing() -> Iterator[Callable[..., Played]]:
    made: list[Played] = []

    def make(*arguments: Any) -> Played:
        made.append(Played(*arguments))
        return made[-1]

    yield make
    for played in made:
        assert played.player.close()


def test_each_is_published_when_it_is_due_with_the_stamp_of_its_time(playing):
    played = playing()
    assert played.at(0, 1) == [("p0", 0)]
    assert played.at(25, 1) == []
    assert played.at(31, 3) == [("s0", 0), ("p1", 31)]  # due within half a period
    assert played.at(85, 5) == [("s1", 40), ("p2", 80)]


def test_a_little_late_is_made_up_for(playing):
    played = playing()
    played.at(0, 1)
    late = played.at(200, 11)
    assert [name for name, _ in late] == ["s0", "p1", "s1", "p2", "s2", "p3", "s3", "p4", "s4", "p5"]
    assert [stamp for name, stamp in late if name[0] == "s"] == [0, 40, 80, 120, 160]
    assert [stamp for name, stamp in late if name[0] == "p"] == [40, 80, 120, 160, 200]
    assert played.node.said == []


def test_far_too_late_moves_pictures_and_sound_together(playing):
    played = playing()
    played.at(0, 1)
    assert played.at(1040, 3) == [("s0", 1000), ("p1", 1040)]
    assert played.at(1080, 5) == [("s1", 1040), ("p2", 1080)]
    assert played.node.said == ["1.0 s late, playing on from here"]


def test_a_clock_that_is_set_back_is_followed(playing):
    played = playing()
    played.at(0, 1)
    played.at(40, 3)
    assert played.at(-5000, 5) == [("s1", -5040), ("p2", -5000)]
    assert played.at(-4960, 7) == [("s2", -5000), ("p3", -4960)]


def test_nothing_is_due_before_somebody_listens(playing):
    listening: list[bool] = []
    played = playing(50, lambda: bool(listening))
    for ms in (0, 500):
        played.node.now_ns = START_NS + ms * MS
        played.node.tick()
    assert played.found == []
    listening.append(True)
    assert played.at(900, 1) == [("p0", 900)]
    assert played.at(940, 3) == [("s0", 900), ("p1", 940)]


def test_the_end_is_told_after_the_last_item(playing):
    played = playing(1)
    played.at(0, 1)
    assert played.outcomes == []
    played.at(40, 2)
    for _ in range(2000):
        if played.outcomes:
            break
        played.node.tick()
        threading.Event().wait(0.005)
    assert played.outcomes == [True] and [name for name, _ in played.found] == ["p0", "s0"]


def test_what_ends_the_items_early_is_told(playing):
    def broken() -> Iterator[Item]:
        yield Item(lambda _: None, 0, 0)
        raise OSError("unplugged")

    outcomes: list[Any] = []
    node = Node()
    player = Player(node, broken(), PERIOD_S, lambda: True, outcomes.append)
    for _ in range(2000):
        if outcomes:
            break
        node.tick()
        threading.Event().wait(0.005)
    assert isinstance(outcomes[0], OSError) and player.close()
