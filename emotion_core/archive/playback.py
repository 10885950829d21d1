"""A recording as it went: pictures and sound in the order of their time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from emotion_core.archive.inputs import is_bag
from emotion_core.errors import EmotionError
from emotion_core.media.bags import BagPicture, BagReader
from emotion_core.media.frames import open_frames
from emotion_core.media.in_step import SoundInStep
from emotion_core.media.sound import Chunk
from emotion_core.types import Picture

Moment = tuple[Picture, float] | Chunk
"""A picture with its time in seconds, or a chunk of sound."""


class Playback(Protocol):
    """Iterates the moments of a recording, once."""

    @property
    def skipped(self) -> int:
        """Pictures, packets and messages so far that could not be read."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What is wrong with the recording as a whole, as far as it is known by now."""
        ...

    def __iter__(self) -> Iterator[Moment]: ...


def open_recording(path: Path, audio: bool, topics: Sequence[str]) -> Playback:
    """Open a video or a bag.

    Args:
        path: absolute.
        audio: whether the sound is wanted; where there is none, ``notes`` say so.
        topics: of a bag, see ``BagReader``.

    Raises:
        EmotionError: it cannot be read.
    """
    return _Bag(path, audio, topics) if is_bag(path) else _Video(path, audio)


class _Video:
    """The sound that has begun until a picture comes before it."""

    def __init__(self, path: Path, audio: bool) -> None:
        self.notes: list[str] = []
        self._source = open_frames(str(path))
        self._sound: SoundInStep | None = None
        if audio:
            try:
                self._sound = SoundInStep(path)
            except EmotionError as error:
                self.notes.append(f"without sound: {error}")

    @property
    def skipped(self) -> int:
        return self._source.skipped + (self._sound.skipped if self._sound else 0)

    def __iter__(self) -> Iterator[Moment]:
        with self._source:
            for image, stamp_s in self._source:
                if self._sound is not None:
                    yield from self._sound.until(stamp_s)
                yield image, stamp_s
        if self._sound is not None:
            yield from self._sound.until(math.inf)


class _Bag:
    """The order in which it was recorded, and the stamps of the headers."""

    def __init__(self, path: Path, audio: bool, topics: Sequence[str]) -> None:
        self._reader = BagReader(path, topics, audio)
        self._silent = audio and self._reader.audio is None

    @property
    def skipped(self) -> int:
        return self._reader.counts.bad

    @property
    def notes(self) -> list[str]:
        first = self._reader.counts.first_bad
        return [*["without sound"] * self._silent, *self._reader.damage, *([first] if first else [])]

    def __iter__(self) -> Iterator[Moment]:
        with self._reader:
            for sample in self._reader:
                if isinstance(sample, BagPicture):
                    yield sample.image, sample.stamp_s
                else:
                    yield Chunk(sample.sound, sample.rate_hz, sample.stamp_s)
