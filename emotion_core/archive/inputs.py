"""The recordings that there are to annotate, and how a changed one is told."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from emotion_core.errors import EmotionError
from emotion_core.store.files import user_path

VIDEO_SUFFIXES = (
    ".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv",
)  # fmt: skip
"""What ends so in a folder or a pattern is a video; a file that is named is taken for one whatever its name."""

BAG_SUFFIXES = (".db3", ".db3.zstd", ".mcap", ".mcap.zst", ".mcap.zstd")
"""What ends so is a bag of one file; a folder with BAG_FILE is a bag, too."""

BAG_FILE = "metadata.yaml"

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Input:
    """A recording.

    Attributes:
        path: absolute, without links.
        name: path from the folder in which it was looked for; that of its table follows from it.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Glance:
    """What the file system tells of a recording without reading it.

    Attributes:
        size: bytes.
        mtime_s: when it was changed last, in seconds since 1970.
    """

    size: int
    mtime_s: float


def find_inputs(words: Sequence[str]) -> list[Input]:
    """All recordings that some words lead to, each once, in the order of their names.

    Args:
        words: folders, which are searched with all below them; patterns with ``*``, ``?``, ``[…]`` and ``**``; files.

    Raises:
        EmotionError: a word leads to nothing, or two recordings would have one name.
    """
    found: dict[Path, Input] = {}
    for word in words:
        inputs = list(_found_by(word))
        if not inputs:
            raise EmotionError(
                f"{word}: expected a recording, or a folder or a pattern with some (folders with {BAG_FILE}, "
                f"{' '.join(BAG_SUFFIXES + VIDEO_SUFFIXES)}), got none"
            )
        for item in inputs:
            found.setdefault(item.path, item)
    names: dict[str, Input] = {}
    for item in found.values():
        other = names.setdefault(item.name, item)
        if other is not item:
            raise EmotionError(
                f"{other.path} and {item.path} would both be {item.name}: name one folder that holds both"
            )
    return sorted(found.values(), key=lambda item: item.name)


def is_bag(path: Path) -> bool:
    """Whether a recording is taken for a bag, by its name or, of a folder, by what is in it."""
    return (path / BAG_FILE).is_file() or path.name.lower().endswith(BAG_SUFFIXES)


def glance(path: Path) -> Glance:
    """Size and time of change, of a folder those of its files together; raises OSError where they cannot be told."""
    states = [file.stat() for file in _files(path)]
    return Glance(sum(state.st_size for state in states), max((state.st_mtime for state in states), default=0.0))


def content_hash(path: Path) -> str:
    """Hexadecimal SHA-256 of a file of any size, or of a folder's files; raises OSError where they cannot be read."""
    digest = hashlib.sha256()
    for item in _files(path):
        if item != path:
            digest.update(item.name.encode(errors="surrogateescape") + b"\0")
        with item.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    return sorted(item for item in path.iterdir() if item.is_file()) if path.is_dir() else [path]


def _found_by(word: str) -> Iterator[Input]:
    path = user_path(word)
    if is_bag(path) or path.is_file():
        path = path.resolve()  # also of "." and ".." the name is known then
        yield Input(path, path.name)
    elif path.is_dir():
        yield from _below(path, path)
    elif glob.has_magic(word):
        root = _fixed_part(path)
        for match in sorted(root.glob(str(path.relative_to(root)))):
            if match.is_dir():
                yield from _below(match, root)
            elif _is_recording(match):
                yield Input(match.resolve(), str(match.relative_to(root)))


def _below(folder: Path, root: Path) -> Iterator[Input]:
    for place, folders, names in os.walk(folder):
        if BAG_FILE in names:
            folders.clear()
            yield Input(Path(place).resolve(), str(Path(place).relative_to(root)))
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place, name) for name in sorted(names)):
            if _is_recording(path):
                yield Input(path.resolve(), str(path.relative_to(root)))


def _fixed_part(pattern: Path) -> Path:
    """The folder above the first part of a pattern that varies."""
    parts = []
    for part in pattern.parts:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def _is_recording(path: Path) -> bool:
    return path.name.lower().endswith(BAG_SUFFIXES + VIDEO_SUFFIXES) and not path.name.startswith(".")
