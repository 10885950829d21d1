"""Sample formats of microphones and files, brought to float32, one channel, [-1, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.spectrum import Samples
from emotion_core.errors import EmotionError

FORMATS = {
    "U8": "|u1", "S8": "|i1",
    "S16LE": "<i2", "S16BE": ">i2", "U16LE": "<u2", "U16BE": ">u2",
    "S24LE": "<i3", "S24BE": ">i3", "U24LE": "<u3", "U24BE": ">u3",
    "S24_32LE": "<ip", "S24_32BE": ">ip", "U24_32LE": "<up", "U24_32BE": ">up",
    "S32LE": "<i4", "S32BE": ">i4", "U32LE": "<u4", "U32BE": ">u4",
    "F32LE": "<f4", "F32BE": ">f4", "F64LE": "<f8", "F64BE": ">f8",
}  # fmt: skip
"""Names of raw samples, as GStreamer writes them, and their NumPy type. 24 bits are packed into three bytes (3), or are
the lower ones of four, of which the uppermost holds nothing (p). Unsigned samples are silent in the middle of their
range."""

_MAX_CHANNELS = 256
_FULL_SCALE = {"u1": 2**7, "i1": 2**7, "i2": 2**15, "i4": 2**31}
_OFFSET = {"u1": 2**7}
_FINEST = 2**23  # steps that float32 can tell apart near full scale


@dataclass(frozen=True)
class Mono:
    """Sound in one channel, and what was wrong with it.

    Attributes:
        samples: (n,) float32 in [-1, 1], all finite.
        clipped: how many moments were at full scale in some channel.
        nonfinite: how many were no number in some channel, or infinite; they count as silent there.
    """

    samples: Samples
    clipped: int
    nonfinite: int


def decode(data: Any, sample_format: str, channels: int) -> NDArray[Any]:
    """Raw bytes as an array; nothing is scaled yet.

    Args:
        data: anything with the buffer interface: interleaved samples.
        sample_format: a name in FORMATS, in upper or lower case; without an ending it is little-endian.
        channels: how many, at least 1.

    Returns:
        (n, channels) in the format's type and the machine's byte order; 24 bits become the upper ones of int32, and
        unsigned samples of more than 8 bits signed ones.

    Raises:
        EmotionError: the format is unknown or compressed, or there is no whole number of moments.
    """
    name = sample_format.upper()
    code = FORMATS.get(name) or FORMATS.get(name + "LE")
    if code is None:
        raise EmotionError(
            f"expected raw samples in one of the formats {', '.join(FORMATS)}, got {sample_format!r}: "
            "let the driver send raw ('wave') sound, compressed streams are not decoded"
        )
    if not 1 <= channels <= _MAX_CHANNELS:
        raise EmotionError(f"expected 1 to {_MAX_CHANNELS} channels, got {channels}")
    content = np.frombuffer(data, np.uint8)
    order, kind, size = code[0], code[1], code[2]
    width = 4 if size == "p" else int(size)
    if len(content) % (width * channels):
        raise EmotionError(
            f"expected whole moments of {channels} x {width} bytes ({name}), got {len(content)} bytes: "
            "are the format and the number of channels right?"
        )
    if size == "3":
        samples = _from_24_bits(content.reshape(-1, 3), big_endian=order == ">")
    else:
        samples = content.view(f"{order}{kind}{width}")
        samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
        if size == "p":
            samples = samples << 8
    if kind == "u" and width > 1:
        samples = _signed(samples)
    return samples.reshape(-1, channels)


def encode(sound: NDArray[Any]) -> tuple[str, bytes]:
    """The inverse of ``decode``: the name in FORMATS and the interleaved, little-endian samples.

    Args:
        sound: (n, channels) uint8, int16, int32 or float32; of another type, a float, becomes float32.
    """
    code = f"{sound.dtype.kind}{sound.dtype.itemsize}"
    name = {"u1": "U8", "i2": "S16LE", "i4": "S32LE"}.get(code, "F32LE")
    return name, sound.astype(FORMATS[name]).tobytes()


def to_mono(sound: NDArray[Any]) -> Mono:
    """The mean of all channels, at full scale 1.

    Args:
        sound: (n,) or (n, channels); uint8 around 128, int8, int16, int32, float32 or float64 in [-1, 1], any byte
            order. Floats beyond are cut there, and counted.

    Raises:
        EmotionError: another shape or type.
    """
    try:
        sound = np.asarray(sound)
    except ValueError as error:  # channels of different lengths
        raise EmotionError(f"expected sound as an array (n,) or (n, channels), got {error}") from None
    if sound.ndim == 1:
        sound = sound[:, None]
    if sound.ndim != 2 or not 1 <= sound.shape[1] <= _MAX_CHANNELS:
        raise EmotionError(
            f"expected sound of shape (n,) or (n, channels) with 1 to {_MAX_CHANNELS} channels, got {sound.shape}"
        )
    kind = f"{sound.dtype.kind}{sound.dtype.itemsize}"
    if kind in _FULL_SCALE:
        scale = _FULL_SCALE[kind]
        # int32 holds more digits than float32: divided in double precision, then rounded once
        values = ((sound.astype(np.float64) - _OFFSET.get(kind, 0)) / scale).astype(np.float32)
        full, nonfinite = 1 - 1.5 / min(scale, _FINEST), 0
    elif kind in ("f4", "f8"):
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is counted
            values, full = sound.astype(np.float32), 1.0
        finite = np.isfinite(values)
        nonfinite = int(np.count_nonzero(~finite.all(1)))
        if nonfinite:
            values[~finite] = 0.0
    else:
        raise EmotionError(
            f"expected samples of type uint8, int8, int16, int32, float32 or float64, got {sound.dtype}: convert them"
        )
    clipped = int(np.count_nonzero((np.abs(values) >= full).any(1)))
    samples = np.clip(values, -1.0, 1.0).mean(1, dtype=np.float32)
    return Mono(np.asarray(samples, np.float32), clipped, nonfinite)


def _from_24_bits(triples: NDArray[np.uint8], big_endian: bool) -> NDArray[np.int32]:
    """(n, 3) bytes → (n,) int32, the lowest byte zero."""
    words = np.zeros((len(triples), 4), np.uint8)
    words[:, 1:] = triples[:, ::-1] if big_endian else triples
    return np.asarray(words.view("<i4")[:, 0], np.int32)


def _signed(samples: NDArray[Any]) -> NDArray[Any]:
    """(n,) of any integer type with silence in the middle → (n,) signed integers of the same size."""
    words = samples.view(f"u{samples.itemsize}")
    middle = words.dtype.type(1 << (8 * samples.itemsize - 1))
    return np.asarray((words ^ middle).view(f"i{samples.itemsize}"))
