"""The size of an AVIF picture, or a HEIF, and how it is to be turned; OpenCV shows it as it is stored.

Boxes: ISO/IEC 14496-12 (ISOBMFF); items and their properties: ISO/IEC 23008-12 (HEIF).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.types import Picture

_TURNS = (b"irot", b"imir")


@dataclass(frozen=True)
class AvifHeader:
    """What the boxes say of the main picture.

    Attributes:
        width, height: in pixels, as stored; the largest of all pictures in the file.
        turns: (b"irot" or b"imir", its value), in the order in which they apply.
        places: (from, to) in bytes: where the file says that these belong to the picture.
    """

    width: int
    height: int
    turns: tuple[tuple[bytes, int], ...]
    places: tuple[tuple[int, int], ...]


def is_avif(content: bytes) -> bool:
    """Whether the file calls itself an AVIF picture or sequence of pictures."""
    if content[4:8] != b"ftyp":
        return False
    brands = content[8 : min(int.from_bytes(content[:4], "big"), 256)]
    return b"avif" in brands or b"avis" in brands


def read_header(content: bytes) -> AvifHeader:
    """Parse the boxes; raises EmotionError where they are damaged or say no size."""
    try:
        return _read(content)
    except (IndexError, KeyError, ValueError):
        raise EmotionError(f"expected a whole AVIF or HEIF, got {len(content)} bytes without a size: damaged") from None


def stored(content: bytes, header: AvifHeader) -> bytes:
    """The file without its turns, so that no decoder applies them and ``upright`` may."""
    plain = bytearray(content)
    for start, end in header.places:
        plain[start:end] = bytes(end - start)  # number 0 is no property
    return bytes(plain)


def upright(image: Picture, header: AvifHeader) -> Picture:
    """The stored picture, turned and mirrored as the file says."""
    for name, value in header.turns:
        if name == b"irot":
            image = np.rot90(image, value)  # counterclockwise, as HEIF counts
        elif value == 0:
            image = image[::-1]
        else:
            image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _read(content: bytes) -> AvifHeader:
    meta = dict(_boxes(content, 0, len(content)))[b"meta"]
    parts = dict(_boxes(content, meta[0] + 4, meta[1]))
    start, _ = parts[b"pitm"]
    primary = _number(content, start + 4, 2 if content[start] == 0 else 4)
    properties = list(_boxes(content, *parts[b"iprp"]))
    kinds = list(_boxes(content, *dict(properties)[b"ipco"]))
    ispe = [start for name, (start, _) in kinds if name == b"ispe"]
    sizes = [(_number(content, start + 4, 4), _number(content, start + 8, 4)) for start in ispe]
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    turns, places = [], []
    for name, (start, _) in properties:
        for item, number, place in _associations(content, start) if name == b"ipma" else ():
            if item == primary and 0 < number <= len(kinds) and kinds[number - 1][0] in _TURNS:
                kind, (value_at, _) = kinds[number - 1]
                turns.append((kind, content[value_at] & (3 if kind == b"irot" else 1)))
                places.append(place)
    return AvifHeader(width, height, tuple(turns), tuple(places))


def _boxes(content: bytes, at: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """(name, (start, end) of what is in it) of each box."""
    while at + 8 <= end:
        length, start = _number(content, at, 4), at + 8
        if length == 1:
            length, start = _number(content, at + 8, 8), at + 16
        stop = end if length == 0 else at + length
        if not start <= stop <= end:
            raise ValueError("a box that ends outside of the one around it")
        yield content[at + 4 : at + 8], (start, stop)
        at = stop


def _associations(content: bytes, at: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """(item, number of the property from 1, where that stands) of each entry of an ipma box."""
    wide_items, wide_numbers = content[at] > 0, content[at + 3] & 1
    entries, at = _number(content, at + 4, 4), at + 8
    for _ in range(entries):
        item = _number(content, at, 4 if wide_items else 2)
        at += 4 if wide_items else 2
        count, at = content[at], at + 1
        for _ in range(count):
            size = 2 if wide_numbers else 1
            yield item, _number(content, at, size) & (0x7FFF if wide_numbers else 0x7F), (at, at + size)
            at += size


def _number(content: bytes, at: int, size: int) -> int:
    if at + size > len(content):
        raise ValueError("cut off")
    return int.from_bytes(content[at : at + size], "big")
