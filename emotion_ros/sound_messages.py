"""Sound out of the messages of any microphone's driver; types of other packages are looked up at run time."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

from emotion_perception.msg import AudioChunk
from numpy.typing import NDArray
from std_msgs.msg import Header

from emotion_core.audio.formats import encode
from emotion_core.audio.messages import (
    CHUNK,
    DATA,
    DATA_INFO,
    DATA_STAMPED,
    FRAME,
    STAMPED,
    SoundChunk,
    SoundFormat,
    chunk_of,
)
from emotion_core.errors import EmotionError
from emotion_core.parameters import CheckedConfig, parameter
from emotion_ros.base import qos
from emotion_ros.base.managed import ManagedNode
from emotion_ros.base.topics import info_topic
from emotion_ros.messages.others import message_type

AUDIO_TYPES = {
    "chunk": CHUNK,
    "audio_common": DATA,
    "audio_common_stamped": DATA_STAMPED,
    "mgonzs13": STAMPED,
    "audio_utils": FRAME,
}
"""What the parameter ``audio_type`` may be, and the type of the messages."""

# The distributions have the packages of ros-drivers, and nothing under the others' names but these.
_INSTALL = {
    STAMPED: "build mgonzs13/audio_common from GitHub in the workspace",
    FRAME: "build introlab/audio_utils, branch ros2, from GitHub in the workspace",
}


@dataclass(frozen=True)
class SoundConfig(CheckedConfig):
    """What comes on the topic ``audio``; raises EmotionError for a bad value."""

    audio_type: str = parameter(
        "chunk",
        "Messages on `audio`: chunk is this package's AudioChunk, audio_common and audio_common_stamped are those of "
        "ros-drivers, mgonzs13 those of the other audio_common, audio_utils those of IntRoLab.",
        choices=tuple(AUDIO_TYPES),
    )
    audio_rate_hz: int = parameter(
        0, "Samples a second, where audio_type is of ros-drivers; 0 takes what `audio_info` says.", low=0, high=768000
    )
    audio_channels: int = parameter(
        0, "Channels, where audio_type is of ros-drivers; 0 takes what `audio_info` says.", low=0, high=256
    )
    audio_format: str = parameter(
        "",
        "Format of a sample, such as S16LE, where audio_type is of ros-drivers; empty takes what `audio_info` says.",
    )


class SoundReader:
    """Reads the sound out of messages of the type that a configuration names.

    Subscribe to ``topic`` for messages of ``kind``, with ``qos.SOUND``, and hand each to ``read``.

    Args:
        node: whose topics ``audio`` and ``audio_info`` are meant.
        config: which type.

    Attributes:
        kind: class of the messages.
        topic: the whole name of ``audio``.

    Raises:
        EmotionError: the package with the messages is not installed, or it is another one of its name.
    """

    def __init__(self, node: ManagedNode, config: SoundConfig) -> None:
        self._node, self._config, self._type = node, config, AUDIO_TYPES[config.audio_type]
        self.kind = self._class(self._type)
        self.topic: str = node.resolve_topic_name("audio")
        self._info_topic = info_topic(node, "audio", "audio_info")
        self._needs_info = self._type in (DATA, DATA_STAMPED)
        self._said: Any = None  # the last AudioInfo

    def listen(self) -> None:
        """Subscribe to what describes the sound, sent again and again or once; only where the messages do not."""
        if self._needs_info:
            for profile in (qos.LATEST_IMAGE, qos.LATCHED):
                self._node.input(self._class(DATA_INFO), self._info_topic, self.note, profile, optional=True)

    def note(self, info: Any) -> None:
        """Take an AudioInfo: it counts from the next message on."""
        self._said = info

    def read(self, message: Any, arrival_s: float) -> SoundChunk:
        """The sound of a message.

        Args:
            message: of class ``kind``.
            arrival_s: when it came, on the clock of the stamps.

        Raises:
            EmotionError: it cannot be used, or nothing has told yet what it is.
        """
        return chunk_of(message, self._type, arrival_s, self._format() if self._needs_info else None)

    def _format(self) -> SoundFormat:
        """What the parameters say, and AudioInfo where they do not."""
        config = self._config
        said = SoundFormat(0, 0, "") if self._said is None else SoundFormat.of(self._said)  # compressed: refused anyway
        rate_hz, channels = config.audio_rate_hz or said.rate_hz, config.audio_channels or said.channels
        sample_format = config.audio_format or said.sample_format
        if self._said is None and not (rate_hz and channels and sample_format):
            raise EmotionError(
                f"no AudioInfo has come on {self._info_topic} yet, and the messages do not say what they hold: remap "
                "audio_info, or set audio_rate_hz, audio_channels and audio_format"
            )
        return SoundFormat(rate_hz, channels, sample_format)

    def _class(self, name: str) -> Any:
        package, _, kind = name.split("/")
        return message_type(package, kind, f"audio_type:={self._config.audio_type}", _INSTALL.get(name))


def to_message(sound: NDArray[Any], rate_hz: int, header: Header) -> AudioChunk:
    """(n, channels) samples of any type that ``formats.encode`` takes, as a message of this package."""
    name, data = encode(sound)
    return AudioChunk(header=header, sample_rate=rate_hz, channels=sound.shape[1], encoding=name, data=array("B", data))
