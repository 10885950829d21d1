"""Messages of microphones' drivers, made one kind of chunk.

A message is any object with the fields of its type: from ROS, from a bag. The definitions are those of this package, of
ros-drivers/audio_common (branch ros2), mgonzs13/audio_common and introlab/audio_utils (branch ros2) on GitHub. The
two audio_common call their packages the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.formats import decode
from emotion_core.audio.resample import check_rate
from emotion_core.errors import EmotionError

CHUNK = "emotion_perception/msg/AudioChunk"
DATA, DATA_STAMPED = "audio_common_msgs/msg/AudioData", "audio_common_msgs/msg/AudioDataStamped"
DATA_INFO = "audio_common_msgs/msg/AudioInfo"
STAMPED = "audio_common_msgs/msg/AudioStamped"
FRAME = "audio_utils_msgs/msg/AudioFrame"

_RAW = ("", "raw", "wav", "wave", "pcm")
_FRAME_FORMATS = {
    "signed_8": "S8", "signed_16": "S16LE", "signed_24": "S24LE", "signed_padded_24": "S24_32LE", "signed_32": "S32LE",
    "unsigned_8": "U8", "unsigned_16": "U16LE", "unsigned_24": "U24LE", "unsigned_padded_24": "U24_32LE",
    "unsigned_32": "U32LE", "float": "F32LE", "double": "F64LE",
}  # fmt: skip
# PortAudio's numbers, and the field that holds such samples. Its 4, for 24 bits, has none.
_STAMPED_FIELDS = {1: "float32_data", 2: "int32_data", 8: "int16_data", 16: "int8_data", 32: "uint8_data"}


@dataclass(frozen=True)
class SoundFormat:
    """What the bytes of a message are that does not say it.

    Attributes:
        rate_hz: samples a second of each channel.
        channels: interleaved.
        sample_format: a name in ``formats.FORMATS``.
    """

    rate_hz: int
    channels: int
    sample_format: str

    @classmethod
    def of(cls, info: Any) -> SoundFormat:
        """From a message of type DATA_INFO; raises EmotionError when the sound is compressed."""
        coding = str(info.coding_format)
        if coding.lower() not in _RAW:
            raise EmotionError(f"expected raw sound, got {coding}: start audio_capture with the parameter format:=wave")
        return cls(int(info.sample_rate), int(info.channels), str(info.sample_format))


@dataclass(frozen=True)
class SoundChunk:
    """What one message holds.

    Attributes:
        samples: (n, channels) as they were sent, of a type that ``formats.to_mono`` takes.
        rate_hz: samples a second.
        stamp_s: time of the first sample.
        frame_id: of the microphone; empty where the message names none.
    """

    samples: NDArray[Any]
    rate_hz: int
    stamp_s: float
    frame_id: str


def chunk_of(message: Any, kind: str, arrival_s: float, info: SoundFormat | None = None) -> SoundChunk:
    """The sound of a message.

    Args:
        message: of a type in SOUND_TYPES.
        kind: its type.
        arrival_s: when it came, on the clock of the stamps. A message without a stamp ends at this time.
        info: what DATA and DATA_STAMPED leave open.

    Raises:
        EmotionError: the format is unknown, the samples are not whole, or nothing says what they are.
    """
    samples, rate_hz = _READERS[kind](message, info)
    check_rate(rate_hz)
    header = getattr(message, "header", None)
    if header is None or not (header.stamp.sec or header.stamp.nanosec):
        end_s = arrival_s
    else:
        stamp_s = header.stamp.sec + header.stamp.nanosec / 1_000_000_000
        if kind != FRAME:
            return SoundChunk(samples, rate_hz, stamp_s, header.frame_id)
        end_s = stamp_s  # the capture node of audio_utils adds a frame's length before it stamps the frame
    return SoundChunk(samples, rate_hz, end_s - len(samples) / rate_hz, "" if header is None else header.frame_id)


_Read = tuple[NDArray[Any], int]


def _chunk(message: Any, _: SoundFormat | None) -> _Read:
    return decode(message.data, message.encoding, message.channels), message.sample_rate


def _data(message: Any, info: SoundFormat | None) -> _Read:
    if info is None:
        raise EmotionError("expected to be told rate, channels and format of the samples, got none of it")
    return decode(message.data, info.sample_format, info.channels), info.rate_hz


def _data_stamped(message: Any, info: SoundFormat | None) -> _Read:
    return _data(message.audio, info)


def _stamped(message: Any, _: SoundFormat | None) -> _Read:
    info, arrays = message.audio.info, message.audio.audio_data
    field = _STAMPED_FIELDS.get(info.format)
    if field is None:
        known = ", ".join(f"{number} ({name.removesuffix('_data')})" for number, name in _STAMPED_FIELDS.items())
        raise EmotionError(
            f"expected one of PortAudio's formats {known}, got {info.format}: set the parameter format of the capturer"
        )
    samples = np.asarray(getattr(arrays, field))
    filled = [name for name in _STAMPED_FIELDS.values() if len(getattr(arrays, name))]
    if filled not in ([], [field]):
        raise EmotionError(f"expected samples in {field}, as the format {info.format} says, got {', '.join(filled)}")
    if not 1 <= info.channels <= 256 or len(samples) % info.channels:
        raise EmotionError(
            f"expected whole moments of 1 to 256 channels, got {len(samples)} samples of {info.channels}"
        )
    return samples.reshape(-1, info.channels), info.rate


def _frame(message: Any, _: SoundFormat | None) -> _Read:
    name = _FRAME_FORMATS.get(message.format)
    if name is None:
        raise EmotionError(f"expected one of the formats {', '.join(_FRAME_FORMATS)}, got {message.format!r}")
    return decode(message.data, name, message.channel_count), message.sampling_frequency


_READERS: dict[str, Callable[[Any, SoundFormat | None], _Read]] = {
    CHUNK: _chunk,
    DATA: _data,
    DATA_STAMPED: _data_stamped,
    STAMPED: _stamped,
    FRAME: _frame,
}
SOUND_TYPES = tuple(_READERS)
"""Types of messages with sound."""
