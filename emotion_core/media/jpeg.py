"""What a JPEG's headers say, and whether all of its rows are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from emotion_core.errors import EmotionError

START, END = b"\xff\xd8", b"\xff\xd9"
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # tables, among the markers from 0xC0 to 0xCF that begin a frame
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length
_SCAN = 0xDA


@dataclass(frozen=True)
class JpegHeader:
    """What stands before the pixels.

    Attributes:
        width, height: in pixels, as stored.
        scan: where the compressed pixels begin, in bytes from the start.
        components: the numbers of its colour components.
        buffered: whether the whole picture has to be held before the first row comes out (progressive ones).
    """

    width: int
    height: int
    scan: int
    components: bytes
    buffered: bool


def read_header(content: bytes) -> JpegHeader:
    """The header of a JPEG; raises EmotionError where the file ends before its pixels."""
    frame = b""
    for marker, at, end in _segments(content):
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            frame = content[at:end]
        if marker == _SCAN:
            if len(frame) < 10 or end > len(content):
                break
            height, width = int.from_bytes(frame[5:7], "big"), int.from_bytes(frame[7:9], "big")
            buffered = frame[1] in _PROGRESSIVE or content[at + 4] < frame[9]
            return JpegHeader(width, height, end, frame[10 : 10 + 3 * frame[9] : 3], buffered)
    raise EmotionError(f"expected a whole JPEG, got {len(content)} bytes without its end: cut off or damaged")


def has_end(content: bytes, header: JpegHeader) -> bool:
    """Whether the end marker is there.

    Compressed pixels never hold it, and an embedded thumbnail lies before them. Some versions of OpenCV fill what is
    cut off with grey and call it a success.
    """
    return content.find(END, header.scan) >= 0


def with_end(content: bytes, header: JpegHeader) -> bytes:
    """A JPEG that lacks nothing but its end marker, with one; raises EmotionError where rows or details are missing.

    Where all rows are there, it makes no difference what follows them; where some are missing, decoders take what
    follows for pixels. So two pictures that differ only in what follows tell.
    """
    body = content.rstrip(b"\0")  # with which disks and downloads fill up
    if body.endswith(b"\xff"):  # half a marker, or a byte 255 of the pixels, which a zero follows
        body = body + b"\0" if len(body) < len(content) else body[:-1]
    tail = 65536 + 32 * header.width  # enough for a row, however it is read
    last = END if header.buffered else b""  # without one, libjpeg has no reason to complain of the rest
    one, other = (_grey(body + byte * tail + last) for byte in (b"\0", b"\x55"))
    whole = one is not None and other is not None and np.array_equal(one, other)
    if not whole or (header.buffered and not _has_all_scans(body, header)):
        raise EmotionError(
            f"expected a whole JPEG, got {len(content)} bytes without its end: rows or details are missing"
        )
    return body + END


def _has_all_scans(content: bytes, header: JpegHeader) -> bool:
    """Whether each coefficient of each component comes in all its bits: the last scans hold the finest details."""
    missing = {component: set(range(64)) for component in header.components}
    for marker, at, end in _segments(content):
        if marker == _SCAN and end <= len(content):
            first, last, bits = content[end - 3 : end]
            for component in content[at + 5 : end - 3 : 2] if bits & 15 == 0 else b"":
                missing.get(component, set()).difference_update(range(first, last + 1))
    return not any(missing.values())


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of every segment that has a length, up to the end marker, pixels between them left out."""
    at = 2
    while (at := content.find(b"\xff", at)) >= 0 and at + 4 <= len(content):
        marker = content[at + 1]
        if marker in (0x00, 0xFF):  # a byte 255 of the pixels, or one that fills up before a marker
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker == END[1]:
            return
        else:
            end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
            yield marker, at, end
            at = max(at + 2, end)


def _grey(content: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
