"""A short clip for demonstrations, made from a still photo."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from emotion_core.dependencies import matplotlib_apart
from emotion_core.errors import EmotionError
from emotion_core.media.video import VideoWriter
from emotion_core.types import Picture

SIZE_PX = (640, 480)
RATE_HZ = 30
SECONDS = 8
"""After this time the movement begins again where it began: the clip can be repeated without a jump."""

# Of the 512x600 photo: the face lies at x 155…377, y 105…333, and every window contains it.
_CENTRE, _SWAY, _WIDTH, _ZOOM = (262.0, 222.0), (22.0, 26.0), 450.0, 28.0


def sample_photo() -> Picture:
    """(600, 512, 3) uint8 BGR: Grace Hopper, the sample picture that comes with matplotlib; no download.

    Raises:
        EmotionError: matplotlib or its sample data is not installed.
    """
    matplotlib_apart()
    try:
        from matplotlib import cbook

        data = np.fromfile(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)), np.uint8)
    except (ImportError, OSError) as error:
        raise EmotionError(
            f"expected the sample photo that comes with matplotlib ({error}): pip install matplotlib, or name a video"
        ) from None
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def window(photo: Picture, time_s: float) -> Picture:
    """(480, 640, 3) uint8 BGR: the photo as a camera sees it at a time that pans, nods and zooms slowly."""
    turn = 2 * math.pi * time_s / SECONDS
    width = _WIDTH - _ZOOM * math.cos(turn)
    scale = SIZE_PX[0] / width
    x, y = _CENTRE[0] + _SWAY[0] * math.sin(turn), _CENTRE[1] + _SWAY[1] * math.sin(2 * turn)
    matrix = np.array([[scale, 0, SIZE_PX[0] / 2 - scale * x], [0, scale, SIZE_PX[1] / 2 - scale * y]])
    picture = cv2.warpAffine(photo, matrix, SIZE_PX, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(picture, np.uint8)


def pan_still(path: str | Path) -> None:
    """Write the clip: SECONDS at RATE_HZ, the same every time.

    Raises:
        EmotionError: matplotlib or PyAV is not installed, or the file cannot be written.
    """
    photo = sample_photo()
    count = SECONDS * RATE_HZ
    writer = VideoWriter(path, queue_size=count, rate_hz=RATE_HZ)
    for i in range(count):
        writer.put(window(photo, i / RATE_HZ), i / RATE_HZ)
    if not writer.close():
        raise EmotionError(f"{path} could not be written: {writer.error}")
