"""Playing a recording: what it holds is published when it is due, all of it on one clock."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rclpy.node import Node

QUEUE_ITEMS = 12
"""Decoded ahead."""
MAX_LATE_NS = 250_000_000
"""Further behind than this (the machine slept, decoding is slow), playing goes on from where it stands."""


@dataclass(frozen=True)
class Item:
    """Something to be published.

    Attributes:
        publish: called with the stamp in ns.
        time_ns: its time in the recording.
        due_ns: when it is to be published, on the same clock.
        exact: the stamp follows from ``time_ns`` alone, as sound needs it; else it is never after the present nor
            before that of the last such item.
    """

    publish: Callable[[int], None]
    time_ns: int
    due_ns: int
    exact: bool = False


class Player:
    """Publishes items in time: a thread makes them ahead, a timer of the node publishes those that are due.

    Where it is late, or the node's clock was set back, everything that follows is moved together.

    Args:
        node: its clock is followed.
        items: in the order of ``due_ns``; iterated in the thread.
        period_s: how often it is looked whether something is due.
        may_start: asked until it is true, before the first item.
        ended: called once with True after the last item, or with the exception that ended the items.
    """

    def __init__(
        self,
        node: Node,
        items: Iterable[Item],
        period_s: float,
        may_start: Callable[[], bool],
        ended: Callable[[Exception | bool], None],
    ) -> None:
        self._node, self._items, self._may_start, self._ended = node, items, may_start, ended
        self._queue: queue.Queue[Item | Exception | bool] = queue.Queue(QUEUE_ITEMS)
        self._next: Item | None = None
        self._anchor_ns: int | None = None  # the node's clock at time 0 of the recording
        self._last_ns = self._now_ns = -1
        self._slack_ns = round(period_s * 1e9) // 2
        node.create_timer(period_s, self._tick)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._make, name="decode", daemon=True)
        self._thread.start()

    def close(self) -> bool:
        """End the thread; False where it does not end."""
        self._stop.set()
        self._thread.join(timeout=2)
        return not self._thread.is_alive()

    def _make(self) -> None:
        outcome: Exception | bool = True
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except Exception as error:  # the main thread decides what it means
            outcome = error
        self._put(outcome)

    def _put(self, item: Item | Exception | bool) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def _tick(self) -> None:
        """Publish what is due."""
        if self._next is None:
            self._advance()
        if self._next is None or (self._anchor_ns is None and not self._may_start()):
            return
        now = int(self._node.get_clock().now().nanoseconds)
        if self._anchor_ns is None or now < self._now_ns - MAX_LATE_NS:  # the clock may have been set back
            self._anchor_ns, self._last_ns = now - self._next.due_ns, -1
        self._now_ns = now
        late_ns = now - self._anchor_ns - self._next.due_ns
        if late_ns > MAX_LATE_NS:
            self._anchor_ns += late_ns
            logger = self._node.get_logger()
            logger.warning(f"{late_ns / 1e9:.1f} s late, playing on from here", throttle_duration_sec=5)
        # Due within half a period is due now: ticks jitter, and the next one would be further off.
        while self._next is not None and self._anchor_ns + self._next.due_ns <= now + self._slack_ns:
            self._publish(self._next, now, self._anchor_ns + self._next.time_ns)
            self._advance()

    def _publish(self, item: Item, now: int, stamp_ns: int) -> None:
        if not item.exact:
            stamp_ns = self._last_ns = max(min(now, stamp_ns), self._last_ns + 1)
        item.publish(stamp_ns)

    def _advance(self) -> None:
        self._next = None
        try:
            item = self._queue.get_nowait()
        except queue.Empty:
            return
        if isinstance(item, Item):
            self._next = item
        else:
            self._ended(item)
