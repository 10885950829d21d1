"""A worker thread that always takes the newest item and counts what it had to leave out."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass
class Counts:
    """What became of the items: every received one is processed, dropped, rejected, or still waiting or at work."""

    received: int = 0
    processed: int = 0
    dropped: int = 0
    rejected: int = 0

    @property
    def unfinished(self) -> int:
        """How many wait or are at work."""
        return self.received - self.processed - self.dropped - self.rejected

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: value + getattr(other, name) for name, value in vars(self).items()})


class LatestWorker(Generic[Item]):
    """Calls ``work(item)`` in a thread of its own, for the newest item only.

    Args:
        work: returns whether the item could be used; an exception is passed to ``failed`` and the thread goes on.
        failed: told about an exception of ``work`` (the item counts as rejected) or of an action handed to ``soon``.
        name: of the thread.
        pause: called by the thread when there is an item, before it takes the newest; it may wait for something.
    """

    def __init__(
        self,
        work: Callable[[Item], bool],
        failed: Callable[[Exception], None],
        name: str = "latest",
        pause: Callable[[], None] | None = None,
    ) -> None:
        self._work, self._failed, self._pause = work, failed, pause
        lock = threading.RLock()
        self._condition, self._idle = threading.Condition(lock), threading.Condition(lock)
        self._waiting: Item | None = None
        self._actions: dict[str, Callable[[], None]] = {}
        self._stopping = False
        self._counts = Counts()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hand over an item; one that still waits is dropped and counted, and so is one that comes after ``stop``."""
        with self._condition:
            self._counts.received += 1
            if self._stopping:
                self._counts.dropped += 1
                return
            if self._waiting is not None:
                self._counts.dropped += 1
            self._waiting = item
            self._condition.notify()

    def leave_out(self) -> None:
        """Count an item that came and is not to be worked on as dropped."""
        with self._condition:
            self._counts.received += 1
            self._counts.dropped += 1

    def soon(self, action: Callable[[], None], name: str = "") -> None:
        """Have the thread run an action between two items; it takes the place of one of its name that still waits.

        Actions that wait when the worker is stopped are still run.
        """
        with self._condition:
            self._actions.pop(name, None)
            self._actions[name] = action
            self._condition.notify()

    def counts(self) -> Counts:
        """A copy of the counters."""
        with self._condition:
            return Counts(**vars(self._counts))

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is at work and nothing waits, or it is stopped; False when that takes longer."""
        with self._condition:
            return self._idle.wait_for(lambda: self._stopping or not self._counts.unfinished, timeout_s)

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Finish the item at work and end the thread; a waiting item is dropped.

        Returns:
            Whether the thread has ended in time. One that has not ends with its item, and reports no failure of it.
        """
        with self._condition:
            self._stopping = True
            if self._waiting is not None:
                self._waiting = None
                self._counts.dropped += 1
            self._condition.notify()
            self._idle.notify_all()
        if threading.current_thread() is self._thread:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._condition:
                while self._waiting is None and not self._actions and not self._stopping:
                    self._condition.wait()
                pauses = self._pause is not None and self._waiting is not None and not self._stopping
            if pauses and self._pause is not None:
                self._attempt(self._pause)
            with self._condition:
                item, self._waiting = self._waiting, None
                actions, self._actions = self._actions, {}
                ending = self._stopping
            for action in actions.values():
                self._attempt(action)
            if item is not None:
                usable = self._attempt(lambda item=item: self._work(item)) is True  # type: ignore[misc]
                with self._condition:
                    if usable:
                        self._counts.processed += 1
                    else:
                        self._counts.rejected += 1
                    self._idle.notify_all()
            if ending:
                return

    def _attempt(self, call: Callable[[], bool | None]) -> bool | None:
        """The result of a call; None after an exception, which ``failed`` is told unless the node has moved on."""
        try:
            return call()
        except Exception as error:
            with self._condition:
                stopping = self._stopping
            if not stopping:
                try:
                    self._failed(error)
                except Exception:  # whatever telling it runs into, the next item is worked on
                    traceback.print_exc()
            return None
