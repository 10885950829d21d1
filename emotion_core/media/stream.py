"""Frames of a camera in the network, by RTSP or HTTP: the newest counts, and a broken connection is made again."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any
from urllib.parse import urlunsplit

import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.media.addresses import is_url, look_up, shown, split
from emotion_core.media.frames import LiveSource
from emotion_core.media.multipart import parts
from emotion_core.media.packets import decoded
from emotion_core.media.pictures import decode_picture
from emotion_core.types import Picture

SILENCE_S = 10.0
"""A connection that brings nothing for so long is broken; opening one may take as long."""

PATIENCE_S = 60.0
"""For so long a connection is made again and again; every picture starts it anew."""

_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # between attempts; the last one repeats
_MULTIPART = "multipart/x-mixed-replace"
# Formats that hold their pictures themselves. A playlist would have FFmpeg open addresses that nobody has checked.
_FORMATS = "mpegts,flv,matroska,webm,ogg,mpeg,mjpeg,h264,hevc,rtsp"

_LOG = logging.getLogger(__name__)
_Read = Callable[[], Picture]  # decodes a frame, where it is needed


class StreamSource(LiveSource):
    """A stream at an rtsp or http(s) address; its times are those at which its frames came.

    A thread receives, so that a slow reader gets the newest frame and not an old one. Where the connection breaks it is
    made again, until nothing has come for ``patience_s``.

    Args:
        url: which. User and password may stand in it.
        rate_hz: frames a second at most; 0 for all.
        allow_private: take addresses of the own machine and network.
        answer: to ``url``, where it was asked for already.

    Attributes:
        reconnected: how often the connection was made again.

    Raises:
        EmotionError: it cannot be opened, is no stream, or PyAV is missing for one that is not MJPEG.
    """

    def __init__(
        self,
        url: str,
        rate_hz: float = 0,
        allow_private: bool = False,
        answer: Any = None,
        silence_s: float = SILENCE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        super().__init__(shown(url), False, rate_hz)
        self._url, self._allow_private = url, allow_private
        self._silence_s, self._patience_s = silence_s, patience_s
        self.reconnected = 0
        self._stop = threading.Event()
        self._came = threading.Condition()
        self._newest: tuple[_Read, float] | None = None
        self._end: BaseException | None = None
        self._opened: tuple[Any, Iterator[_Read]] | None = self._open(answer)  # the first; later ones are the thread's

    def close(self) -> None:
        """End the iteration; the thread lets go of the connection when it hears of it."""
        super().close()
        self._stop.set()
        if self._opened is not None:
            self._opened[0].__exit__(None, None, None)
            self._opened = None

    def _once(self) -> Iterator[tuple[Picture, float, float]]:
        if self._opened is None:
            self._opened = self._open(None)
        self._stop, self._newest, self._end = threading.Event(), None, None
        opened, self._opened = self._opened, None
        threading.Thread(target=self._receive, args=(opened, self._stop), name="stream", daemon=True).start()
        start, last = math.nan, -1.0
        try:
            while True:
                with self._came:
                    self._came.wait_for(lambda: self._newest is not None or self._end is not None)
                    newest, self._newest = self._newest, None
                if newest is None:
                    assert self._end is not None
                    raise self._end
                try:
                    image = newest[0]()
                except (EmotionError, OSError, RuntimeError, ValueError):  # a damaged one
                    self.skipped += 1
                    continue
                start = newest[1] if math.isnan(start) else start
                last = max(newest[1] - start, last + 1e-6)
                image.setflags(write=False)
                yield image, last, 0.0
        finally:
            self._stop.set()

    def _receive(self, opened: tuple[Any, Iterator[_Read]] | None, stop: threading.Event) -> None:
        """The thread: hand over each frame, in place of one that nobody took."""
        heard_s, attempt = time.monotonic(), 0
        try:
            while not stop.is_set():
                try:
                    context, reads = opened or self._open(None)
                    with _entered(context):
                        for read in reads:
                            heard_s, attempt = time.monotonic(), 0
                            self._hand(read, heard_s)
                            if stop.is_set():
                                return
                    reason = EmotionError(f"{self.name}: the stream ended")
                except EmotionError as error:
                    reason = error
                opened = None
                why = str(reason).removeprefix(f"{self.name}: ")
                if time.monotonic() - heard_s > self._patience_s:
                    raise EmotionError(f"{self.name}: no picture for {self._patience_s:g} s: {why}")
                if attempt == 0:
                    _LOG.warning("%s: connecting again: %s", self.name, why)
                    self.reconnected += 1
                stop.wait(_PAUSES_S[min(attempt, len(_PAUSES_S) - 1)])
                attempt += 1
        except BaseException as error:  # raised again where the frames are used
            with self._came:
                self._end = error
                self._came.notify()

    def _hand(self, read: _Read, now_s: float) -> None:
        with self._came:
            self._newest = read, now_s
            self._came.notify()

    def _open(self, answer: Any) -> tuple[Any, Iterator[_Read]]:
        """Connect: what is to be closed (entered already), and the frames to come."""
        opening = self._rtsp() if is_url(self._url, ("rtsp",)) else self._http(answer)
        return opening, opening.__enter__()

    @contextmanager
    def _http(self, answer: Any) -> Iterator[Iterator[_Read]]:
        from emotion_core.media.web import Answer

        with closing(answer or Answer(self._url, self._allow_private, self._silence_s)) as answer:
            if answer.type == _MULTIPART:
                answer.stay(self._silence_s)
                yield (_picture_of(part) for part in parts(answer.read, answer.boundary, self.name))
                return
            if answer.length is not None:
                raise EmotionError(
                    f"{self.name}: expected a picture or the stream of a camera, got {answer.type} of "
                    f"{answer.length} bytes: download a recording first (curl -O ADDRESS)"
                )
            answer.stay(self._silence_s)
            with self._container(answer) as frames:
                yield frames

    def _rtsp(self) -> AbstractContextManager[Iterator[_Read]]:
        parts_of, host, port = split(self._url)
        try:
            number = str(look_up(host, port, self._allow_private)[0].socket_address[0])
        except EmotionError as error:
            raise EmotionError(f"{self.name}: {error}") from None
        user, mark, _ = parts_of.netloc.rpartition("@")
        place = f"{user}{mark}{f'[{number}]' if ':' in number else number}:{port}"
        # TCP: a lost packet of UDP greys pictures. The checked address: FFmpeg would look the name up again.
        return self._container(urlunsplit(parts_of._replace(netloc=place)), {"rtsp_transport": "tcp"})

    @contextmanager
    def _container(self, file: Any, options: dict[str, str] | None = None) -> Iterator[Iterator[_Read]]:
        try:
            import av
        except ImportError:
            raise EmotionError(
                f"{self.name}: this stream takes PyAV: pip install av, or pip install emotion-perception[media]"
            ) from None
        settings = {"format_whitelist": _FORMATS, "fflags": "nobuffer", "flags": "low_delay", **(options or {})}
        try:
            with av.open(file, timeout=self._silence_s, options=settings) as container:
                if not container.streams.video:
                    raise EmotionError(f"{self.name}: expected a stream with pictures, got one without")
                stream = container.streams.video[0]
                rate = float(stream.average_rate or 0)
                self.rate_hz = rate if 0 < rate <= 240 else None
                yield (_picture_in(frame) for frame in decoded(container, stream, self._skip))
        except (av.error.FFmpegError, OSError) as error:
            raise EmotionError(
                f"{self.name}: expected a stream of pictures: {getattr(error, 'strerror', None) or error}"
            ) from None

    def _skip(self) -> None:
        self.skipped += 1


@contextmanager
def _entered(context: Any) -> Iterator[None]:
    """Leaves what was entered elsewhere."""
    try:
        yield
    finally:
        context.__exit__(None, None, None)


def _picture_of(content: bytes) -> _Read:
    return lambda: decode_picture(content).image


def _picture_in(frame: Any) -> _Read:
    return lambda: np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
