"""The card inside a weights file, read without loading the network, and a seal that tells damage.

An ONNX file is a protobuf message ``ModelProto`` whose field 14 holds pairs of key and value (onnx.proto3); a
safetensors file begins with the length of a JSON header whose ``__metadata__`` holds them. Both are skipped through
here, so that neither the onnx package nor torch is needed.

The seal is the SHA-256 of the whole file, with zeros in the place of the seal itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from emotion_core.errors import EmotionError
from emotion_core.store.card import METADATA_KEY, ModelCard, card_path
from emotion_core.store.files import user_path

SEAL_KEY = "emotion_file_sha256"
UNSEALED = "0" * 64
"""Value of the seal in a file that ``seal`` has not completed yet."""

_METADATA_FIELD = 14
_MAX_METADATA = 16 * 1024**2  # a longer entry is not metadata of ours
_CHUNK = 1 << 20


def read_metadata(path: str | Path) -> dict[str, str]:
    """The keys and values in the metadata of a .onnx or .safetensors file.

    Raises:
        EmotionError: the file is missing, cut off, or neither of both.
    """
    return {key: value for key, value, _ in _entries(Path(path))}


def read_card(path: str | Path) -> ModelCard:
    """The card of a model: the one inside the file, else (files of the first release) the JSON beside it.

    Raises:
        EmotionError: the file is missing, cut off or damaged, or has no valid card.
    """
    path = user_path(path)
    found = {key: (value, at) for key, value, at in _entries(path)}
    if SEAL_KEY in found:
        value, at = found[SEAL_KEY]
        if value != _digest(path, at):
            raise EmotionError(f"{path} is damaged: its content is not the one that was written; get the file again")
    beside = card_path(path)
    text = found.get(METADATA_KEY, ("", 0))[0]
    if not text and path.suffix == ".safetensors" and beside.is_file():
        return ModelCard.from_json(_text(beside), beside)
    if not text:
        raise EmotionError(f"{path} carries no model card (metadata {METADATA_KEY!r}): export it with `emotion export`")
    card = ModelCard.from_json(text, path)
    if SEAL_KEY not in found and path.suffix == ".onnx" and beside.is_file():
        expected = ""
        with contextlib.suppress(EmotionError):  # somebody else's file of that name
            expected = ModelCard.from_json(_text(beside), beside).sha256
        if expected and expected != _digest(path):
            raise EmotionError(f"{path} is damaged: its sha256 is not the one in {beside.name}; get the file again")
    return card


def seal(data: bytes) -> bytes:
    """The content of a file whose metadata hold SEAL_KEY with the value UNSEALED, with that value completed.

    Raises:
        ValueError: the content has no such place, or more than one.
    """
    # After the key stand the tag and length of a protobuf string, or JSON's punctuation.
    places = [m.start(1) for m in re.finditer(SEAL_KEY.encode() + rb'(?:\x12\x40|" ?: ?")(0{64})', data)]
    if len(places) != 1:
        raise ValueError(f"expected one place for the seal, found {len(places)}")
    (at,) = places
    return data[:at] + hashlib.sha256(data).hexdigest().encode() + data[at + 64 :]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EmotionError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _digest(path: Path, at: int | None = None) -> str:
    """SHA-256 of a file, with zeros for the 64 bytes at an offset."""
    result = hashlib.sha256()
    with path.open("rb") as file:
        left = at
        if left is not None:
            while left and (chunk := file.read(min(_CHUNK, left))):
                result.update(chunk)
                left -= len(chunk)
            result.update(UNSEALED.encode())
            file.seek(64, 1)
        while chunk := file.read(_CHUNK):
            result.update(chunk)
    return result.hexdigest()


def _entries(path: Path) -> Iterator[tuple[str, str, int]]:
    """Key, value, and where in the file the value begins."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            yield from _of_safetensors(file, size) if path.suffix == ".safetensors" else _of_onnx(file, size)
    except FileNotFoundError:
        raise EmotionError(f"no model file {path}") from None
    except OSError as error:
        raise EmotionError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, IndexError, AttributeError, RecursionError) as error:  # the latter two: JSON of other things
        kind = "safetensors file" if path.suffix == ".safetensors" else "ONNX model"
        raise EmotionError(f"{path} is not a readable {kind} ({error}): get the file again") from None


def _of_onnx(file: BinaryIO, size: int) -> Iterator[tuple[str, str, int]]:
    while file.tell() < size:
        number, length = _field(file, size)
        start = file.tell()
        if number == _METADATA_FIELD and length <= _MAX_METADATA:
            texts, at = {1: "", 2: ""}, start
            while file.tell() < start + length:
                part, count = _field(file, start + length)
                at = file.tell() if part == 2 else at
                texts[part] = file.read(count).decode()
            yield texts[1], texts[2], at
        file.seek(start + length)


def _field(file: BinaryIO, end: int) -> tuple[int, int]:
    """Number of the next field of a protobuf message, and the length of its content, at which the file then stands."""
    tag = _varint(file)
    kind = tag & 7
    if kind == 0:
        start = file.tell()
        _varint(file)
        length = file.tell() - start
        file.seek(start)
    elif kind in (1, 5):
        length = 8 if kind == 1 else 4
    elif kind == 2:
        length = _varint(file)
    else:
        raise ValueError("it is no protobuf message")
    if file.tell() + length > end or not tag >> 3:
        raise ValueError("it is cut off or no protobuf message")
    return tag >> 3, length


def _varint(file: BinaryIO) -> int:
    value = shift = 0
    while shift < 64:
        byte = file.read(1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
        shift += 7
    raise ValueError("it is no protobuf message")


def _of_safetensors(file: BinaryIO, size: int) -> Iterator[tuple[str, str, int]]:
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= size - 8:
        raise ValueError("its header is cut off")
    header = file.read(length)
    metadata = json.loads(header).get("__metadata__", {})
    for key, value in metadata.items():
        yield key, value, 8 + header.find(value.encode(), header.find(f'"{key}"'.encode()) + len(key))
