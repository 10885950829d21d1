"""Frames from a camera, a video, a folder of pictures or one picture, each with its time in the media."""

from __future__ import annotations

import logging
import math
import stat
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.media.addresses import PICTURES, is_url
from emotion_core.media.headers import SUFFIXES, kind_of
from emotion_core.media.listing import IMAGE_SUFFIXES, LIST, list_folder, read_list
from emotion_core.media.packets import decoded
from emotion_core.media.pictures import StoredPicture, read_picture
from emotion_core.media.stdin import STDIN, read_stdin
from emotion_core.store.files import mode_of, user_path
from emotion_core.types import Picture

STILLS_RATE_HZ = 30.0
"""Pictures have no rate of their own: they follow each other like a camera's."""

MAX_PAUSE_S = 86400.0
"""A jump in the time stamps of a video up to a day is a pause: time lapse, recordings that wait for a movement. A
longer one is damage, and counts as one period."""

_LOG = logging.getLogger(__name__)
_RESTART_S = 1.0  # stamps that step back further have begun anew; less is a frame out of order
_TOLERANCE_S = 1e-4  # time stamps are often rounded to milliseconds or less
_MAX_MISSES = 10  # reads in a row; a camera may lose a frame and go on

_Timed = tuple[Picture, float, float]  # picture, its time, how long it lasts


class FrameSource(ABC):
    """Iterates (image, media_time_s): (height, width, 3) uint8 BGR, read-only, and seconds from the first.

    Times increase strictly, also from one round of a loop to the next. At a chosen rate the k-th time is
    k / rate, and frames are repeated (as the same array) or left out, so that everything plays at its true
    speed. Not to be used by two threads at once.

    Attributes:
        rate_hz: frames a second of the media itself, None for pictures and where it is not known.
        skipped: packets, pictures and reads so far that gave no image.
        starts: times at which rounds of a loop began, for whoever plays something beside it to take out; the last few.
        is_live: a camera, which does not wait for whoever reads.
        is_picture, are_pictures: a single picture, the pictures of a folder or a list.
        files: what is read; for a folder or a list, each of its pictures.
    """

    rate_hz: float | None = None
    is_live = False
    is_picture = are_pictures = False
    files: tuple[Path, ...] = ()

    def __init__(self, name: str, loop: bool, rate_hz: float) -> None:
        if not (math.isfinite(rate_hz) and rate_hz >= 0):
            raise EmotionError(f"{name}: expected a rate in Hz or 0, got {rate_hz}")
        self.name = name
        self.skipped = 0
        self.starts: deque[float] = deque(maxlen=16)
        self._loop = loop
        self._chosen_hz = rate_hz
        self._running: Generator[tuple[Picture, float], None, None] | None = None

    def __iter__(self) -> Iterator[tuple[Picture, float]]:
        """Start from the first frame. Raises EmotionError where none can be read, or a camera is gone."""
        self.close()
        self._running = self._resampled() if self._chosen_hz else ((i, t) for i, t, _ in self._rounds())
        return self._running

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration under way and let go of the file or the camera."""
        if self._running is not None:
            self._running.close()
            self._running = None

    @abstractmethod
    def _once(self) -> Iterator[_Timed]:
        """One round from time 0, in order."""

    def _rounds(self) -> Iterator[_Timed]:
        start = end = 0.0
        self.starts.clear()
        while True:
            self.starts.append(start)
            for image, time_s, duration_s in self._once():
                image.setflags(write=False)
                yield image, start + time_s, duration_s
                end = start + time_s + duration_s
            if end == start:
                raise EmotionError(f"{self.name}: expected pictures, but none of it can be read")
            if not self._loop:
                return
            start = end

    def _resampled(self) -> Generator[tuple[Picture, float], None, None]:
        count, end = 0, 0.0
        held: Picture | None = None
        for image, time_s, duration_s in self._rounds():
            while held is not None and count / self._chosen_hz < time_s - _TOLERANCE_S:
                yield held, count / self._chosen_hz
                count += 1
            held, end = image, time_s + duration_s
        while held is not None and count / self._chosen_hz < end - _TOLERANCE_S:
            yield held, count / self._chosen_hz
            count += 1


class _Pictures(FrameSource):
    """Pictures in files, one after the other; what cannot be read is counted."""

    are_pictures = True

    def __init__(self, name: str, files: tuple[Path, ...], loop: bool, rate_hz: float) -> None:
        super().__init__(name, loop, rate_hz)
        self.files = files
        self._period_s = 1 / (rate_hz or STILLS_RATE_HZ)

    def _once(self) -> Iterator[_Timed]:
        count = 0
        for path in self.files:
            try:
                image = read_picture(path).image
            except EmotionError:
                self.skipped += 1
                continue
            yield image, count * self._period_s, self._period_s
            count += 1


class _OnePicture(FrameSource):
    """A single picture, read already."""

    is_picture = True

    def __init__(self, name: str, stored: StoredPicture, loop: bool, rate_hz: float) -> None:
        super().__init__(name, loop, rate_hz)
        self._image = stored.image
        self._period_s = 1 / (rate_hz or STILLS_RATE_HZ)

    def _once(self) -> Iterator[_Timed]:
        yield self._image, 0.0, self._period_s


class _Video(FrameSource):
    """A file that PyAV decodes, turned upright where a phone noted that it was held sideways."""

    def __init__(self, path: Path, loop: bool, rate_hz: float) -> None:
        super().__init__(str(path), loop, rate_hz)
        try:
            import av
        except ImportError as error:
            raise EmotionError(
                f"{path}: a video takes PyAV: pip install av, or pip install emotion-perception[media]"
            ) from error
        self._av: Any = av
        if not hasattr(av.VideoFrame, "rotation"):
            _LOG.warning("this PyAV cannot turn the videos of phones upright: pip install 'av>=14'")
        self._path, self.files = path, (path,)
        with self._open() as container:
            if not container.streams.video:
                raise EmotionError(f"{path}: expected a video, got a file without pictures")
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate
        self.rate_hz = float(rate) if rate else None
        self._period_s = 1 / (self.rate_hz or STILLS_RATE_HZ)

    def _open(self) -> Any:
        try:
            return self._av.open(str(self._path.absolute()))  # in "a:b.mp4" FFmpeg takes a: for a protocol
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EmotionError(
                f"{self._path}: expected a video or a picture, but it cannot be read: {reason}"
            ) from error

    def _once(self) -> Iterator[_Timed]:
        start: float | None = None
        last = -self._period_s
        with self._open() as container:
            for frame in self._decoded(container):
                try:
                    image = _upright(frame.to_ndarray(format="bgr24"), getattr(frame, "rotation", 0))
                except (self._av.error.FFmpegError, ValueError):
                    self.skipped += 1
                    continue
                usual = last + self._period_s
                if start is None and frame.time is not None:
                    start = frame.time - usual
                now = math.nan if start is None or frame.time is None else frame.time - start
                if not last < now <= last + MAX_PAUSE_S:  # missing, standing still or out of its mind
                    if not math.isnan(now) and not last - _RESTART_S <= now <= last:
                        start = frame.time - usual  # what follows is measured from here
                    now = usual
                yield image, now, self._period_s
                last = now

    def _decoded(self, container: Any) -> Iterator[Any]:
        """Every frame that can be decoded; what is broken is counted."""
        for frame in decoded(container, container.streams.video[0], self._skip):
            if frame.is_corrupt:
                self.skipped += 1
            else:
                yield frame

    def _skip(self) -> None:
        self.skipped += 1


class LiveSource(FrameSource):
    """What does not wait: frames that come before they are due are left out, none is repeated."""

    is_live = True

    def __iter__(self) -> Iterator[tuple[Picture, float]]:
        super().close()
        self._running = self._live()
        return self._running

    def _live(self) -> Generator[tuple[Picture, float], None, None]:
        period_s = 1 / self._chosen_hz if self._chosen_hz else 0.0
        due = 0.0
        for image, time_s, _ in self._once():
            # A camera may ignore the rate it was asked for and send more; half a period allows for jitter.
            if time_s >= due - period_s / 2:
                due = max(due + period_s, time_s)
                yield image, time_s


class _Camera(LiveSource):
    """A camera that OpenCV opens; its times are those at which its frames were read."""

    def __init__(self, source: str, rate_hz: float) -> None:
        super().__init__(f"camera {source}", False, rate_hz)
        device = Path(f"/dev/video{source}" if source.isdigit() else source)
        linux = sys.platform == "linux"
        if linux and not device.exists():  # OpenCV would say so in several lines of its own
            raise EmotionError(f"{self.name}: expected a camera, but there is no {device}: is it plugged in?")
        self._capture = cv2.VideoCapture(
            int(source) if source.isdigit() else source, cv2.CAP_V4L2 if linux else cv2.CAP_ANY
        )
        if not self._capture.isOpened():
            self._capture.release()
            raise EmotionError(f"{self.name}: {device} cannot be opened: is it in use, or access to it missing?")
        if rate_hz:
            self._capture.set(cv2.CAP_PROP_FPS, rate_hz)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate_hz = rate if math.isfinite(rate) and rate > 0 else None

    def close(self) -> None:
        super().close()
        self._capture.release()

    def _once(self) -> Iterator[_Timed]:
        misses, start, last = 0, math.nan, -1.0
        while True:
            success, image = self._capture.read()
            now = time.monotonic()
            if not success or image is None:
                misses += 1
                self.skipped += 1
                if misses >= _MAX_MISSES:
                    raise EmotionError(f"{self.name} sends no more pictures: was it unplugged?")
                continue
            misses = 0
            start = now if math.isnan(start) else start
            last = max(now - start, last + 1e-6)
            image.setflags(write=False)
            yield np.asarray(image, np.uint8), last, 0.0


def open_frames(
    source: str, loop: bool = False, rate_hz: float = 0, recursive: bool = False, allow_private: bool = False
) -> FrameSource:
    """Open a camera, a stream, a video file, pictures, or one picture.

    Args:
        source: which: "0" or "/dev/video0", an rtsp or http(s) address, a path, ``-`` for a picture on standard input,
            ``@list.txt`` for the pictures that this file names. A folder's pictures come in the order of their names. A
            GIF is a video by itself, and a picture in a folder.
        loop: begin again at the end. Cameras and streams have none.
        rate_hz: frames a second to deliver; 0 gives every frame of a video or camera at its own time, and
            pictures at STILLS_RATE_HZ.
        recursive: also the pictures of the folders in a folder.
        allow_private: addresses may lead into the own machine and network.

    Raises:
        EmotionError: there is no such thing, it cannot be read, or PyAV is missing for a video.
    """
    if (source.isascii() and source.isdigit()) or source.startswith("/dev/video"):
        return _Camera(source, rate_hz)
    if is_url(source):
        return _at(source, loop, rate_hz, allow_private)
    if source == STDIN:
        return _OnePicture(source, read_stdin(), loop, rate_hz)
    if source.startswith(LIST) and not Path(source).exists():
        return _Pictures(source, tuple(map(user_path, read_list(source[len(LIST) :]))), loop, rate_hz)
    path = user_path(source)
    try:
        mode = mode_of(path) if source else 0
        if not mode:
            raise EmotionError(f"expected a camera's number or the path of a video or pictures, got {source!r}")
        if stat.S_ISDIR(mode):
            found = list_folder(path, recursive)
            if told := found.told():
                _LOG.warning("%s: skipped %s", path, told)
            if not found.pictures:
                raise EmotionError(f"{path}: expected a folder with pictures ({', '.join(IMAGE_SUFFIXES)}), got none")
            return _Pictures(str(path), found.pictures, loop, rate_hz)
        if is_still(path):
            one = _OnePicture(str(path), read_picture(path), loop, rate_hz)
            one.files = (path,)
            return one
        return _Video(path, loop, rate_hz)
    except OSError as error:
        raise EmotionError(f"{source}: cannot be read: {error.strerror or error}") from error


def _at(url: str, loop: bool, rate_hz: float, allow_private: bool) -> FrameSource:
    """A picture or a stream at an address, whichever the first bytes say."""
    from emotion_core.media.stream import StreamSource  # with all that it takes to speak HTTP

    answer: Any = None
    if is_url(url, PICTURES):
        from emotion_core.media.web import Answer, read_picture_of

        answer = Answer(url, allow_private)
        try:
            if kind_of(answer.peek()) is not None:
                picture = read_picture_of(answer)
                answer.close()
                return _OnePicture(answer.url, picture, loop, rate_hz)
        except BaseException:
            answer.close()
            raise
    return StreamSource(url, rate_hz, allow_private, answer)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their names, hidden ones left out; of a GIF the first one counts."""
    return list(list_folder(folder).pictures)


def is_still(path: Path) -> bool:
    """Whether a file by itself is taken for one picture, by its name. A GIF is not, for it may move."""
    return _is_picture(path) and path.suffix.lower() not in SUFFIXES["GIF"]


def resized(image: Picture, width: int) -> Picture:
    """The image at that width in pixels, its height in proportion; the image itself for width 0."""
    if width in (0, image.shape[1]):
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    how = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _upright(image: Picture, rotation: float) -> Picture:
    """Turned by degrees counterclockwise, as FFmpeg gives them, in steps of 90."""
    return np.ascontiguousarray(np.rot90(image, round(rotation / 90)))
