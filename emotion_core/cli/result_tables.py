"""The tables that ``emotion infer --csv`` and ``--parquet`` write."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.store.files import atomic_write, cannot_write
from emotion_core.store.outputs import Outputs

TEXTS = ("source", "kind", "label", "model", "error")
BEFORE = ("source", "kind", "face", "x", "y", "width", "height", "detection_score", "label", "confidence")
AFTER = ("valence", "arousal", "speech_s", "snr_db", "model", "error")
INTEGERS = ("face", "x", "y", "width", "height")


class ResultTables:
    """The tables that were asked for, written at the end.

    Args:
        args: with the names of the files, ``csv`` and ``parquet``, None for those not wanted.
        sources: files that are read, which no table replaces.

    Raises:
        EmotionError: a table cannot be written, or there is no pyarrow for it.
    """

    def __init__(self, args: argparse.Namespace, sources: Sequence[Path]) -> None:
        outputs = Outputs([*sources, *([Path(args.boxes)] if args.boxes else [])])
        self._csv = outputs.claim(args.csv, "--csv") if args.csv else None
        self._parquet = outputs.claim(args.parquet, "--parquet") if args.parquet else None
        if self._parquet is not None:
            import pyarrow  # noqa: F401  (it is missed now and not when the work is done)
        self._rows: list[dict[str, Any]] = []

    def add(self, result: Mapping[str, Any], models: Mapping[str, str]) -> None:
        """Take what is told of a file, see ``rows_of``."""
        if self._csv is not None or self._parquet is not None:
            self._rows += rows_of(result, models)

    def write(self, labels: Sequence[str]) -> None:
        """Write them; ``labels`` are those of all models that were used."""
        if self._csv is not None:
            write_csv(self._csv, self._rows, labels)
        if self._parquet is not None:
            write_parquet(self._parquet, self._rows, labels)


def columns(labels: Sequence[str]) -> tuple[str, ...]:
    """All columns in their order, see docs/pictures.md."""
    return (*BEFORE, *(f"p_{label}" for label in labels), *AFTER)


def rows_of(result: Mapping[str, Any], models: Mapping[str, str]) -> list[dict[str, Any]]:
    """A file's rows: one for each face, one for a voice, one for a file with neither or one that failed.

    Args:
        result: what ``emotion infer --json`` prints about it.
        models: names of the models by kind, "face" and "voice".
    """
    source = {"source": result["source"]}
    if "error" in result:
        return [source | {"error": result["error"]}]
    rows = []
    for number, face in enumerate(result.get("faces", ())):
        box = dict(zip(("x", "y", "width", "height"), face["box"], strict=True))
        said = {"valence": face["valence"], "arousal": face["arousal"], "detection_score": face["score"]}
        rows.append(source | _answer("face", face, models) | {"face": number} | box | said)
    if voice := result.get("voice"):
        rows.append(source | _answer("voice", voice, models) | {name: voice[name] for name in ("speech_s", "snr_db")})
    return rows or [source]


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], labels: Sequence[str]) -> None:
    """A file that is whole or absent; what has no value is empty."""
    try:
        with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns(labels), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise EmotionError(cannot_write(path, error)) from None


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
    """The same as Parquet; what has no value is null."""
    import pyarrow
    from pyarrow import parquet

    kinds = {name: pyarrow.string() for name in TEXTS} | {name: pyarrow.int64() for name in INTEGERS}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in columns(labels)])
    table = pyarrow.Table.from_pylist(list(rows), schema)
    try:
        with atomic_write(path) as temporary:
            parquet.write_table(table, temporary, compression="zstd")
    except OSError as error:
        raise EmotionError(cannot_write(path, error)) from None


def _answer(kind: str, said: Mapping[str, Any], models: Mapping[str, str]) -> dict[str, Any]:
    probabilities = {f"p_{label}": p for label, p in said["probabilities"].items()}
    return {
        "kind": kind,
        "label": said["label"],
        "confidence": said["confidence"],
        "model": models[kind],
    } | probabilities
