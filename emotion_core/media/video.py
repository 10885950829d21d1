"""Write pictures into a video file from a thread of its own, at the speed that their stamps say."""

from __future__ import annotations

import contextlib
import importlib.util
import queue
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.store.files import atomic_write
from emotion_core.types import Picture

_TICK = Fraction(1, 1000)  # of the time stamps; MPEG-4 knows nothing finer than 1/65535


class VideoWriter:
    """An MP4 file: H.264 where FFmpeg has x264, else MPEG-4; yuv420p, which every player shows.

    ``put`` never waits: pictures go to a bounded queue, and those that find it full are left out and counted.
    The first picture sets the size, odd sizes grow by a pixel, later pictures are scaled to it. The file appears
    when it is complete, and not at all when no picture came.

    Args:
        path: the file to write, ending in .mp4; its folder exists.
        queue_size: pictures that may wait.
        rate_hz: what the encoder should expect; the stamps say how fast it plays.

    Attributes:
        written: how many pictures are in the file.
        error: why writing stopped early, None when it did not.

    Raises:
        EmotionError: PyAV is not installed.
    """

    def __init__(self, path: str | Path, queue_size: int = 16, rate_hz: int = 30) -> None:
        if importlib.util.find_spec("av") is None:
            raise EmotionError(
                "writing a video takes PyAV, which is not installed: pip install av, pip install "
                "emotion-perception[media], or switch the video off"
            )
        self.path = Path(path)
        self.written = 0
        self.error: Exception | None = None
        self._rate_hz = rate_hz
        self._left_out = self._skipped = 0  # counted by the caller's thread and by ours
        self._ended = False
        self._queue: queue.Queue[tuple[Picture, float] | None] = queue.Queue(queue_size)
        self._thread = threading.Thread(target=self._run, name="video", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many pictures were left out: the queue was full, time stood still, or writing had failed."""
        return self._left_out + self._skipped

    def put(self, image: Picture, stamp_s: float) -> bool:
        """Hand over a picture; False when it was left out.

        Args:
            image: (H, W, 3) uint8, BGR; not to be changed afterwards.
            stamp_s: its time in seconds; not later than the last one means left out.
        """
        if self.error is None:
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait((image, stamp_s))
                return True
        self._left_out += 1
        return False

    def close(self) -> bool:
        """Wait for the pictures that wait, and finish the file; True when there is one."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        return self.error is None and self.written > 0

    def _take(self) -> tuple[Picture, float] | None:
        """The next picture, None at the end and ever after."""
        item = None if self._ended else self._queue.get()
        self._ended = item is None
        return item

    def _run(self) -> None:
        try:
            first = self._take()
            if first is not None:
                with atomic_write(self.path) as temporary:
                    self._encode(first, temporary)
        except Exception as error:  # told to whoever closes: a full disk must not end the run
            self.error = error
            while self._take() is not None:
                self._skipped += 1

    def _encode(self, first: tuple[Picture, float], path: Path) -> None:
        import av

        item: tuple[Picture, float] | None = first
        start, last = first[1], -1
        height, width = (size + size % 2 for size in first[0].shape[:2])
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = self._stream(av, container, width, height)
            while item is not None:
                image, stamp_s = item
                tick = round((stamp_s - start) / _TICK)
                if tick > last:
                    frame = av.VideoFrame.from_ndarray(_sized(image, width, height), format="bgr24")
                    frame.pts, frame.time_base = tick, _TICK
                    container.mux(stream.encode(frame))
                    self.written, last = self.written + 1, tick
                else:
                    self._skipped += 1
                item = self._take()
            container.mux(stream.encode(None))

    def _stream(self, av: Any, container: Any, width: int, height: int) -> Any:
        # One thread: the encoder must not take the cores that the estimation needs.
        if "libx264" in av.codecs_available:
            options = {"preset": "veryfast", "crf": "21", "threads": "1"}
            stream = container.add_stream("libx264", rate=self._rate_hz, options=options)
        else:
            stream = container.add_stream("mpeg4", rate=self._rate_hz, options={"threads": "1"})
            stream.bit_rate = 8 * width * height
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = _TICK
        return stream


def _sized(image: Picture, width: int, height: int) -> Picture:
    """The picture at exactly this size: grown by repeating its last row and column, scaled when it is another."""
    rows, columns = height - image.shape[0], width - image.shape[1]
    if rows == columns == 0:
        return image
    if rows in (0, 1) and columns in (0, 1):
        return np.asarray(cv2.copyMakeBorder(image, 0, rows, 0, columns, cv2.BORDER_REPLICATE), np.uint8)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
