"""The definitions of messages that are installed, as a bag brings them along."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from emotion_core.errors import EmotionError

_FIELD = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+[A-Za-z]\w*", re.MULTILINE)
_BASIC = {
    "bool", "byte", "char", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64",
    "uint64", "string", "wstring",
}  # fmt: skip


def definitions_of(kind: str) -> list[tuple[str, str]]:
    """(type, text) of a type's .msg file and of all that it is made of.

    Args:
        kind: such as ``sensor_msgs/msg/Image``.

    Raises:
        EmotionError: one of them is not installed as a .msg file.
    """
    found: dict[str, str] = {}
    wanted = [kind]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _text(name)
            wanted += _parts(found[name], name.partition("/")[0])
    return list(found.items())


def _text(kind: str) -> str:
    package, middle, name = kind.split("/")
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        file = Path(prefix, "share", package, middle, f"{name}.msg")
        if prefix and file.is_file():
            return file.read_text(encoding="utf-8")
    raise EmotionError(f"expected the definition of {kind} as a file {name}.msg, but {package} has installed none")


def _parts(text: str, package: str) -> Iterator[str]:
    """The types of the fields that are messages themselves."""
    for line in text.splitlines():
        match = _FIELD.match(line.partition("#")[0])
        if match is None or match[1] in _BASIC:
            continue
        parts = match[1].split("/")
        yield f"{parts[0] if len(parts) > 1 else package}/msg/{parts[-1]}"
