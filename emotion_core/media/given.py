"""A picture, however it is given to a function of the library: a path, a file's content, an array, or PIL's."""

from __future__ import annotations

import base64
import binascii
import os
from typing import Any

import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.types import Picture
from emotion_core.vision.picture import as_bgr

_URI = "data:"


def as_picture(given: Any) -> Picture:
    """(H, W, 3) uint8 BGR.

    Args:
        given: a path (str or Path), a ``data:`` URI in base64, the content of a picture's file (bytes), a
            ``StoredPicture``, or whatever ``as_bgr`` takes. Files larger than ``media.pixels.MAX_SIDE_PX`` are shrunk,
            as ``read_picture`` does.

    Raises:
        EmotionError: it is nothing of this, or cannot be read; the message says what was expected.
    """
    if isinstance(given, np.ndarray):
        return as_bgr(given)
    if isinstance(given, str | os.PathLike | bytes | bytearray | memoryview):
        from emotion_core.media import pictures  # which a node that gets its pictures in messages never needs

        if isinstance(given, str) and given.startswith(_URI):
            return pictures.decode_picture(_of_uri(given)).image
        if isinstance(given, str | os.PathLike):
            if isinstance(given, str) and not given:
                raise EmotionError("expected the path of a picture, got an empty one")
            return pictures.read_picture(os.fsdecode(given)).image
        return pictures.decode_picture(bytes(given)).image
    return as_bgr(getattr(given, "image", given))  # a StoredPicture


def _of_uri(uri: str) -> bytes:
    head, _, data = uri.partition(",")
    if not head.endswith(";base64"):
        raise EmotionError(f"expected a picture as data:image/…;base64,…, got {head[:40]!r} without base64")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EmotionError(f"expected a picture as data:image/…;base64,…, but its base64 is damaged: {error}") from None
