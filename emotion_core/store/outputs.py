"""What a command reads and what it writes, kept apart: no output takes the place of an input or of another output."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from emotion_core.errors import EmotionError
from emotion_core.store.ensemble import EnsembleCard, member_paths
from emotion_core.store.files import prepare_folder, prepare_output, user_path
from emotion_core.store.finding import ENSEMBLE_SUFFIX, find_model


class Outputs:
    """The outputs of one command, each claimed before the work begins.

    Two paths are the same file when they lead to it by whatever way (links, ``..``), and two outputs also when their
    names differ in nothing but case or the spelling of accents, which some file systems take for one name.

    Args:
        sources: files that the command reads; those that do not exist are left out.
        folders: that it reads from: nothing that is there already, in them or below, is replaced. A path of a file is
            taken for a source.
    """

    def __init__(self, sources: Iterable[str | Path] = (), folders: Iterable[str | Path] = ()) -> None:
        self._folders = tuple(map(Path, folders))
        found = map(_identity, (*sources, *self._folders))
        self._sources = {identity for identity in found if identity is not None}
        self._claimed: dict[str, str] = {}

    def claim(self, path: str | Path, option: str) -> Path:
        """Take a path for an output; its folder is made where it is missing, and writing is tried.

        Args:
            path: where the user wants it.
            option: that says so, such as ``--out``; for the message.

        Returns:
            The path, with ``~`` replaced.

        Raises:
            EmotionError: a source, a file of a folder that is read, or another output is there, or it cannot be
                written.
        """
        path = user_path(path)
        identity = _identity(path)
        if identity in self._sources:
            raise EmotionError(f"{option} {path} is the source itself: name another file")
        for folder in self._folders if identity else ():
            if identity in map(_identity, _files_below(folder)):
                raise EmotionError(
                    f"{option} {path} would replace a file of {folder}, which is read: name another file"
                )
        if (other := self._claimed.get(_name(path))) is not None:
            raise EmotionError(f"{option} {path} is where {other} goes: name another file")
        self._claimed[_name(path)] = option
        return prepare_output(path)

    def claim_each(self, folder: str | Path, names: Sequence[str], suffix: str, option: str) -> list[Path]:
        """Take a path in a folder for each of several results, in their order.

        A name that came before gets a number: of a.jpg, a.png and b.jpg come a.png, a-2.png and b.png. The same names
        in the same order always give the same paths.

        Args:
            folder: it is made where it is missing.
            names: of the results, without suffix; they may repeat.
            suffix: of the results, such as ``.png``.
            option: that names the folder.

        Raises:
            EmotionError: a source is at one of these places, or the folder cannot be written to.
        """
        folder, paths = user_path(folder), []
        for name in names:
            path, number = folder / f"{name}{suffix}", 1
            while _name(path) in self._claimed:
                number += 1
                path = folder / f"{name}-{number}{suffix}"
            if _identity(path) in self._sources:
                raise EmotionError(
                    f"{option} {folder} would replace {path}, which is the source itself: name another folder"
                )
            self._claimed[_name(path)] = option
            paths.append(path)
        prepare_folder(folder)
        return paths


def model_files(model: str | Path) -> list[Path]:
    """The files that a model may consist of, as sources, an ensemble of those of its members too.

    Raises:
        EmotionError: there is no such model, or a member is missing.
    """
    path = find_model(model)
    found = [path]
    if path.suffix == ENSEMBLE_SUFFIX:
        found += member_paths(EnsembleCard.load(path), path)
    return [one.with_suffix(suffix) for one in found for suffix in (".onnx", ".json", ".safetensors")]


def _files_below(folder: Path) -> Iterator[Path]:
    """All files in a folder and below, through links too, each folder once."""
    seen: set[tuple[int, int] | None] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        here = _identity(place)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        yield from (Path(place, name) for name in names)


def _identity(path: str | Path) -> tuple[int, int] | None:
    """The same for all paths that lead to one file; None where there is none."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _name(path: Path) -> str:
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()
