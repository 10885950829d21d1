"""What a file shows and how it sounds, in the order in which it is due: to be played at its own speed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.media.frames import FrameSource, is_still, open_frames
from emotion_core.media.sound import Chunk, SoundSource
from emotion_core.media.source_config import SourceConfig, SourceSoundConfig
from emotion_core.store.files import user_path
from emotion_core.types import Picture

_JUMP_S = 0.02  # stamps of a file are rounded to milliseconds; what is off by more is a gap or a step back
_TOLERANCE_S = 1e-6


@dataclass(frozen=True)
class Shown:
    """A picture and its time.

    Attributes:
        picture: (H, W, 3) uint8 BGR, read-only; a repeated one is the same array.
        stamp_s: seconds from the first picture.
    """

    picture: Picture
    stamp_s: float


class Playing:
    """Iterates the ``Shown`` pictures and the ``Chunk``s of sound of a recording, as they become due.

    A picture is due at its time and a chunk at its end, on one clock: 0 is the first picture, or the first sample where
    there are no pictures. In a loop the sound of a round ends with its pictures. Sound before the first picture is left
    out, after the last one it goes on.

    Args:
        frames: the pictures; None for sound alone.
        sound: its sound; None for pictures alone.
        chunk_s: length of a chunk, the last before a gap or an end excepted.
        loop: begin again at the end, where there are no pictures; with pictures, ``frames`` decides.

    Raises:
        EmotionError: while iterating: no picture can be read, or no sound where there are no pictures.
    """

    def __init__(
        self, frames: FrameSource | None, sound: SoundSource | None, chunk_s: float = 0.04, loop: bool = False
    ) -> None:
        self.frames, self.sound = frames, sound
        self._chunk_s, self._loop = chunk_s, loop

    @property
    def skipped(self) -> int:
        """Packets, pictures and reads so far that gave nothing."""
        return sum(source.skipped for source in (self.frames, self.sound) if source is not None)

    def __iter__(self) -> Iterator[Shown | Chunk]:
        if self.frames is None:
            yield from self._sound_alone()
        else:
            yield from self._together(self.frames)

    def close(self) -> None:
        """Let go of the file or the camera."""
        if self.frames is not None:
            self.frames.close()

    def _together(self, frames: FrameSource) -> Iterator[Shown | Chunk]:
        track: _Round | None = None
        for image, stamp_s in frames:
            while self.sound is not None and frames.starts and frames.starts[0] <= stamp_s + _TOLERANCE_S:
                start_s = frames.starts.popleft()
                if track is not None:
                    yield from track.end(start_s)
                track = _Round(self.sound, self._chunk_s, start_s)
            if track is not None:
                yield from track.until(stamp_s)
            yield Shown(image, stamp_s)
        if track is not None:
            yield from track.until(math.inf)

    def _sound_alone(self) -> Iterator[Chunk]:
        assert self.sound is not None, "expected pictures or sound"
        start_s = end_s = 0.0
        for _ in repeat(None) if self._loop else range(1):
            for chunk in _Round(self.sound, self._chunk_s, start_s).until(math.inf):
                end_s = chunk.stamp_s + chunk.length_s
                yield chunk
            if end_s == start_s:
                raise EmotionError(f"{self.sound.name}: expected sound, but the sound track is empty or damaged")
            start_s = end_s


class _Round:
    """The sound of one round of a loop, from its beginning at a time on."""

    def __init__(self, source: SoundSource, chunk_s: float, start_s: float) -> None:
        self._chunks = cut(_from(source, start_s), chunk_s)
        self._next = next(self._chunks, None)

    def until(self, time_s: float) -> Iterator[Chunk]:
        """What has ended at a time."""
        while self._next is not None and self._next.stamp_s + self._next.length_s <= time_s + _TOLERANCE_S:
            chunk, self._next = self._next, next(self._chunks, None)
            yield chunk

    def end(self, time_s: float) -> Iterator[Chunk]:
        """All that is before a time."""
        yield from self.until(time_s)
        if self._next is not None:
            last = self._next
            count = math.floor((time_s - last.stamp_s) * last.rate_hz + _TOLERANCE_S)
            if count > 0:
                yield Chunk(last.sound[:count], last.rate_hz, last.stamp_s)


def open_playing(config: SourceConfig, sound: SourceSoundConfig) -> Playing:
    """Open what a configuration names, a microphone excepted; raises EmotionError as ``open_frames``."""
    if not config.source and sound.microphone:
        return Playing(None, None)
    track = _sound_of(config.source) if sound.audio and not sound.microphone else None
    frames = None
    if track is None or track.has_pictures:
        frames = open_frames(config.source, config.loop, config.rate_hz, config.recursive, config.allow_private)
    return Playing(frames, track, sound.audio_chunk_s, config.loop)


def cut(chunks: Iterator[Chunk], chunk_s: float) -> Iterator[Chunk]:
    """The same sound in chunks of one length.

    A gap or a step back in the stamps, another rate, type or number of channels, and the end cut a chunk short.
    """
    held: list[NDArray[Any]] = []
    first: Chunk | None = None  # of what is held
    count = 0
    for chunk in chunks:
        if first is not None and not _goes_on(first, count, chunk):
            if count:
                yield Chunk(np.concatenate(held), first.rate_hz, first.stamp_s)
            first = None
        if first is None:
            held, first, count = [], chunk, 0
        held.append(chunk.sound)
        count += len(chunk.sound)
        length = max(1, round(chunk_s * first.rate_hz))
        if count >= length:
            sound = np.concatenate(held)
            whole = count - count % length
            for start in range(0, whole, length):
                yield Chunk(sound[start : start + length], first.rate_hz, first.stamp_s + start / first.rate_hz)
            held, count = [sound[whole:]], count - whole
            first = Chunk(held[0], first.rate_hz, first.stamp_s + whole / first.rate_hz)
    if first is not None and count:
        yield Chunk(np.concatenate(held), first.rate_hz, first.stamp_s)


def _goes_on(first: Chunk, count: int, chunk: Chunk) -> bool:
    same = (chunk.rate_hz, chunk.sound.dtype, chunk.sound.shape[1]) == (
        first.rate_hz,
        first.sound.dtype,
        first.sound.shape[1],
    )
    return same and abs(chunk.stamp_s - (first.stamp_s + count / first.rate_hz)) <= _JUMP_S


def _from(source: SoundSource, start_s: float) -> Iterator[Chunk]:
    """A file's sound from its time 0 on, with other stamps."""
    for chunk in source:
        early = max(0, math.ceil(-chunk.stamp_s * chunk.rate_hz - _TOLERANCE_S))
        if early < len(chunk.sound):
            yield Chunk(chunk.sound[early:], chunk.rate_hz, start_s + chunk.stamp_s + early / chunk.rate_hz)


def _sound_of(source: str) -> SoundSource | None:
    """The sound of a file, None where it has none; whatever else is wrong with it, its pictures will tell."""
    path = user_path(source)
    try:
        return SoundSource(path) if source and path.is_file() and not is_still(path) else None
    except EmotionError:
        return None
