"""Which pictures a folder or a list of files names, and what in it is none."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from emotion_core.errors import EmotionError
from emotion_core.media.headers import SUFFIXES
from emotion_core.store.files import user_path

IMAGE_SUFFIXES = tuple(sorted(suffix for suffixes in SUFFIXES.values() for suffix in suffixes))
"""Files that end so are pictures where a folder is read."""

LIST = "@"
"""``@list.txt`` stands for what the lines of list.txt name."""


@dataclass(frozen=True)
class Listing:
    """What a folder holds, hidden entries left out.

    Attributes:
        pictures: in the order of their paths.
        skipped: how many other files there are, by suffix.
        folders: how many folders were not looked into.
    """

    pictures: tuple[Path, ...]
    skipped: Counter[str]
    folders: int

    def told(self) -> str:
        """What was skipped, for people; empty where nothing was."""
        kinds = ", ".join(f"{suffix or 'without suffix'} {count}" for suffix, count in self.skipped.most_common(5))
        if len(self.skipped) > 5:
            kinds += ", …"
        others = f"{sum(self.skipped.values())} files that are no pictures ({kinds})" if self.skipped else ""
        folders = f"{self.folders} folders (--recursive looks into them)" if self.folders else ""
        return " and ".join(filter(None, (others, folders)))


def list_folder(folder: Path, recursive: bool = False) -> Listing:
    """The pictures of a folder, with those of the folders in it where ``recursive``; links to folders only once."""
    pictures: list[Path] = []
    skipped: Counter[str] = Counter()
    count = 0
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        seen.add(os.path.realpath(place))
        folders[:] = [name for name in folders if not name.startswith(".")]
        if not recursive:
            count = len(folders)
            folders.clear()
        folders[:] = [name for name in folders if os.path.realpath(Path(place, name)) not in seen]
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                pictures.append(path)
            else:
                skipped[path.suffix.lower()] += 1
    return Listing(tuple(sorted(pictures)), skipped, count)


def read_list(path: str) -> list[str]:
    """The lines of a list of sources, without empty ones; names of files count from where the program was started.

    Raises:
        EmotionError: it cannot be read, or names nothing.
    """
    try:
        lines = user_path(path).read_text(errors="surrogateescape").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EmotionError(f"{LIST}{path}: expected a list of files, one a line: {reason}") from None
    if not (names := [line for line in lines if line.strip()]):
        raise EmotionError(f"{LIST}{path}: expected a list of files, one a line, got an empty one")
    return names


def _raise(error: OSError) -> None:
    raise error
