"""Which kind of picture a file holds and how large it is, read from its first bytes and not by decoding it.

A few hundred bytes may claim billions of pixels, and a decoder believes them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from emotion_core.errors import EmotionError
from emotion_core.media import avif, heif, jpeg, png

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PNM": (".pbm", ".pgm", ".ppm", ".pnm", ".pam"),
    "JPEG 2000": (".jp2", ".j2k"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
    "Sun raster": (".ras", ".sr"),
}
"""The kinds that can be measured and read, each with how the names of such files end."""

KINDS = tuple(SUFFIXES)


class Measure(NamedTuple):
    """A kind of file, one of KINDS, and (width, height) in pixels as stored."""

    kind: str
    width: int
    height: int


def measure(content: bytes) -> Measure | None:
    """What a file's header says; None where it is of no kind in KINDS.

    Raises:
        EmotionError: it is one of them, but its header is cut off or damaged.
    """
    kind = kind_of(content)
    if kind is None:
        return None
    try:
        return Measure(kind, *_SIZES[kind](content))
    except (IndexError, KeyError, ValueError):
        raise EmotionError(f"expected a whole {kind} picture, got {len(content)} bytes: cut off or damaged") from None


def kind_of(content: bytes) -> str | None:
    """One of KINDS, by the first bytes; None for anything else."""
    for kind, start in (
        ("JPEG", jpeg.START),
        ("PNG", png.START),
        ("BMP", b"BM"),
        ("GIF", b"GIF8"),
        ("JPEG 2000", b"\0\0\0\x0cjP"),
        ("JPEG 2000", b"\xff\x4f\xff\x51"),
        ("Sun raster", b"\x59\xa6\x6a\x95"),
        *(("TIFF", start) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ):
        if content.startswith(start):
            return kind
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WebP"
    if re.match(rb"P[1-7]\s", content):
        return "PNM"
    if avif.is_avif(content):
        return "AVIF"
    return "HEIF" if heif.is_heif(content) else None


def _number(content: bytes, at: int, size: int, order: str = "little") -> int:
    if at + size > len(content):
        raise ValueError("cut off")
    return int.from_bytes(content[at : at + size], order)  # type: ignore[arg-type]


def _jpeg(content: bytes) -> tuple[int, int]:
    header = jpeg.read_header(content)
    return header.width, header.height


def _heif(content: bytes) -> tuple[int, int]:
    header = avif.read_header(content)
    return header.width, header.height


def _bmp(content: bytes) -> tuple[int, int]:
    if _number(content, 14, 4) == 12:  # the oldest header
        return _number(content, 18, 2), _number(content, 20, 2)
    width, height = (_number(content, at, 4) for at in (18, 22))
    return width, height if height < 1 << 31 else (1 << 32) - height  # rows from the top count below zero


def _gif(content: bytes) -> tuple[int, int]:
    return _number(content, 6, 2), _number(content, 8, 2)


def _webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X":
        return _number(content, 24, 3) + 1, _number(content, 27, 3) + 1
    if kind == b"VP8L":
        bits = _number(content, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return _number(content, 26, 2) & 0x3FFF, _number(content, 28, 2) & 0x3FFF


def _tiff(content: bytes) -> tuple[int, int]:
    """The largest of the picture's and its tiles' width and height: a tile is decoded whole, however small its part."""
    order = "little" if content.startswith(b"II") else "big"
    big = _number(content, 2, 2, order) == 43
    at = _number(content, 8, 8, order) if big else _number(content, 4, 4, order)
    count, at = (_number(content, at, 8, order), at + 8) if big else (_number(content, at, 2, order), at + 2)
    sizes: dict[int, int] = {}
    for entry in range(at, min(at + count * (20 if big else 12), len(content)), 20 if big else 12):
        tag, kind = _number(content, entry, 2, order), _number(content, entry + 2, 2, order)
        if tag in (256, 257, 322, 323):
            sizes[tag] = _number(content, entry + (12 if big else 8), {3: 2, 16: 8}.get(kind, 4), order)
    return max(sizes[256], sizes.get(322, 0)), max(sizes[257], sizes.get(323, 0))


def _pnm(content: bytes) -> tuple[int, int]:
    head = re.sub(rb"#[^\n]*", b"", content[:4096])
    if head.startswith(b"P7"):
        numbers = [*re.findall(rb"\bWIDTH\s+(\d+)", head)[:1], *re.findall(rb"\bHEIGHT\s+(\d+)", head)[:1]]
    else:
        numbers = [number for pair in re.findall(rb"\AP\d\s+(\d+)\s+(\d+)\s", head) for number in pair]
    width, height = map(int, numbers)
    return width, height


def _jpeg_2000(content: bytes) -> tuple[int, int]:
    at = content.index(b"\xff\x4f\xff\x51") + 8
    return _number(content, at, 4, "big"), _number(content, at + 4, 4, "big")


def _sun(content: bytes) -> tuple[int, int]:
    return _number(content, 4, 4, "big"), _number(content, 8, 4, "big")


_SIZES = {
    "JPEG": _jpeg, "PNG": png.size, "WebP": _webp, "BMP": _bmp, "TIFF": _tiff, "GIF": _gif, "PNM": _pnm,
    "JPEG 2000": _jpeg_2000, "AVIF": _heif, "HEIF": _heif, "Sun raster": _sun,
}  # fmt: skip
