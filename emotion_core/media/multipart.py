"""The pictures of an HTTP answer that never ends: multipart/x-mixed-replace, which cameras call MJPEG."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from emotion_core.errors import EmotionError

MAX_PART_BYTES = 50_000_000
"""No camera's picture has more; without a bound, an answer without boundaries would fill the memory."""

_MAX_HEAD_BYTES = 16_384


def parts(read: Callable[[], bytes], boundary: str, name: str) -> Iterator[bytes]:
    """What is in each part, RFC 2046 as cameras write it: with or without a length, with or without leading dashes.

    Args:
        read: some more bytes; none at the end.
        boundary: the answer's parameter of that name.
        name: of the source, for messages.

    Raises:
        EmotionError: a part is larger than MAX_PART_BYTES, or there are none.
    """
    mark = b"--" + boundary.strip().strip('"').lstrip("-").encode("latin-1", "replace")
    held = bytearray()

    def more(limit: int) -> bool:
        if len(held) > limit:
            raise EmotionError(f"{name}: expected pictures between lines {mark.decode('latin-1')}, got none")
        held.extend(chunk := read())
        return bool(chunk)

    while True:
        while (at := held.find(mark)) < 0:
            if not more(_MAX_HEAD_BYTES):
                return
        del held[: at + len(mark)]
        while (head := re.search(rb"\r?\n\r?\n", held)) is None:
            if not more(_MAX_HEAD_BYTES):
                return
        length = re.search(rb"(?im)^content-length:\s*(\d+)", held[: head.start()])
        del held[: head.end()]
        if length is not None and (size := int(length[1])) <= MAX_PART_BYTES:
            while len(held) < size:
                if not more(MAX_PART_BYTES):
                    return
        else:
            size = searched = 0
            while (size := held.find(mark, searched)) < 0:
                searched = max(0, len(held) - len(mark))
                if not more(MAX_PART_BYTES):
                    return
        yield bytes(held[:size])
        del held[:size]
