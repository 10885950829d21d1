"""A picture on standard input, which is called ``-``."""

from __future__ import annotations

import sys

from emotion_core.errors import EmotionError
from emotion_core.media.pictures import StoredPicture, decode_picture

STDIN = "-"
MAX_BYTES = 1_000_000_000
"""More than any picture that can be decoded has."""


def read_stdin(max_bytes: int = MAX_BYTES) -> StoredPicture:
    """The picture on standard input; raises EmotionError where it is none, or nobody sends one."""
    stream = None if sys.stdin is None else sys.stdin.buffer
    if stream is None or stream.isatty():
        raise EmotionError("-: expected a picture on standard input, got a terminal: write emotion … - < photo.jpg")
    content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise EmotionError(f"-: expected a picture of at most {max_bytes / 1e6:g} MB on standard input, got more")
    try:
        return decode_picture(content)
    except EmotionError as error:
        raise EmotionError(f"standard input is not a readable picture: {error}") from None
