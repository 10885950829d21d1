"""The messages in bags: this package's own definitions, and those of a bag that brings them along."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from emotion_core.errors import EmotionError

PACKAGE = "emotion_perception/msg"
DEFINITIONS = {
    f"{PACKAGE}/AudioChunk": """\
std_msgs/Header header
uint32 sample_rate
uint8 channels
string encoding
uint8[] data
""",
    f"{PACKAGE}/EmotionEstimate": """\
uint8 FACE=1
uint8 VOICE=2
std_msgs/Header header
uint8 modalities
string track_id
sensor_msgs/RegionOfInterest roi
float32 detection_score
float32 face_quality
string label
float32 confidence
string[] labels
float32[] probabilities
float32 valence
float32 arousal
string model
""",
    f"{PACKAGE}/EmotionEstimates": """\
std_msgs/Header header
EmotionEstimate[] estimates
""",
}
"""The fields of msg/*.msg, for who has no ROS; a test compares the two."""


@dataclass(frozen=True)
class RawTopic:
    """A topic of one file.

    Attributes:
        name, type: such as ``/image`` and ``sensor_msgs/msg/Image``.
        definition: text of the type's definition, empty where the file has none.
        count: its messages.
    """

    name: str
    type: str
    definition: str
    count: int


@dataclass(frozen=True)
class RawMessage:
    """A message as bytes.

    Attributes:
        topic, type: see RawTopic.
        time_ns: when it was recorded, nanoseconds.
        data: CDR.
    """

    topic: str
    type: str
    time_ns: int
    data: bytes


def require_rosbags() -> None:
    """Raise EmotionError where rosbags, which reads and writes bags without ROS, is not installed."""
    try:
        import rosbags.rosbag2  # noqa: F401
    except ImportError as error:
        raise EmotionError(
            f"bags take rosbags ({error}): pip install rosbags, or pip install 'emotion-perception[bags]'"
        ) from None


def make_typestore(definitions: Iterable[tuple[str, str]] = ()) -> Any:
    """A ``rosbags`` type store: ROS 2's common messages, this package's, and others.

    Args:
        definitions: of further messages, as (type, text) in the format of .msg files or of IDL; those that cannot be
            parsed are left out. Where they differ from ours, theirs count.

    Raises:
        EmotionError: rosbags is not installed.
    """
    require_rosbags()
    from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    ours: dict[str, Any] = {}
    for name, text in DEFINITIONS.items():
        ours |= get_types_from_msg(text, name)
    store.register(ours)
    theirs: dict[str, Any] = {}
    for name, text in definitions:
        theirs |= _parse(name, text)
    try:
        store.register(theirs)
    except TypesysError:  # another version of a message that is known here: the bag was written with its own
        fields = {**store.fielddefs, **theirs}
        store = get_typestore(Stores.EMPTY)
        store.register({name: about for name, about in fields.items() if name not in store.fielddefs})
    return store


def _parse(name: str, text: str) -> dict[str, Any]:
    """The types in one definition and in those that are appended to it; none where it cannot be parsed."""
    from rosbags.typesys import get_types_from_idl, get_types_from_msg

    separator, types = "=" * 80 + "\n", {}
    try:
        if text.startswith(f"{separator}IDL: "):
            for part in text.split(separator)[1:]:
                types.update(get_types_from_idl(part.partition("\n")[2]))
        else:
            types.update(get_types_from_msg(text, name))
    except Exception:  # rosbags raises many kinds; a type that is missed then is named when it is read
        return {}
    return types
