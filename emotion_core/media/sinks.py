"""Where drawn pictures go: into a video, into picture files, or onto the screen."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path

import cv2

from emotion_core.errors import EmotionError
from emotion_core.media.pictures import write_picture
from emotion_core.media.video import VideoWriter
from emotion_core.types import Picture


class Sink:
    """Takes pictures one after the other; this one takes them nowhere.

    Attributes:
        shows: whether anybody looks at them, so that drawing is not in vain.
        written: how many pictures have got there.
    """

    shows = False

    def __init__(self) -> None:
        self.written = 0

    def put(self, picture: Picture, stamp_s: float, name: str) -> bool:
        """Take a picture; False when nobody wants more.

        Args:
            picture: (H, W, 3) uint8, BGR; not to be changed afterwards.
            stamp_s: its time in seconds.
            name: of the file where each picture has one, without folder and suffix; each a different one.

        Raises:
            EmotionError: it cannot be written.
        """
        return True

    def close(self) -> None:
        """Finish, as often as it is called; raises EmotionError where that fails."""


class VideoSink(Sink):
    """An MP4 file, see ``VideoWriter``; it appears when it is complete.

    Args:
        path: the file to write, ending in .mp4; its folder exists.
        rate_hz: what the encoder should expect; the stamps say how fast it plays.
        live: whether the source does not wait, so that pictures are left out where the disk is too slow.

    Raises:
        EmotionError: PyAV is not installed.
    """

    shows = True

    def __init__(self, path: Path, rate_hz: float, live: bool) -> None:
        super().__init__()
        self._writer, self._live = VideoWriter(path, rate_hz=max(1, round(rate_hz))), live

    def put(self, picture: Picture, stamp_s: float, name: str) -> bool:
        """Take a picture; False when writing has failed, which ``close`` then raises."""
        # A camera does not wait, and what the disk cannot take is lost; of a file nothing is.
        while not self._writer.put(picture, stamp_s) and not self._live and self._writer.error is None:
            time.sleep(0.005)
        return self._writer.error is None

    def close(self) -> None:
        """Wait for the pictures that wait, and finish the file; raises EmotionError where it could not be written."""
        self._writer.close()
        self.written = self._writer.written
        if self._writer.error is not None:
            raise EmotionError(f"{self._writer.path} could not be written: {self._writer.error}")


class PictureSink(Sink):
    """A file for each picture.

    Args:
        path: the file, or a folder that exists; in it each picture is a .png of the name it comes with.
        single: whether the path is the file.
    """

    shows = True

    def __init__(self, path: Path, single: bool) -> None:
        super().__init__()
        self._path, self._single = path, single

    def put(self, picture: Picture, stamp_s: float, name: str) -> bool:
        """Write a picture; raises EmotionError."""
        write_picture(self._path if self._single else self._path / f"{name}.png", picture)
        self.written += 1
        return True


class WindowSink(Sink):
    """A window of OpenCV; a video plays at its own speed, or slower where the work takes longer.

    Args:
        title: of the window.
        waits: whether each picture stays until a key is pressed.

    Raises:
        EmotionError: there is no display, or this OpenCV has no windows.
    """

    shows = True

    def __init__(self, title: str, waits: bool) -> None:
        super().__init__()
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise EmotionError("there is no display to show a window on")
        self._title = title.encode(errors="backslashreplace").decode()  # OpenCV crashes on a name that is not UTF-8
        self._waits, self._start = waits, math.nan
        try:
            cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error:
            raise EmotionError("this OpenCV (opencv-python-headless) shows no windows") from None

    def put(self, picture: Picture, stamp_s: float, name: str) -> bool:
        """Show a picture when its time has come; False after q, Esc or the window's button."""
        if not self.written:
            cv2.resizeWindow(self._title, picture.shape[1], picture.shape[0])
            self._start = time.monotonic() - stamp_s
        cv2.imshow(self._title, picture)
        self.written += 1
        pause_ms = 0 if self._waits else max(1, round(1000 * (self._start + stamp_s - time.monotonic())))
        key = cv2.waitKey(pause_ms) & 0xFF
        return key not in (ord("q"), 27) and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()
