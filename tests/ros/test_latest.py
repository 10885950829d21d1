"""The worker behind every estimating node: the newest item wins, and every item is accounted for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from emotion_ros.base.latest import Counts, LatestWorker


def wait(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


class Desk:
    """Works on items one at a time, each only when it is let."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.let = threading.Semaphore(0)

    def work(self, item: int) -> bool:
        self.begun.append(item)
        assert self.let.acquire(timeout=20)
        return item >= 0


def test_the_newest_wins_and_every_item_is_accounted_for() -> None:
    desk = Desk()
    worker: LatestWorker[int] = LatestWorker(desk.work, lambda _: None)
    worker.put(1)
    wait(lambda: desk.begun == [1])
    for item in (2, 3, -4):  # while 1 is at work
        worker.put(item)
    assert worker.counts() == Counts(received=4, processed=0, dropped=2, rejected=0)
    desk.let.release(2)
    wait(lambda: worker.counts().rejected == 1)
    assert desk.begun == [1, -4]
    assert worker.counts() == Counts(received=4, processed=1, dropped=2, rejected=1)
    assert worker.stop()
    worker.put(5)
    assert worker.counts() == Counts(received=5, processed=1, dropped=3, rejected=1)


def test_stop_finishes_what_is_at_work_and_drops_what_waits() -> None:
    desk = Desk()
    worker: LatestWorker[int] = LatestWorker(desk.work, lambda _: None)
    worker.put(1)
    wait(lambda: desk.begun == [1])
    worker.put(2)
    assert not worker.stop(timeout_s=0.05)  # 1 is still at work
    desk.let.release()
    assert worker.stop()
    assert desk.begun == [1]
    assert worker.counts() == Counts(received=2, processed=1, dropped=1, rejected=0)


def test_it_survives_what_fails_and_who_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []

    def work(item: int) -> bool:
        if item == 1:
            raise ValueError("one")
        return True

    def failed(error: Exception) -> None:
        told.append(str(error))
        raise RuntimeError("nobody listens")

    worker = LatestWorker(work, failed)
    worker.put(1)
    wait(lambda: worker.counts().rejected == 1)
    worker.put(2)
    wait(lambda: worker.counts().processed == 1)
    assert told == ["one"]
    assert "nobody listens" in capsys.readouterr().err
    assert worker.stop()


def test_an_action_runs_between_two_items_in_the_worker_s_thread() -> None:
    desk, did = Desk(), []
    worker: LatestWorker[int] = LatestWorker(desk.work, lambda _: None)
    worker.put(1)
    wait(lambda: desk.begun == [1])
    worker.soon(lambda: did.append("first"))
    worker.soon(lambda: did.append(threading.current_thread().name))  # takes the place of the first
    assert did == []
    desk.let.release()
    wait(lambda: did == ["latest"])  # without waiting for a second item
    worker.put(2)
    wait(lambda: desk.begun == [1, 2])
    worker.soon(lambda: did.append("at the end"))
    desk.let.release()
    assert worker.stop()
    assert did == ["latest", "at the end"]


def test_actions_of_different_names_do_not_displace_each_other() -> None:
    desk, did = Desk(), []
    worker: LatestWorker[int] = LatestWorker(desk.work, lambda _: None)
    worker.put(1)
    wait(lambda: desk.begun == [1])
    for name, what in (("settings", 1), ("reset", 2), ("settings", 3)):
        worker.soon(lambda what=what: did.append(what), name)
    desk.let.release()
    assert worker.stop()
    assert did == [2, 3]


def test_an_action_that_fails_is_told_and_costs_no_item() -> None:
    told: list[str] = []
    worker: LatestWorker[int] = LatestWorker(lambda _: True, lambda error: told.append(repr(error)))

    def fail() -> None:
        raise ValueError("no such detector")

    worker.soon(fail)
    wait(lambda: told == ["ValueError('no such detector')"])
    worker.put(1)
    wait(lambda: worker.counts().processed == 1)
    assert worker.stop()


def test_whoever_waits_for_rest_waits_until_nothing_is_at_work() -> None:
    desk = Desk()
    worker: LatestWorker[int] = LatestWorker(desk.work, lambda _: None)
    assert worker.wait_idle(0.0)
    worker.put(1)
    wait(lambda: desk.begun == [1])
    worker.put(2)
    assert not worker.wait_idle(0.01)
    rested: list[bool] = []
    waiter = threading.Thread(target=lambda: rested.append(worker.wait_idle(20)))
    waiter.start()
    desk.let.release()
    wait(lambda: desk.begun == [1, 2])
    assert not rested  # between the two there was no rest
    desk.let.release()
    waiter.join(20)
    assert rested == [True]
    worker.put(3)
    wait(lambda: desk.begun == [1, 2, 3])
    assert not worker.stop(timeout_s=0.0)
    assert worker.wait_idle(0.0)  # nobody waits for one that is being stopped
    desk.let.release()
    assert worker.stop()


def test_after_a_pause_the_newest_is_taken() -> None:
    begun: list[int] = []
    pauses, let = threading.Semaphore(0), threading.Semaphore(0)

    def pause() -> None:
        pauses.release()
        assert let.acquire(timeout=20)

    worker: LatestWorker[int] = LatestWorker(lambda item: begun.append(item) is None, lambda _: None, pause=pause)
    worker.put(1)
    assert pauses.acquire(timeout=20)
    worker.put(2)
    worker.put(3)
    let.release()
    wait(lambda: worker.counts().processed == 1)
    assert begun == [3]
    assert worker.counts() == Counts(received=3, processed=1, dropped=2)
    worker.put(4)
    assert pauses.acquire(timeout=20)
    assert not worker.stop(timeout_s=0.0)
    let.release()
    assert worker.stop()
    assert begun == [3]
    assert worker.counts().dropped == 3
