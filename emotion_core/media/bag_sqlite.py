"""What is left of a damaged SQLite file of a bag: its rows, as far as their pages are there."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from emotion_core.errors import EmotionError
from emotion_core.media.bag_types import RawMessage, RawTopic


class SqliteScan:
    """A .db3 file of which the end is missing: its rows in the order in which they were written.

    Attributes and exceptions are those of ``McapScan``.
    """

    def __init__(self, path: Path) -> None:
        path.stat()
        self._lost = 0
        self._uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        with self._open() as connection:
            try:
                rows = connection.execute("SELECT id, name, type FROM topics").fetchall()
            except sqlite3.Error as error:
                raise EmotionError(f"{path}: expected a bag's SQLite file, but it cannot be read: {error}") from None
            self._topics = {number: (name, kind) for number, name, kind in rows}
            definitions = dict(
                _some(connection, "SELECT topic_type, encoded_message_definition FROM message_definitions")
            )
            index = [
                (time_ns, number, topic)
                for number, topic, time_ns in _some(connection, "SELECT id, topic_id, timestamp FROM messages")
                if topic in self._topics
            ]
        self._index = sorted(index)
        counts = dict.fromkeys(self._topics, 0)
        for *_, topic in self._index:
            counts[topic] += 1
        self.topics = [
            RawTopic(name, kind, definitions.get(kind, ""), counts[number])
            for number, (name, kind) in self._topics.items()
        ]
        self.span_ns = (self._index[0][0], self._index[-1][0]) if self._index else None

    def _open(self) -> Any:
        connection = sqlite3.connect(self._uri, uri=True)
        # Nothing is written: it lets SQLite open a file that is shorter than its header says.
        connection.execute("PRAGMA writable_schema = ON")
        return closing(connection)

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """The messages of some topics in the order of their times; one whose data are gone is left out."""
        with self._open() as connection:
            for time_ns, number, topic in self._index:
                name, kind = self._topics[topic]
                if name not in topics:
                    continue
                rows = _some(connection, "SELECT data FROM messages WHERE id = ?", number)
                if rows:
                    yield RawMessage(name, kind, time_ns, rows[0][0])
                else:
                    self._lost += 1

    @property
    def damage(self) -> str:
        """What could not be read so far."""
        return "its end is missing" + (f", {self._lost} messages have lost their data" if self._lost else "")


def _some(connection: sqlite3.Connection, query: str, *values: object) -> list[Any]:
    """The rows up to the first that cannot be read."""
    rows = []
    try:
        for row in connection.execute(query, values):
            rows.append(row)
    except sqlite3.Error:
        pass
    return rows
