"""The sound of a file: wav, flac, mp3 and whatever else FFmpeg decodes, or the sound track of a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.formats import to_mono
from emotion_core.audio.order import ChunkOrder, SoundCounts
from emotion_core.audio.resample import ResampleStream
from emotion_core.audio.spectrum import Samples
from emotion_core.errors import EmotionError
from emotion_core.media.packets import decoded
from emotion_core.store.files import user_path

MAX_WHOLE_S = 3600.0
"""``read_sound`` holds a file in memory, and takes no longer ones."""


@dataclass(frozen=True)
class Chunk:
    """A piece of a file's sound.

    Attributes:
        sound: (n, channels) uint8, int16, int32, float32 or float64, as the file holds it.
        rate_hz: samples a second.
        stamp_s: time of the first sample, on the clock of ``media.frames``: 0 is the first picture of a video, or the
            first sample of a file without pictures.
    """

    sound: NDArray[Any]
    rate_hz: int
    stamp_s: float

    @property
    def length_s(self) -> float:
        """In seconds."""
        return len(self.sound) / self.rate_hz


@dataclass(frozen=True)
class Sound:
    """The whole sound of a file.

    Attributes:
        samples: (n,) float32 in [-1, 1], one channel, n ≥ 1; zeros where the file has a gap.
        rate_hz: samples a second.
        start_s: time of the first sample after the first picture, negative before it; 0 in a file without pictures.
        counts: gaps, clipping, what was no number.
    """

    samples: Samples
    rate_hz: int
    start_s: float
    counts: SoundCounts

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz


class SoundSource:
    """Iterates the ``Chunk``s of a file's first sound track, in order; each iteration starts from the beginning.

    Attributes:
        name: the path.
        rate_hz, channels: as the file's header says.
        start_s: stamp of the first sample, as the file's header says.
        has_pictures: whether it is the sound track of a video; the cover of an album makes none.
        skipped: packets of the last iteration that could not be decoded.

    Raises:
        EmotionError: there is no such file, it cannot be read, it has no sound track, or PyAV is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.name, self._path = str(path), user_path(path)
        try:
            import av
        except ImportError as error:
            raise EmotionError(
                f"{path}: sound takes PyAV: pip install av, or pip install emotion-perception[media]"
            ) from error
        self._av: Any = av
        self.skipped = 0
        if not self._path.is_file():
            raise EmotionError(f"{path}: expected a file with sound, but there is none: check the path")
        with self._open() as container:
            stream = self._track(container)
            self.rate_hz, self.channels = int(stream.rate or 0), int(stream.channels or 0)
            self._zero_s = self._first_picture_s(container)
            self.has_pictures = self._zero_s is not None
            first_s = _seconds(stream.start_time, stream.time_base)
        if not self.rate_hz or not self.channels:
            raise EmotionError(f"{path}: expected sound, got {self.channels} channels at {self.rate_hz} Hz")
        if self._zero_s is None:
            self._zero_s = first_s or 0.0
        self.start_s = 0.0 if first_s is None else first_s - self._zero_s

    def __iter__(self) -> Iterator[Chunk]:
        self.skipped = 0
        next_s = self.start_s
        with self._open() as container:
            for frame in decoded(container, self._track(container), self._skip):
                array = frame.to_ndarray()
                # planar: a row for each channel; else one row of interleaved samples
                sound = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
                stamp_s = next_s if frame.time is None else frame.time - self._zero_s
                next_s = stamp_s + len(sound) / frame.sample_rate
                yield Chunk(sound, frame.sample_rate, stamp_s)

    def _open(self) -> Any:
        try:
            return self._av.open(str(self._path.absolute()))  # in "a:b.wav" FFmpeg takes a: for a protocol
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EmotionError(f"{self.name}: expected a file with sound, but it cannot be read: {reason}") from error

    def _track(self, container: Any) -> Any:
        if not container.streams.audio:
            raise EmotionError(f"{self.name}: expected sound, but the file has no sound track")
        return container.streams.audio[0]

    def _first_picture_s(self, container: Any) -> float | None:
        """None without pictures; the cover of an album is none."""
        cover = self._av.stream.Disposition.attached_pic
        for stream in container.streams.video:
            if not stream.disposition & cover:
                return _seconds(stream.start_time, stream.time_base) or 0.0
        return None

    def _skip(self) -> None:
        self.skipped += 1


def read_sound(path: str | Path, rate_hz: int | None = None) -> Sound:
    """The whole sound of a file or of a video's first sound track.

    Args:
        path: the file.
        rate_hz: samples a second to resample to; None keeps the file's.

    Raises:
        EmotionError: as SoundSource; or the file holds no sound, or more than MAX_WHOLE_S.
    """
    chunks = iter(SoundSource(path))
    first = next(chunks, None)
    if first is None:
        raise EmotionError(f"{path}: expected sound, but the sound track is empty or damaged")
    counts = SoundCounts()
    order = ChunkOrder(first.rate_hz, counts, max_step_s=MAX_WHOLE_S)
    resampler = ResampleStream(first.rate_hz, rate_hz or first.rate_hz)
    pieces: list[Samples] = []
    for chunk in chain([first], chunks):
        if chunk.rate_hz != first.rate_hz:
            raise EmotionError(f"{path}: expected one sample rate, got {first.rate_hz} and then {chunk.rate_hz} Hz")
        mono = to_mono(chunk.sound)
        counts.chunks += 1
        counts.clipped += mono.clipped
        counts.nonfinite += mono.nonfinite
        pieces.append(resampler.push(order.push(mono.samples, chunk.stamp_s)[1]))
        if counts.restarts or order.count > MAX_WHOLE_S * first.rate_hz:
            raise EmotionError(f"{path}: expected at most {MAX_WHOLE_S:g} s of sound, got more: cut it into pieces")
    pieces += [resampler.push(order.finish()), resampler.finish()]
    return Sound(np.concatenate(pieces), resampler.to_hz, first.stamp_s, counts)


def _seconds(ticks: int | None, base: Any) -> float | None:
    return None if ticks is None or base is None else float(ticks * base)
