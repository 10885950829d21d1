"""What the command line says about an exception: one line, or nothing where it is a defect of the program."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys

from emotion_core.errors import EmotionError
from emotion_core.store.files import cannot_write

EXTRAS = {
    "train": ("torch", "onnx", "onnxscript", "safetensors", "tensorboard", "yaml"),
    "media": ("av", "matplotlib"),
    "archive": ("pyarrow",),
    "cluster": ("ray",),
    "bags": ("rosbags", "lz4", "backports"),
}
"""Modules that an extra of the package brings."""


def escape_unprintable() -> None:
    """From now on, stdout and stderr write \\udcff where the locale, or UTF-8, cannot write a file's name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def silence_stdout(only_if_broken: bool = False) -> None:
    """What Python could not write it would try to write at the end once more, and say so in several lines."""
    try:
        if only_if_broken and sys.stdout is not None:
            sys.stdout.flush()
            return
    except OSError:
        pass
    with contextlib.suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: compiled modules turn it into an ImportError when it comes as they load."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def describe(error: BaseException) -> str | None:
    """What the user can do about an error, as text of any number of lines; None for a defect."""
    if isinstance(error, EmotionError):
        return str(error)
    if isinstance(error, ImportError) and not (error.name or "").startswith("emotion_core"):
        return _missing(error)
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, RecursionError):
        return "an input is nested too deeply: expected at most some hundred levels; check the JSON or YAML files"
    if _no_memory(error):
        detail = f" ({error})" if str(error) else ""
        return f"not enough memory{detail}: use smaller pictures, a smaller batch or fewer workers"
    return None


def one_line(text: str) -> str:
    """Lines joined by blanks: one mistake is one line, whatever is in a message or in the name of a file."""
    return " ".join(text.split("\n")).replace("\r", " ").strip()


def _system(error: OSError) -> str:
    """The path, if there is one, and the reason."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return cannot_write(names[-1] if names else "the output", error)
    reason = error.strerror or str(error) or type(error).__name__
    return f"{' -> '.join(names)}: {reason}" if names else reason


def _no_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    cv2, torch = sys.modules.get("cv2"), sys.modules.get("torch")
    if cv2 is not None and isinstance(error, cv2.error):
        return bool(error.code == cv2.Error.StsNoMem)
    # On a GPU torch has a class for it, on a CPU only a sentence.
    cuda = getattr(torch, "OutOfMemoryError", None)
    return (cuda is not None and isinstance(error, cuda)) or "can't allocate memory" in str(error)


def _missing(error: ImportError) -> str:
    """What to install for a module that is not there."""
    name = (error.name or "").partition(".")[0]
    for extra, modules in EXTRAS.items():
        if name in modules:
            return f"this command needs {name}: install it with pip install 'emotion-perception[{extra}]'"
    return str(error)
