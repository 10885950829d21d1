"""The table of one recording's estimates: a Parquet file that says of what and how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow
from pyarrow import parquet

from emotion_core.recording.recording import COLUMNS_BEFORE, values_of
from emotion_core.types import EmotionEstimate

_KEY = b"emotion_annotate"  # in the file's metadata
_ROWS = 8192  # held in memory until they are written
_TYPES = {
    "frame": pyarrow.int64(),
    "stamp_s": pyarrow.float64(),
    "track_id": pyarrow.string(),
    "label": pyarrow.string(),
    "model": pyarrow.string(),
    "modalities": pyarrow.uint8(),
}


class EstimateTable:
    """Writes a row for each estimate, and one of frame and stamp for each frame in which nobody was.

    Columns: ``frame`` (number of the picture in the recording, from 0; none for what was heard without pictures), those
    of ``recording.COLUMNS_BEFORE``, ``p_<label>``, ``valence``, ``arousal``, ``model``, ``modalities`` (bits of
    ``types``). Boxes are in pixels; what has no value is null. Numbers are float32, stamps float64.

    Args:
        path: of the file, which is complete after ``close``.
        labels: of the estimates.
    """

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        names = ("frame", *COLUMNS_BEFORE, *(f"p_{label}" for label in labels))
        names += ("valence", "arousal", "model", "modalities")
        self._schema = pyarrow.schema([(name, _TYPES.get(name, pyarrow.float32())) for name in names])
        self._rows: list[dict[str, Any]] = []
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> EstimateTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()

    def add(self, frame: int | None, stamp_s: float, estimates: Sequence[EmotionEstimate]) -> None:
        """Take what was estimated at a time in seconds, from a picture or, with None, without one."""
        common = {"frame": frame, "stamp_s": stamp_s}
        self._rows += [{**common, **values_of(e), "modalities": e.modalities} for e in estimates] or [common]
        if len(self._rows) >= _ROWS:
            self._write()

    def close(self, note: Mapping[str, Any]) -> None:
        """Write what is left, and with it a note that ``read_note`` reads."""
        self._write()
        self._writer.add_key_value_metadata({_KEY: json.dumps(note)})
        self._writer.close()

    def _write(self) -> None:
        if self._rows:
            self._writer.write_table(pyarrow.Table.from_pylist(self._rows, self._schema))
            self._rows = []


def read_note(path: Path) -> dict[str, Any] | None:
    """The note in a table; None where there is no table, or it is damaged or somebody else's."""
    try:
        metadata = parquet.read_metadata(path).metadata or {}
        note = json.loads(metadata.get(_KEY, b"null"))
    except (OSError, ValueError, pyarrow.ArrowException):
        return None
    return note if isinstance(note, dict) else None
