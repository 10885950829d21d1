"""A file's sound, handed out in step with its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotion_core.errors import EmotionError
from emotion_core.media.sound import Chunk, SoundSource


class SoundInStep:
    """Hands a file's sound out as far as the pictures have come.

    Args:
        path: of a video or of a file with sound.

    Raises:
        EmotionError: there is no sound that can be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._source = SoundSource(path)
        self._chunks = iter(self._source)
        self._next: Chunk | None = next(self._chunks, None)
        if self._next is None:
            raise EmotionError(f"{path}: expected sound, but the sound track is empty or damaged")

    @property
    def skipped(self) -> int:
        """Packets so far that could not be decoded."""
        return self._source.skipped

    def until(self, stamp_s: float) -> Iterator[Chunk]:
        """What has begun at a time in seconds and was not handed out before; all that is left for infinity."""
        while self._next is not None and self._next.stamp_s <= stamp_s:
            chunk, self._next = self._next, next(self._chunks, None)
            yield chunk
