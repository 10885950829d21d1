"""Reading ahead: order, ends, errors and being given up."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from emotion_core.media.ahead import ahead


def test_the_same_items_in_the_same_order_from_another_thread() -> None:
    threads = set()

    def items() -> Iterator[int]:
        for index in range(100):
            threads.add(threading.current_thread().name)
            yield index

    assert list(ahead(items(), 3)) == list(range(100))
    assert threads == {"ahead"}


def test_no_more_than_a_few_wait() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for index in range(100):
            read.append(index)
            yield index

    stream = ahead(items(), 4)
    assert next(stream) == 0
    full = threading.Event()
    full.wait(0.3)
    assert len(read) <= 6  # one taken, four waiting, one in the hand
    stream.close()
    assert "ahead" not in {thread.name for thread in threading.enumerate()}


def test_an_error_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    stream = ahead(items())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stream)
