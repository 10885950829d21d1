"""What a PNG's chunks say, and whether all of its rows are there."""

from __future__ import annotations

import zlib

from emotion_core.errors import EmotionError

START = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"


def size(content: bytes) -> tuple[int, int]:
    """(width, height) from the header; raises EmotionError where the file ends before."""
    if len(content) < 24:
        raise EmotionError(f"expected a whole PNG, got {len(content)} bytes: cut off")
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def has_end(content: bytes) -> bool:
    """Whether the end chunk is there."""
    return _walk(content)[1]


def with_end(content: bytes) -> bytes:
    """A PNG that lacks nothing but its end, with one; raises EmotionError where pixels are missing."""
    pixels, _ = _walk(content)
    inflate = zlib.decompressobj()
    try:
        for start, end in pixels:
            rest = content[start:end]
            while rest and not inflate.eof:
                inflate.decompress(rest, 1 << 20)  # never more than that at once
                rest = inflate.unconsumed_tail
    except zlib.error:
        pass
    if not inflate.eof:
        raise EmotionError(f"expected a whole PNG, got {len(content)} bytes without its end: cut off")
    start, end = pixels[-1]
    checksum = zlib.crc32(content[start - 4 : end]).to_bytes(4, "big")
    return content[:end] + checksum + END


def _walk(content: bytes) -> tuple[list[tuple[int, int]], bool]:
    """Where the chunks of pixels are that are there in full, and whether the end chunk is."""
    pixels: list[tuple[int, int]] = []
    at = len(START)
    while at + 8 <= len(content):
        start = at + 8
        end, name = start + int.from_bytes(content[at : at + 4], "big"), content[at + 4 : start]
        if name == b"IEND" and at + len(END) <= len(content):
            return pixels, True
        if name == b"IDAT" and end <= len(content):
            pixels.append((start, end))
        at = end + 4
    return pixels, False
