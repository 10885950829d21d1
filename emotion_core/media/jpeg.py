"""What a JPEG's headers say, and whether all of its rows are there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from emotion_core.errors import EmotionError

START, END = b"\xff\xd8", b"\xff\xd9"
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # tables, among the markers from 0xC0 to 0xCF that begin a frame
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length


@dataclass(frozen=True)
class JpegHeader:
    """What stands before the pixels.

    Attributes:
        width, height: in pixels, as stored.
        scan: where the compressed pixels begin, in bytes from the start.
        buffered: whether the whole picture has to be held before the first row comes out (progressive ones).
    """

    width: int
    height: int
    scan: int
    buffered: bool


def read_header(content: bytes) -> JpegHeader:
    """The header of a JPEG; raises EmotionError where the file ends before its pixels."""
    at, frame = 2, b""
    while (at := content.find(b"\xff", at)) >= 0 and at + 4 <= len(content):
        marker = content[at + 1]
        if marker in (0x00, 0xFF):  # fill bytes may stand before a marker
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            frame = content[at:end]
        if marker == 0xDA and len(frame) >= 10 and end <= len(content):
            progressive = frame[1] in (0xC2, 0xC6, 0xCA, 0xCE)
            height, width = int.from_bytes(frame[5:7], "big"), int.from_bytes(frame[7:9], "big")
            return JpegHeader(width, height, end, progressive or content[at + 4] < frame[9])
        if marker in (0xDA, 0xD9):
            break
        at = max(at + 2, end)
    raise EmotionError(f"expected a whole JPEG, got {len(content)} bytes without its end: cut off or damaged")


def has_end(content: bytes, header: JpegHeader) -> bool:
    """Whether the end marker is there.

    Compressed pixels never hold it, and an embedded thumbnail lies before them. Some versions of OpenCV fill what is
    cut off with grey and call it a success.
    """
    return content.find(END, header.scan) >= 0


def with_end(content: bytes, header: JpegHeader) -> bytes:
    """A JPEG that lacks nothing but its end marker, with one; raises EmotionError where rows are missing.

    Where all rows are there, it makes no difference what follows them; where some are missing, decoders take what
    follows for pixels. So two pictures that differ only in what follows tell.
    """
    body = content.rstrip(b"\0")  # with which disks and downloads fill up
    if body.endswith(b"\xff"):  # half a marker, or a byte 255 of the pixels, which a zero follows
        body = body + b"\0" if len(body) < len(content) else body[:-1]
    tail = 65536 + 32 * header.width  # enough for a row, however it is read
    last = END if header.buffered else b""  # without one, libjpeg has no reason to complain of the rest
    one, other = (_grey(body + byte * tail + last) for byte in (b"\0", b"\x55"))
    if one is None or other is None or not np.array_equal(one, other):
        raise EmotionError(f"expected a whole JPEG, got {len(content)} bytes without its end: rows are missing")
    return body + END


def _grey(content: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
