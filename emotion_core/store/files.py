"""Files that are either whole or absent, and outputs that are tried before the work."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from emotion_core.errors import EmotionError

UNFINISHED = re.compile(r"\.[0-9a-f]{12}\.part(\..*)?")
"""Names of temporary files; only a process that is killed leaves any."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CHUNK = 1 << 20


@contextlib.contextmanager
def atomic_write(path: str | Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path`` and rename it to ``path`` when the block ends without an error.

    On an error nothing is left behind and an older file stays as it was. The contents are on the disk before the
    rename, the rename before this returns; so after a power cut the file is the old or the new one, and never half.

    The temporary file exists already, is empty, and ends in the suffix of ``path``. The written file gets the mode of
    any new file, 0666 without the bits of the umask, whatever wrote it. A symbolic link stays, and the file that it
    points to is replaced.

    Args:
        path: the file.
        durable: wait for the disk. False for thousands of files that are easily made again.

    Raises:
        OSError: the file cannot be written; it names ``path`` and not the temporary file.
    """
    target = Path(os.path.realpath(path))
    # Of the name only the suffix, by which writers choose the format: a name of 255 bytes fits too.
    temporary = target.with_name(f".{secrets.token_hex(6)}.part{target.suffix}")
    try:
        _refuse_special(target)
        temporary.open("xb").close()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(stat.S_IMODE(mode))
        if durable:
            _sync(temporary)
        temporary.replace(target)
        if durable:
            _sync_folder(target.parent)
    except OSError as error:
        if str(error.filename) == str(temporary) or (error.filename is None and error.errno in _FULL):
            error.filename = str(path)  # write() on an open file does not tell which
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def put_in_place(finished: Path, path: Path) -> None:
    """Rename a finished file to its name on the same file system, as durably as ``atomic_write`` does."""
    _sync(finished)
    finished.replace(path)
    _sync_folder(path.parent)


def user_path(path: str | Path) -> Path:
    """A path as users write it: ``~`` and ``~/…`` stand for the home folder.

    Raises:
        EmotionError: it is no path, or there is no home folder.
    """
    if not isinstance(path, str | os.PathLike):
        raise EmotionError(f"expected a path, got {type(path).__name__}: give it as str or pathlib.Path")
    path = Path(path)
    try:
        return path.expanduser()
    except RuntimeError:
        if path.parts[0] == "~":
            raise EmotionError(f"{path} needs a home folder, there is none: set HOME or write the path out") from None
        return path  # a name that begins with ~ and is no user's


def is_file(path: str | Path) -> bool:
    """Whether a file can be found there; where its folder may not be searched, there is none for this process."""
    try:
        return stat.S_ISREG(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def mode_of(path: str | Path) -> int:
    """What is there, as ``stat`` tells; 0 for nothing. What ``Path.exists`` takes for nothing since Python 3.14, such
    as a name that is too long or a folder that may not be searched, is an OSError here."""
    try:
        return Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for what can be no name
        return 0


def check_writable(path: str | Path) -> None:
    """Find out before long work whether a file can be written; leaves nothing behind.

    Args:
        path: the file; its folder must exist.

    Raises:
        EmotionError: it cannot, with the reason.
    """
    path = Path(path)
    try:
        target = Path(os.path.realpath(path))
        _refuse_special(target)
        _try_folder(target.parent)
    except (OSError, ValueError) as error:
        raise EmotionError(cannot_write(path, error)) from error


def prepare_output(path: str | Path) -> Path:
    """Make ready for a file that will be written: its folder is made where it is missing, and writing is tried.

    Returns:
        The path, with ``~`` replaced.

    Raises:
        EmotionError: it cannot be written, with the reason.
    """
    path = user_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise EmotionError(cannot_write(path, error)) from error
    check_writable(path)
    return path


def prepare_folder(path: str | Path) -> Path:
    """Make a folder where it is missing, and try to write into it.

    Returns:
        The path, with ``~`` replaced.

    Raises:
        EmotionError: it cannot be made or written to, with the reason.
    """
    path = user_path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        _try_folder(path)
    except (OSError, ValueError) as error:
        raise EmotionError(cannot_write(path, error)) from error
    return path


def cannot_write(path: str | Path, error: Exception) -> str:
    """One line for an output that failed: the path, the reason and what to do."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL:
        return f"{path} cannot be written: the disk is full, make room"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{path} cannot be written: {reason}, choose another place"


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, of which a piece at a time is in memory."""
    result = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            result.update(chunk)
    return result.hexdigest()


def _refuse_special(target: Path) -> None:
    """A folder cannot be replaced by a file; a device or a pipe could be, to everybody's loss."""
    mode = mode_of(target)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "expected a file, this is a folder", str(target))
    if mode and not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "expected a file, this is a device or a pipe", str(target))


def _try_folder(folder: Path) -> None:
    probe = folder / f".{secrets.token_hex(6)}"
    try:
        with probe.open("xb") as file:
            file.write(b"\0")  # a full disk takes the name and not the byte
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    # Some network and FUSE folders cannot do it, and the file is there.
    with contextlib.suppress(OSError):
        _sync(folder)
