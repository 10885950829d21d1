"""What is left of a damaged MCAP file: read from the front, without its index, as far as it is whole.

The format: https://mcap.dev/spec
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Collection, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

from emotion_core.errors import EmotionError
from emotion_core.media.bag_types import RawMessage, RawTopic

_MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x03, 0x04, 0x05, 0x06, 0x0F
_FOOTER_BYTES = 37  # its record and the magic
_BLOCK_BYTES = 1 << 16
_KEPT_CHUNKS = 4  # chunks overlap in time: each is read again, soon


def is_indexed(path: Path) -> bool:
    """Whether an MCAP file ends as it should, with a summary of what is in it; raises OSError."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _FOOTER_BYTES))
        footer = file.read()
    return len(footer) == _FOOTER_BYTES and footer.endswith(_MAGIC) and footer[9:17] != bytes(8)


class McapScan:
    """An MCAP file without its index, as after a power cut.

    Attributes:
        topics: see RawTopic.
        span_ns: (earliest, latest) time; None without messages.
        damage: what could not be read, empty where everything could.

    Raises:
        EmotionError: it is no MCAP file.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._size = path, path.stat().st_size
        self._schemas: dict[int, tuple[str, str]] = {}
        self._channels: dict[int, tuple[str, str, str]] = {}  # topic, type, definition
        self._index: list[tuple[int, int, int, int, int]] = []  # time, chunk (-1: none), offset, length, channel
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._bad_chunks = 0
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise EmotionError(f"{path}: expected an MCAP file, got something else")
            complete = self._scan(file, self._size)
        self._index.sort()
        told = [] if complete else ["its end is missing"]
        told += [f"{self._bad_chunks} chunks are damaged"] if self._bad_chunks else []
        self.damage = ", ".join(told)
        counts = dict.fromkeys(self._channels, 0)
        for entry in self._index:
            counts[entry[-1]] += 1
        self.topics = [RawTopic(*self._channels[number], count) for number, count in counts.items()]
        self.span_ns = (self._index[0][0], self._index[-1][0]) if self._index else None

    def _scan(self, file: BinaryIO, end: int, chunk: int = -1) -> bool:
        """Note what is there; False when the records end early."""
        for kind, start, size in _records(file, end):
            if kind == _DATA_END:
                return True
            if kind == _MESSAGE:
                head = file.read(22)
                channel, time_ns = int.from_bytes(head[:2], "little"), int.from_bytes(head[6:14], "little")
                if size >= 22 and channel in self._channels:
                    self._index.append((time_ns, chunk, start + 22, size - 22, channel))
            elif kind == _CHUNK and chunk < 0:
                try:
                    inner = self._chunk(file, start, size)
                    self._scan(BytesIO(inner), len(inner), start)
                except Exception:  # of three decompressors
                    self._bad_chunks += 1
            elif kind in (_SCHEMA, _CHANNEL):
                self._describe(kind, BytesIO(file.read(size)))
        return False

    def _describe(self, kind: int, record: BytesIO) -> None:
        number = int.from_bytes(record.read(2), "little")
        if kind == _SCHEMA:
            name, encoding, text = _text(record), _text(record), _text(record)
            self._schemas.setdefault(number, (name, text if encoding.startswith("ros2") else ""))
        else:
            schema = int.from_bytes(record.read(2), "little")
            topic, encoding = _text(record), _text(record)
            if encoding == "cdr" and schema in self._schemas:
                self._channels.setdefault(number, (topic, *self._schemas[schema]))

    def _chunk(self, file: BinaryIO, start: int, size: int) -> bytes:
        """The records of a chunk, of the last one as far as the file goes; raises what its decompressor raises, and
        ValueError for a wrong checksum."""
        if (known := self._kept.get(start)) is not None:
            return known
        file.seek(start)
        record = BytesIO(file.read(size))
        record.seek(24)
        checksum = int.from_bytes(record.read(4), "little")
        compression = _text(record)
        length = int.from_bytes(record.read(8), "little")
        content = record.read(length)
        whole = len(content) == length
        if compression == "zstd":
            content = unzstd(content) if whole else _zstd().ZstdDecompressor().decompress(content)
        elif compression == "lz4":
            from lz4.frame import LZ4FrameDecompressor

            content = LZ4FrameDecompressor().decompress(content)
        if whole and checksum and crc32(content) != checksum:
            raise ValueError("wrong checksum")
        self._kept[start] = content
        if len(self._kept) > _KEPT_CHUNKS:
            self._kept.popitem(last=False)
        return content

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """The messages of some topics in the order of their times."""
        with self._path.open("rb") as file:
            for time_ns, chunk, offset, length, channel in self._index:
                topic, kind, _ = self._channels[channel]
                if topic not in topics:
                    continue
                if chunk < 0:
                    file.seek(offset)
                    data = file.read(length)
                else:
                    file.seek(chunk - 8)
                    size = min(int.from_bytes(file.read(8), "little"), self._size - chunk)
                    data = self._chunk(file, chunk, size)[offset : offset + length]
                yield RawMessage(topic, kind, time_ns, data)


def _records(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """(kind, start, length) of each whole record, and of a chunk at the end as far as it goes; the file stands at its
    start."""
    while len(head := file.read(9)) == 9:
        start, size = file.tell(), int.from_bytes(head[1:], "little")
        if start + size > end:
            if head[0] == _CHUNK:
                yield _CHUNK, start, end - start
            return
        yield head[0], start, size
        file.seek(start + size)


def _text(record: BytesIO) -> str:
    return record.read(int.from_bytes(record.read(4), "little")).decode(errors="replace")


def unzstd(content: bytes) -> bytes:
    """What was compressed with zstd; raises ZstdError."""
    return bytes(_zstd().decompress(content))


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def unpack(file: Path, place: Path) -> None:
    """Decompress a file that was compressed with zstd; what was decompressed stays where an exception ends it.

    Raises ZstdError, EOFError where its end is missing, or OSError.
    """
    with file.open("rb") as packed, _zstd().open(packed, "rb") as stream, place.open("wb") as out:
        while block := stream.read(_BLOCK_BYTES):
            out.write(block)
