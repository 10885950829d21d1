"""Pictures and sound of a rosbag2, in the order in which they were recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from numpy.typing import NDArray

from emotion_core.audio.messages import DATA, DATA_INFO, DATA_STAMPED, SOUND_TYPES, SoundFormat, chunk_of
from emotion_core.errors import EmotionError
from emotion_core.media.bag_files import RawBag
from emotion_core.media.bag_types import RawMessage, RawTopic, make_typestore
from emotion_core.media.pixels import decode_compressed, decode_image
from emotion_core.types import Picture

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
IMAGE_TYPES = (IMAGE, COMPRESSED)
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class BagSample:
    """What pictures and sound have in common.

    Attributes:
        topic: where it came.
        bag_ns: when it was recorded, nanoseconds.
        stamp_s: of its header, in seconds, to the last bit as the nodes compute it: this is the time that drives the
            pipelines. Where it is zero, or there is no header, the time at which the picture was recorded, or before
            which the sound ended.
        frame_id: of its header.
    """

    topic: str
    bag_ns: int
    stamp_s: float
    frame_id: str


@dataclass(frozen=True)
class BagPicture(BagSample):
    """A picture.

    Attributes:
        stamp_ns: the stamp in nanoseconds.
        image: (height, width, 3) uint8 BGR, read-only.
    """

    stamp_ns: int
    image: Picture


@dataclass(frozen=True)
class BagSound(BagSample):
    """A chunk of sound: (n, channels) samples, rate in Hz; the stamp is that of the first sample."""

    sound: NDArray[Any]
    rate_hz: int


Sample: TypeAlias = BagPicture | BagSound


@dataclass
class BagCounts:
    """What was read so far, and what could not be used.

    Attributes:
        pictures, chunks: messages that were used.
        bad: messages that were not, for they are damaged or of an unknown kind.
        first_bad: what was wrong with the first of them.
    """

    pictures: int = 0
    chunks: int = 0
    bad: int = 0
    first_bad: str = ""


class BagReader:
    """Iterates the pictures of one topic and the sound of one, in the order of bag time; a context manager.

    Args:
        path: see RawBag.
        topics: names of at most one topic with pictures and one with sound; empty for those that are the only ones of
            their kind.
        sound: whether to read sound, too.

    Attributes:
        image, audio: the topics that are read, None where there is none.
        counts: of the iteration under way or the last one.

    Raises:
        EmotionError: see RawBag; or there is nothing to read, or several topics of a kind and none of them named.
    """

    def __init__(self, path: str | Path, topics: Sequence[str] = (), sound: bool = True) -> None:
        self.counts = BagCounts()
        self._bag = RawBag(path)
        try:
            self._store = make_typestore(self._bag.definitions)
            self.image, self.audio = self._choose(topics, sound)
            self._format = self._sound_format()
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> Path:
        """Of the bag, with ``~`` replaced."""
        return self._bag.path

    @property
    def topics(self) -> list[RawTopic]:
        """Everything that was recorded."""
        return self._bag.topics

    @property
    def damage(self) -> list[str]:
        """What could not be read of the bag's files so far, a line each."""
        return self._bag.damage

    @property
    def span_ns(self) -> tuple[int, int]:
        """(earliest, latest) bag time, nanoseconds."""
        return self._bag.span_ns or (0, 0)

    def __enter__(self) -> BagReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the bag's files."""
        self._bag.close()

    def __iter__(self) -> Iterator[Sample]:
        """From the beginning; what cannot be used is counted."""
        self.counts = BagCounts()
        for message in self._bag.messages([topic.name for topic in (self.image, self.audio) if topic is not None]):
            try:
                sample = self._decode(message)
            except (EmotionError, AttributeError) as error:  # a field is missing where a definition is damaged
                self.counts.bad += 1
                self.counts.first_bad = self.counts.first_bad or f"{message.topic}: {error}"
                continue
            if isinstance(sample, BagPicture):
                self.counts.pictures += 1
            else:
                self.counts.chunks += 1
            yield sample

    def _decode(self, message: RawMessage) -> Sample:
        content = self._message(message)
        if message.type in SOUND_TYPES:
            chunk = chunk_of(content, message.type, message.time_ns / _SECOND_NS, self._format)
            return BagSound(message.topic, message.time_ns, chunk.stamp_s, chunk.frame_id, chunk.samples, chunk.rate_hz)
        if message.type == IMAGE:
            image = decode_image(
                content.encoding, content.height, content.width, content.step, content.data, bool(content.is_bigendian)
            )
        elif message.type == COMPRESSED:
            image = decode_compressed(content.data, content.format)
        else:
            raise EmotionError(f"expected pictures or sound, got {message.type}")
        image.setflags(write=False)
        stamp = content.header.stamp
        stamp_ns = stamp.sec * _SECOND_NS + stamp.nanosec or message.time_ns
        stamp_s = stamp_ns // _SECOND_NS + stamp_ns % _SECOND_NS / _SECOND_NS
        return BagPicture(message.topic, message.time_ns, stamp_s, content.header.frame_id, stamp_ns, image)

    def _message(self, message: RawMessage) -> Any:
        try:
            return self._store.deserialize_cdr(message.data, message.type)
        except KeyError:
            raise EmotionError(f"{message.type} is not known, and the bag brings no definition of it along") from None
        except Exception as error:  # of what damaged bytes lead to
            said = f"{type(error).__name__}: {error}"
            raise EmotionError(f"expected a {message.type}, got {len(message.data)} other bytes: {said}") from None

    # ---- which topics ----------------------------------------------------------------------------------------------

    def _choose(self, names: Sequence[str], sound: bool) -> tuple[RawTopic | None, RawTopic | None]:
        for name in names:
            found = [topic for topic in self.topics if topic.name == name]
            if not found:
                raise EmotionError(f"{self.path}: there is no topic {name}: {self._listing()}")
            if not any(topic.type in IMAGE_TYPES + SOUND_TYPES for topic in found):
                types = " and ".join(topic.type for topic in found)
                raise EmotionError(
                    f"{self.path}: {name} is of type {types}, expected pictures or sound: {self._listing()}"
                )
        image = self._only("pictures", IMAGE_TYPES, names)
        audio = self._only("sound", SOUND_TYPES, names) if sound else None
        if image is None and audio is None:
            raise EmotionError(f"{self.path}: expected pictures{' or sound' * sound}: {self._listing()}")
        return image, audio

    def _only(self, what: str, kinds: Sequence[str], names: Sequence[str]) -> RawTopic | None:
        """The one topic of these kinds."""
        found = [t for t in self.topics if t.type in kinds and (t.name in names if names else t.count > 0)]
        if len({topic.name for topic in found}) > 1:
            raise EmotionError(
                f"{self.path}: several topics with {what}, {', '.join(topic.name for topic in found)}: name one of them"
            )
        return found[0] if found else None

    def _listing(self) -> str:
        count = len(self.topics)
        shown = ", ".join(f"{topic.name} ({topic.type}, {topic.count})" for topic in self.topics[:20])
        return f"the bag holds {shown or 'no topics'}{f' and {count - 20} more' if count > 20 else ''}"

    def _sound_format(self) -> SoundFormat | None:
        """What AudioInfo says about bytes that do not say it themselves; it is sent once, or now and then."""
        if self.audio is None or self.audio.type not in (DATA, DATA_STAMPED):
            return None
        infos = [topic.name for topic in self.topics if topic.type == DATA_INFO]
        beside = [name for name in infos if name.rpartition("/")[0] == self.audio.name.rpartition("/")[0]]
        found = beside or infos
        if len(found) != 1:
            raise EmotionError(
                f"{self.path}: {self.audio.name} does not say what its bytes are: expected one topic of type "
                f"{DATA_INFO} beside it, got {len(found)}; record it too, or choose the pictures alone"
            )
        for message in self._bag.messages(found):
            return SoundFormat.of(self._message(message))
        raise EmotionError(f"{self.path}: {found[0]} holds no message: it would say what {self.audio.name} is")
