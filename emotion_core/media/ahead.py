"""Read ahead: a thread reads and decodes the next items while the last ones are worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_PATIENCE_S = 2.0
"""So long is waited for a thread that nobody needs any more; it may sleep until the next item is due."""


class _End:
    """The last entry of the queue: how the reading ended."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterable[Item], count: int = 8) -> Iterator[Item]:
    """The same items in the same order, read by a thread of their own.

    What reading raises is raised here, in its place. When the iteration is given up, the thread ends with the item that
    it is at.

    Args:
        items: read in the thread only.
        count: so many wait at most.
    """
    waiting: queue.Queue[Item | _End] = queue.Queue(count)
    stop = threading.Event()

    def put(item: Item | _End) -> None:
        while not stop.is_set():
            try:
                return waiting.put(item, timeout=0.1)
            except queue.Full:
                continue

    def read() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
            put(_End())
        except BaseException as error:  # raised again where the items are used
            put(_End(error))

    thread = threading.Thread(target=read, name="ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join(_PATIENCE_S)
