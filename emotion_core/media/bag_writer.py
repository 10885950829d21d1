"""Bags, written aside and put in place when they are whole."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from emotion_core.errors import EmotionError
from emotion_core.media.bag_types import make_typestore
from emotion_core.store.files import cannot_write, check_writable, prepare_folder, put_in_place, user_path

STORAGES = {".mcap": "MCAP", ".db3": "SQLITE3"}
_VERSION: Literal[8] = 8
"""Of the metadata: the older of the two that rosbags writes, which more releases of rosbag2 know."""


class BagWriter:
    """Writes a rosbag2 with the definitions of its messages; a context manager, and where it is left by an exception no
    bag is left.

    Args:
        path: ending in .mcap or .db3 for one file, which replaces an older one; any other name stands for a folder with
            an MCAP file and metadata.yaml, which must not exist or be empty.
        store: knows the messages; ``make_typestore()`` when left out.
        in_place: for recordings, which cannot be made again: a folder that is there from the start, and of which stays
            what was written, whatever happens. ``RawBag`` reads it.

    Raises:
        EmotionError: it cannot be written there, or rosbags is not installed.
    """

    def __init__(self, path: str | Path, store: Any = None, in_place: bool = False) -> None:
        self.path = user_path(path)
        self.store = store or make_typestore()
        self.written = 0
        self._single, self._in_place = self.path.suffix in STORAGES, in_place
        self._connections: dict[tuple[str, str], Any] = {}
        if in_place and self.path.suffix in STORAGES:
            raise EmotionError(f"{self.path}: a recording is a folder, name it without {self.path.suffix}")
        folder = prepare_folder(self.path.parent)
        if self._single:
            check_writable(self.path)
        elif self.path.exists() and not (self.path.is_dir() and not any(self.path.iterdir())):
            raise EmotionError(f"{self.path} is there already: remove it, or name another bag")
        self._aside = folder / f".{secrets.token_hex(6)}.part"
        from rosbags.rosbag2 import StoragePlugin, Writer

        plugin = StoragePlugin[STORAGES[self.path.suffix] if self._single else "MCAP"]
        try:
            if in_place:
                place = self.path
                with contextlib.suppress(FileNotFoundError):
                    place.rmdir()  # rosbags makes it itself
            else:
                self._aside.mkdir()
                place = self._aside / (self.path.stem if self._single else self.path.name)
            self._writer: Any = Writer(place, version=_VERSION, storage_plugin=plugin)
            self._writer.open()
        except OSError as error:
            self.abort()
            raise EmotionError(cannot_write(self.path, error)) from None

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, topic: str, message: Any, time_ns: int) -> None:
        """Add a message of the store's types; raises EmotionError where it cannot be written."""
        kind = message.__msgtype__
        self.write_raw(topic, kind, bytes(self.store.serialize_cdr(message, kind)), time_ns)

    def write_raw(self, topic: str, kind: str, data: bytes, time_ns: int) -> None:
        """Add a message as CDR.

        Args:
            topic: where it goes.
            kind: its type, which the store knows.
            data: the message.
            time_ns: when it was received, nanoseconds.

        Raises:
            EmotionError: it cannot be written, such as on a full disk.
        """
        with self._told():
            connection = self._connections.get((topic, kind))
            if connection is None:
                connection = self._writer.add_connection(topic, kind, typestore=self.store)
                self._connections[topic, kind] = connection
            self._writer.write(connection, time_ns, data)
            self.written += 1

    def close(self) -> None:
        """Finish the bag and put it in its place; raises EmotionError where that fails."""
        with self._told():
            self._writer.close()
            made = self._writer.path
            if self._in_place:
                return
            if self._single:
                file = next(item for item in made.iterdir() if item.suffix in STORAGES)
                put_in_place(file, self.path)
            else:
                with contextlib.suppress(FileNotFoundError):
                    self.path.rmdir()
                made.replace(self.path)
        shutil.rmtree(self._aside, ignore_errors=True)

    def abort(self) -> None:
        """Give up: leave nothing behind, unless it is written in place."""
        with contextlib.suppress(Exception):
            self._writer.abort()
        shutil.rmtree(self._aside, ignore_errors=True)

    @contextlib.contextmanager
    def _told(self) -> Any:
        """What goes wrong in writing, as EmotionError; the bag is given up then."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            self.abort()
            if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
                error = OSError(28, str(error))  # ENOSPC
            raise EmotionError(cannot_write(self.path, error)) from None
