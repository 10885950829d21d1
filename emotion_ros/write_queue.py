"""Messages on their way to the disk: a thread writes them, so that a slow disk holds nobody back."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from emotion_core.errors import EmotionError


class WriteQueue:
    """Hands messages to ``write`` in the order in which they came; what finds no room is dropped and counted.

    Args:
        write: called in the thread with what ``put`` got; the first EmotionError that it raises ends the writing.
        limit_bytes: so many bytes of data may wait.

    Attributes:
        written, dropped: messages.
        error: what ended the writing, None where nothing did.
    """

    def __init__(self, write: Callable[[str, str, bytes, int], None], limit_bytes: int) -> None:
        self._write, self._limit = write, limit_bytes
        self.written = self.dropped = 0
        self.error: EmotionError | None = None
        self._condition = threading.Condition()
        self._waiting: deque[tuple[str, str, bytes, int]] = deque()
        self._bytes = 0
        self._finishing = False
        self._thread = threading.Thread(target=self._run, name="write", daemon=True)
        self._thread.start()

    def put(self, topic: str, kind: str, data: bytes, time_ns: int) -> None:
        """Take a message."""
        with self._condition:
            if self._finishing or self.error is not None or self._bytes + len(data) > self._limit:
                self.dropped += 1
                return
            self._waiting.append((topic, kind, data, time_ns))
            self._bytes += len(data)
            self._condition.notify()

    def finish(self) -> None:
        """Write all that waits, and end the thread."""
        with self._condition:
            self._finishing = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._finishing)
                if not self._waiting:
                    return
                item = self._waiting.popleft()
                self._bytes -= len(item[2])
            try:
                self._write(*item)
                self.written += 1
            except Exception as error:  # every further message would meet the same
                self.error = (
                    error if isinstance(error, EmotionError) else EmotionError(f"{type(error).__name__}: {error}")
                )
                with self._condition:
                    self.dropped += 1 + len(self._waiting)
                    self._waiting.clear()
                return
