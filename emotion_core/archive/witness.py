"""Watches one recording from its beginning to its end, writes down what it estimates, and counts."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

from emotion_core.archive.engine import Senses
from emotion_core.archive.playback import Playback
from emotion_core.archive.table import EstimateTable
from emotion_core.errors import EmotionError
from emotion_core.media.sound import Chunk
from emotion_core.types import EmotionEstimate, Picture


class Witness:
    """See the module; for one recording.

    Args:
        senses: what sees and hears.
        every: only each so many-th picture is looked at.
        table: takes the estimates.

    Attributes:
        frames: pictures so far.
        processed: of them, looked at; failed: those that it could not.
        faces: seen in all pictures together.
        people: the ids of their tracks.
    """

    def __init__(self, senses: Senses, every: int, table: EstimateTable) -> None:
        self._senses, self._every, self._table = senses, every, table
        self.frames = self.processed = self.failed = self.faces = 0
        self.people: set[str] = set()
        self._first_s, self._last_s = math.inf, -math.inf
        self._error, self._heard = "", False

    @property
    def seconds(self) -> float:
        """From the first stamp to the last."""
        return max(0.0, self._last_s - self._first_s)

    def watch(self, playback: Playback) -> str:
        """Take the whole recording.

        Returns:
            What was wrong with it, empty for nothing.

        Raises:
            EmotionError: nothing at all can be estimated.
        """
        short: list[str] = []
        try:
            for moment in playback:
                if isinstance(moment, Chunk):
                    self._hear(moment)
                else:
                    self._see(*moment)
        except EmotionError as error:
            if not self.processed:
                raise
            short = [f"cut short: {error}"]
        if self.failed and not self.processed:
            raise EmotionError(f"expected pictures, but all {self.failed} failed: {self._error}")
        if not self.processed and not self._heard:
            raise EmotionError("; ".join(["there is nothing in it", *playback.notes]))
        return "; ".join([*playback.notes, *short, *([self._error] if self._error else [])])

    def _see(self, image: Picture, stamp_s: float) -> None:
        index, self.frames = self.frames, self.frames + 1
        if index % self._every:
            return
        try:
            estimates = self._senses.see(image, stamp_s)
        except Exception as error:  # whatever is wrong with this picture, the next may be well
            self._error = self._error or f"{type(error).__name__}: {error}"
            self.failed += 1
            return
        self.processed += 1
        self._note(index, stamp_s, estimates)

    def _hear(self, chunk: Chunk) -> None:
        with contextlib.suppress(EmotionError):  # a chunk that is none
            self._heard = True
            for estimate in self._senses.hear(chunk.sound, chunk.rate_hz, chunk.stamp_s):
                self._note(None, estimate.stamp_s, [estimate])

    def _note(self, frame: int | None, stamp_s: float, estimates: Sequence[EmotionEstimate]) -> None:
        self._first_s, self._last_s = min(self._first_s, stamp_s), max(self._last_s, stamp_s)
        self.faces += sum(estimate.face is not None for estimate in estimates)
        self.people |= {estimate.track_id for estimate in estimates if estimate.track_id}
        self._table.add(frame, stamp_s, estimates)
