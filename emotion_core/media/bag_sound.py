"""Sound as microphones' drivers put it into messages, made one kind of chunk.

Messages are any objects with the fields of these types, from a bag or from ROS:

- ``emotion_perception/msg/AudioChunk``;
- ros-drivers audio_common: ``AudioData`` and ``AudioDataStamped``, with ``AudioInfo`` beside them;
- mgonzs13 audio_common: ``AudioStamped``;
- introlab audio_utils: ``AudioFrame``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.formats import decode
from emotion_core.errors import EmotionError

CHUNK = "emotion_perception/msg/AudioChunk"
DATA, DATA_STAMPED = "audio_common_msgs/msg/AudioData", "audio_common_msgs/msg/AudioDataStamped"
INFO = "audio_common_msgs/msg/AudioInfo"
STAMPED = "audio_common_msgs/msg/AudioStamped"
FRAME = "audio_utils_msgs/msg/AudioFrame"
SOUND_TYPES = (CHUNK, DATA, DATA_STAMPED, STAMPED, FRAME)
"""Types of messages with sound."""

_FRAME_FORMATS = {
    "signed_8": "S8", "signed_16": "S16LE", "signed_24": "S24LE", "signed_32": "S32LE", "unsigned_8": "U8",
    "float": "F32LE", "double": "F64LE",
}  # fmt: skip
_ARRAYS = ("float32_data", "int32_data", "int16_data", "int8_data", "uint8_data")


@dataclass(frozen=True)
class SoundFormat:
    """What an AudioInfo tells about the messages that follow: samples a second, channels, and a name of FORMATS."""

    rate_hz: int
    channels: int
    encoding: str

    @classmethod
    def of(cls, info: Any) -> SoundFormat:
        """From a message of ros-drivers; raises EmotionError for compressed sound."""
        coding = str(info.coding_format).lower()
        if coding not in ("", "wave", "wav", "raw"):
            raise EmotionError(
                f"expected raw sound, got {coding!r}: start audio_capture with the parameter format:=wave"
            )
        return cls(int(info.sample_rate), int(info.channels), str(info.sample_format) or "S16LE")


def sound_of(message: Any, kind: str, info: SoundFormat | None = None) -> tuple[NDArray[Any], int]:
    """The samples in a message, and how many of them there are in a second.

    Args:
        message: of one of SOUND_TYPES.
        kind: which.
        info: takes the place of what DATA and DATA_STAMPED do not say.

    Returns:
        ((n, channels) samples as they were sent, rate in Hz).

    Raises:
        EmotionError: the sound is compressed, of an unknown format, not whole, or nothing says what it is.
    """
    if kind == CHUNK:
        return decode(_bytes(message.data), message.encoding, message.channels), _rate(message.sample_rate)
    if kind == FRAME:
        name = _FRAME_FORMATS.get(message.format)
        if name is None:
            raise EmotionError(f"expected one of the formats {', '.join(_FRAME_FORMATS)}, got {message.format!r}")
        return decode(_bytes(message.data), name, message.channel_count), _rate(message.sampling_frequency)
    if kind == STAMPED:
        data, about = message.audio.audio_data, message.audio.info
        samples = next((np.asarray(values) for name in _ARRAYS if len(values := getattr(data, name))), None)
        if samples is None or about.channels < 1 or len(samples) % about.channels:
            raise EmotionError(
                f"expected samples of {about.channels} channels, got {0 if samples is None else len(samples)}"
            )
        return samples.reshape(-1, about.channels), _rate(about.rate)
    if info is None:
        raise EmotionError(f"{kind} does not say what its bytes are, and there is no {INFO} beside it")
    data = message.data if kind == DATA else message.audio.data
    return decode(_bytes(data), info.encoding, info.channels), _rate(info.rate_hz)


def _bytes(data: Any) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(data, np.uint8))


def _rate(rate_hz: int) -> int:
    if not 1 <= rate_hz <= 1_000_000:
        raise EmotionError(f"expected samples a second, got {rate_hz}")
    return int(rate_hz)
