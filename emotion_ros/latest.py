"""A worker thread that always takes the newest item and counts what it had to leave out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass
class Counts:
    """What became of the items: every received one is processed, dropped, rejected, or still waiting."""

    received: int = 0
    processed: int = 0
    dropped: int = 0
    rejected: int = 0


class LatestWorker(Generic[Item]):
    """Calls ``work(item)`` in a thread of its own, for the newest item only.

    Args:
        work: returns whether the item could be used; an exception is passed to ``failed`` and the thread goes on.
        failed: told about an exception of ``work``; the item counts as rejected.
    """

    def __init__(self, work: Callable[[Item], bool], failed: Callable[[Exception], None]) -> None:
        self._work, self._failed = work, failed
        self._condition = threading.Condition()
        self._waiting: Item | None = None
        self._stopping = False
        self._counts = Counts()
        self._thread = threading.Thread(target=self._run, name="latest", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hand over an item; one that still waits is dropped and counted."""
        with self._condition:
            self._counts.received += 1
            if self._waiting is not None:
                self._counts.dropped += 1
            self._waiting = item
            self._condition.notify()

    def counts(self) -> Counts:
        """A copy of the counters."""
        with self._condition:
            return Counts(**vars(self._counts))

    def stop(self, timeout_s: float = 5.0) -> None:
        """Finish the item at work and end the thread; a waiting item is dropped."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._condition:
                while self._waiting is None and not self._stopping:
                    self._condition.wait()
                if self._stopping:
                    self._counts.dropped += self._waiting is not None
                    return
                item, self._waiting = self._waiting, None
            try:
                usable = self._work(item)  # type: ignore[arg-type]
            except Exception as error:
                usable = False
                self._failed(error)
            with self._condition:
                if usable:
                    self._counts.processed += 1
                else:
                    self._counts.rejected += 1
