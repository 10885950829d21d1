"""The messages of a rosbag2 as bytes, whole bags and damaged ones: what can be read is read, and the rest is told."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from emotion_core.errors import EmotionError
from emotion_core.media.bag_mcap import McapScan, is_indexed, unpack, unzstd
from emotion_core.media.bag_sqlite import SqliteScan
from emotion_core.media.bag_types import RawMessage, RawTopic, require_rosbags
from emotion_core.store.files import user_path

_SCANS: dict[str, Callable[[Path], McapScan | SqliteScan]] = {".mcap": McapScan, ".db3": SqliteScan}
_PACKED = (".zstd", ".zst")
_ZSTD = b"\x28\xb5\x2f\xfd"  # CDR begins with a zero


class _Storage(Protocol):
    topics: list[RawTopic]
    span_ns: tuple[int, int] | None

    @property
    def damage(self) -> str: ...

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]: ...


class _Whole:
    """A file with all that belongs to it, read by rosbags; raises whatever that raises."""

    damage = ""

    def __init__(self, path: Path) -> None:
        from rosbags.rosbag2 import Reader

        self._reader: Any = Reader(path)
        self._reader.open()
        if not getattr(self._reader.storage, "chunks", True):  # then it takes only what is in the order of time
            self._reader.close()
            raise ValueError("an MCAP file without chunks")
        self.topics = [
            RawTopic(item.topic, item.msgtype, item.msgdef.data, item.msgcount) for item in self._reader.connections
        ]
        counted = self._reader.message_count
        self.span_ns = (self._reader.start_time, self._reader.end_time - 1) if counted else None

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        connections = [item for item in self._reader.connections if item.topic in topics]
        if connections:  # none would stand for all
            for item, time_ns, data in self._reader.messages(connections):
                yield RawMessage(item.topic, item.msgtype, time_ns, data)

    def close(self) -> None:
        self._reader.close()


class RawBag:
    """A bag that is read without knowing its messages; a context manager.

    Args:
        path: a bag's folder with or without metadata.yaml, or one of its files: .mcap, .db3, also with .zstd.

    Attributes:
        topics: of all files together; two entries have the same name where a topic has two types.
        span_ns: (earliest, latest) time, None without messages.
        damage: what is missing, a line each; more may come while messages are read.

    Raises:
        EmotionError: there is no such bag, none of it can be read, or rosbags is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        require_rosbags()
        self.path = user_path(path)
        self.damage: list[str] = []
        self._files: list[tuple[Path, _Storage]] = []
        self._stack = ExitStack()
        try:
            for file in self._find():
                self._open(file)
            if not self._files:
                raise EmotionError(f"{path}: nothing of this bag can be read: {'; '.join(self.damage)}")
        except OSError as error:
            self.close()
            raise EmotionError(f"{path}: cannot be read: {error.strerror or error}") from None
        except BaseException:
            self.close()
            raise
        self.topics = _together([topic for _, storage in self._files for topic in storage.topics])
        spans = [storage.span_ns for _, storage in self._files if storage.span_ns is not None]
        self.span_ns = (min(a for a, _ in spans), max(b for _, b in spans)) if spans else None

    def __enter__(self) -> RawBag:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files, as often as it is called."""
        self._stack.close()

    @property
    def definitions(self) -> list[tuple[str, str]]:
        """(type, text) of the definitions that the bag brings along."""
        return [(topic.type, topic.definition) for topic in self.topics if topic.definition]

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """The messages of some topics in the order of bag time; what cannot be read is added to ``damage``."""
        streams = [self._messages(file, storage, topics) for file, storage in self._files]
        for message in heapq.merge(*streams, key=lambda message: message.time_ns):
            if message.data[:4] == _ZSTD:
                try:
                    message = RawMessage(message.topic, message.type, message.time_ns, unzstd(message.data))
                except Exception as error:  # ZstdError, whose module depends on the version of Python
                    self._tell(f"a message of {message.topic} cannot be decompressed: {error}")
                    continue
            yield message

    def _messages(self, file: Path, storage: _Storage, topics: Collection[str]) -> Iterator[RawMessage]:
        last_ns = -1
        try:
            for message in storage.messages(topics):
                last_ns = message.time_ns
                yield message
        except Exception as error:  # in the middle of a file that looked whole: go on behind the damage
            self._tell(f"{file.name}: damaged: {error}")
            scan = _SCANS[file.suffix](file)
            yield from (message for message in scan.messages(topics) if message.time_ns > last_ns)
            storage = scan
        if storage.damage:
            self._tell(f"{file.name}: {storage.damage}")

    def _tell(self, text: str) -> None:
        if text not in self.damage:
            self.damage.append(text)

    def _find(self) -> Sequence[Path]:
        """The files of the bag, in order."""
        if not self.path.exists():
            raise EmotionError(
                f"{self.path}: expected a bag (a folder, .mcap or .db3), but there is none: check the path"
            )
        if not self.path.is_dir():
            if self.path.suffix == ".bag":
                raise EmotionError(f"{self.path} is a bag of ROS 1: make one of ROS 2 of it with rosbags-convert")
            if _kind(self.path) not in _SCANS:
                raise EmotionError(f"{self.path}: expected a bag (a folder, .mcap or .db3), got another kind of file")
            return [self.path]
        there = sorted(item for item in self.path.iterdir() if _kind(item) in _SCANS and item.is_file())
        listed = self._listed()
        for name in sorted(set(listed) - {item.name for item in there}):
            self._tell(f"{name} is not there, though metadata.yaml names it")
        found = [item for item in there if item.name in listed] or there
        if not found:
            raise EmotionError(f"{self.path}: expected a bag, but the folder holds no .mcap and no .db3 file")
        return found

    def _listed(self) -> list[str]:
        """The files that metadata.yaml names; empty where it is missing or broken, which is told."""
        from ruamel.yaml import YAML

        file = self.path / "metadata.yaml"
        try:
            about = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
            return [Path(name).name for name in about["relative_file_paths"]]
        except FileNotFoundError:
            self._tell("metadata.yaml is missing")
        except Exception as error:  # of a YAML parser, or another structure
            self._tell(f"metadata.yaml is broken ({' '.join(str(error).split())[:80]})")
        return []

    def _open(self, file: Path) -> None:
        """Add a file of the bag; one of which nothing can be read is told."""
        place = file
        if file.suffix in _PACKED:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="emotion_bag_"))
            place = Path(folder, file.stem)
            try:
                unpack(file, place)
            except OSError:
                raise
            except Exception as error:  # ZstdError or EOFError; what was decompressed is read
                self._tell(f"{file.name}: damaged: {error}")
        if place.suffix != ".mcap" or is_indexed(place):  # without an index, as without chunks
            try:
                whole = _Whole(place)
            except OSError:
                raise
            except Exception:  # rosbags raises many kinds for a damaged file
                pass
            else:
                self._stack.callback(whole.close)
                self._files.append((place, whole))
                return
        try:
            scan = _SCANS[place.suffix](place)
        except EmotionError as error:
            self._tell(str(error).partition(": ")[2])
            return
        if scan.damage:
            self._tell(f"{file.name}: {scan.damage}")
        self._files.append((place, scan))


def _kind(path: Path) -> str:
    """The suffix below that of a compressed file."""
    return Path(path.stem).suffix if path.suffix in _PACKED else path.suffix


def _together(topics: Sequence[RawTopic]) -> list[RawTopic]:
    """One entry for each name and type, by name."""
    found: dict[tuple[str, str], RawTopic] = {}
    for topic in topics:
        known = found.get((topic.name, topic.type))
        count = topic.count + (known.count if known else 0)
        definition = (known.definition if known else "") or topic.definition
        found[topic.name, topic.type] = RawTopic(topic.name, topic.type, definition, count)
    return [found[key] for key in sorted(found)]
