"""What is known of each recording, and the index that lists them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from emotion_core.errors import EmotionError
from emotion_core.store.files import atomic_write

INDEX = "index.parquet"
DONE, FAILED = "done", "failed"


@dataclass(frozen=True)
class Entry:
    """A recording that was annotated, or could not be.

    Attributes:
        input: its path.
        output: path of its table, from the folder of the index.
        status: DONE or FAILED.
        error: why it failed.
        notes: what else was wrong with it: no sound, cut short.
        frames: pictures in it.
        processed: of them, looked at.
        bad: pictures and packets that could not be read or processed.
        faces: seen in all pictures together.
        people: distinct tracks.
        seconds: from its first stamp to its last.
        size, mtime_s, sha256: see ``inputs``; mtime_s of the time when it was annotated.
        model: name of the facial model.
        settings: see ``engine.Settings``, as JSON.
        version: of this package; another one annotates nothing anew by itself.
    """

    input: str
    output: str
    status: str
    error: str = ""
    notes: str = ""
    frames: int = 0
    processed: int = 0
    bad: int = 0
    faces: int = 0
    people: int = 0
    seconds: float = 0.0
    size: int = 0
    mtime_s: float = 0.0
    sha256: str = ""
    model: str = ""
    settings: str = "{}"
    version: str = ""

    @classmethod
    def parse(cls, note: dict[str, Any] | None) -> Entry | None:
        """From the note in a table; None where it is none of an entry."""
        names = {field.name for field in fields(cls)}
        try:
            return None if note is None else cls(**{name: value for name, value in note.items() if name in names})
        except TypeError:  # something is missing
            return None


def read_index(folder: Path) -> list[Entry]:
    """The entries of a folder's index, none where there is none yet.

    Raises:
        EmotionError: the file is something else or damaged.
    """
    path = folder / INDEX
    if not path.exists():
        return []
    try:
        rows = parquet.read_table(path).to_pylist()
        found = [Entry.parse(row) for row in rows]
    except (OSError, pyarrow.ArrowException) as error:
        raise EmotionError(f"{path}: expected an index of emotion annotate, got {error}: move it away") from None
    if None in found:
        raise EmotionError(f"{path}: expected an index of emotion annotate, got another table: move it away")
    return [entry for entry in found if entry is not None]


def write_index(folder: Path, entries: Iterable[Entry]) -> Path:
    """Write the index, in the order of the tables' names; it is whole or as it was. Returns its path."""
    kinds = {"int": pyarrow.int64(), "float": pyarrow.float64(), "str": pyarrow.string()}
    schema = pyarrow.schema([(field.name, kinds[str(field.type)]) for field in fields(Entry)])
    rows = [asdict(entry) for entry in sorted(entries, key=lambda entry: entry.output)]
    with atomic_write(folder / INDEX) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema), temporary)
    return folder / INDEX


def settings_of(entry: Entry) -> dict[str, Any]:
    """The settings with which it was annotated; empty where they cannot be read."""
    try:
        found = json.loads(entry.settings)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def printable(text: str | Path) -> str:
    """Text that any table holds: bytes of a file's name that are no UTF-8 are written out."""
    return str(text).encode("utf-8", "backslashreplace").decode()
