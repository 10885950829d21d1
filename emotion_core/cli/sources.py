"""What a user named, as single pictures and recordings: files, folders, lists, addresses, standard input."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from emotion_core.errors import EmotionError
from emotion_core.media.addresses import PICTURES, STREAMS, is_url, shown
from emotion_core.media.listing import IMAGE_SUFFIXES, LIST, list_folder, read_list
from emotion_core.media.pictures import StoredPicture, read_picture
from emotion_core.media.stdin import STDIN, read_stdin

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A picture or a recording.

    Attributes:
        given: a path, an http(s) address, or ``-``.
        allow_private: the address may lead into the own machine and network.
    """

    given: str
    allow_private: bool = False

    @property
    def path(self) -> Path | None:
        """Of a file; None for what is none."""
        return None if self.given == STDIN or is_url(self.given, PICTURES) else Path(self.given)

    @property
    def name(self) -> str:
        """For messages and results; without the password of an address."""
        return shown(self.given) if self.path is None else str(self.path)

    @property
    def suffix(self) -> str:
        """Of a file, in small letters; empty for what is none."""
        return "" if self.path is None else self.path.suffix.lower()

    @property
    def stem(self) -> str:
        """How a file about it may be called."""
        if self.path is not None:
            return self.path.stem
        if self.given == STDIN:
            return "stdin"
        stem = PurePosixPath(unquote(urlsplit(self.given).path, errors="replace")).stem
        return "".join(letter if letter.isprintable() and letter not in "/\\" else "_" for letter in stem) or "picture"

    def read(self) -> StoredPicture:
        """The picture; raises EmotionError, with its name, where there is none."""
        if self.path is not None:
            return read_picture(self.path)
        if self.given == STDIN:
            return read_stdin()
        from emotion_core.media.web import fetch_picture  # with all that it takes to speak HTTP

        return fetch_picture(self.given, self.allow_private)


def resolve(names: Sequence[str], recursive: bool = False, allow_private: bool = False) -> list[Source]:
    """Every picture and recording that the names stand for, in their order; tells what is skipped in folders.

    Args:
        names: paths of files and folders, http(s) addresses of pictures, ``-``, and ``@list.txt`` for the names in it.
        recursive: also the pictures of the folders in a folder.
        allow_private: addresses may lead into the own machine and network.

    Raises:
        EmotionError: a folder has no pictures, a list cannot be read, or ``-`` comes twice.
    """
    given = [one for name in names for one in _listed(name)]
    if given.count(STDIN) > 1:
        raise EmotionError("expected - once: standard input holds one picture")
    return [Source(file, allow_private) for one in given for file in _files(one, recursive)]


def _listed(name: str) -> list[str]:
    # A file whose name begins so is meant itself.
    return read_list(name[len(LIST) :]) if name.startswith(LIST) and not Path(name).exists() else [name]


def _files(name: str, recursive: bool) -> Iterator[str]:
    if is_url(name, STREAMS) and not is_url(name, PICTURES):
        raise EmotionError(f"{shown(name)} is a stream: take emotion video")
    if name == STDIN or is_url(name, PICTURES) or not (folder := Path(name)).is_dir():
        yield name
        return
    found = list_folder(folder, recursive)
    if told := found.told():
        _LOG.warning("%s: skipped %s", folder, told)
    if not found.pictures:
        raise EmotionError(f"{folder} holds no picture ({', '.join(IMAGE_SUFFIXES)})")
    yield from map(str, found.pictures)
