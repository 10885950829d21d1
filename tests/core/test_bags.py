"""Bags: pictures and sound of every storage and compression, damaged ones as far as they go, and what is none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags comes with the extra [bags]")

from emotion_core.errors import EmotionError
from emotion_core.media.bag_messages import Messages
from emotion_core.media.bag_types import make_typestore
from emotion_core.media.bag_writer import BagWriter
from emotion_core.media.bags import BagPicture, BagReader, BagSound

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
STEP = SECOND // 10
COUNT = 30
LATE = 7_000_001
"""From a header's stamp to the time of recording, ns."""


@pytest.fixture(scope="module")
def store() -> Any:
    return make_typestore()


@pytest.fixture(scope="module")
def make(store: Any) -> Messages:
    return Messages(store)


def picture(index: int) -> np.ndarray:
    """Noise, which no compression makes small."""
    return np.random.default_rng(index).integers(0, 255, (60, 80, 3), np.uint8)


def recorded(make: Messages, images: str = "/image", sound: str = "/audio") -> list[tuple[str, Any, int]]:
    """30 pictures at 10 Hz and as many chunks of sound of 16 kHz; the pictures of odd index without a stamp."""
    messages = []
    for index in range(COUNT):
        stamp = START + index * STEP
        header = make.header(0 if index % 2 else stamp, "head")
        messages.append((images, make.image(picture(index), header), stamp + LATE))
        samples = np.full((1600, 1), index, np.int16)
        messages.append((sound, make.sound(samples, 16000, make.header(stamp + 5, "mic")), stamp + LATE + 3))
    return messages


def read(path: Path, **options: Any) -> tuple[list[BagPicture], list[BagSound], BagReader]:
    with BagReader(path, **options) as reader:
        samples = list(reader)
    pictures = [sample for sample in samples if isinstance(sample, BagPicture)]
    return pictures, [sample for sample in samples if isinstance(sample, BagSound)], reader


@pytest.fixture(scope="module")
def bags(make: Messages, store: Any, write_bag: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same messages in every kind of bag."""
    folder = tmp_path_factory.mktemp("bags")
    kinds = [("mcap", "none"), ("sqlite3", "none"), ("mcap", "file"), ("sqlite3", "message"), ("mcap", "storage")]
    return {
        f"{storage}-{compression}": write_bag(
            folder / f"{storage}_{compression}", recorded(make), store, storage, compression
        )
        for storage, compression in kinds
    }


@pytest.mark.parametrize("kind", ["mcap-none", "sqlite3-none", "mcap-file", "sqlite3-message", "mcap-storage"])
def test_every_storage_gives_the_same_pictures_and_sound(bags: dict[str, Path], kind: str) -> None:
    pictures, sounds, reader = read(bags[kind])
    assert reader.damage == []
    assert (reader.counts.pictures, reader.counts.chunks, reader.counts.bad) == (COUNT, COUNT, 0)
    for index, (seen, heard) in enumerate(zip(pictures, sounds, strict=True)):
        stamp = START + index * STEP
        assert (seen.image == picture(index)).all()
        assert (seen.topic, seen.frame_id, seen.bag_ns) == ("/image", "head", stamp + LATE)
        assert seen.stamp_ns == (stamp + LATE if index % 2 else stamp)
        assert seen.stamp_s == seen.stamp_ns // SECOND + seen.stamp_ns % SECOND / SECOND  # as of a message in a node
        assert (heard.sound == index).all() and heard.sound.shape == (1600, 1) and heard.rate_hz == 16000
        assert (heard.topic, heard.frame_id) == ("/audio", "mic")
        assert heard.stamp_s == (stamp + 5) // SECOND + (stamp + 5) % SECOND / SECOND
    assert reader.span_ns == (0, 0) or reader.span_ns == (START + LATE, START + (COUNT - 1) * STEP + LATE + 3)


def test_pictures_and_sound_come_in_the_order_of_bag_time(bags: dict[str, Path]) -> None:
    with BagReader(bags["mcap-none"]) as reader:
        times = [sample.bag_ns for sample in reader]
        assert reader.span_ns == (times[0], times[-1])
    assert times == sorted(times)


def test_a_single_file_and_a_folder_without_its_metadata(bags: dict[str, Path], tmp_path: Path) -> None:
    file = next(bags["mcap-none"].glob("*.mcap"))
    assert len(read(file)[0]) == COUNT
    lone = tmp_path / "lone"
    lone.mkdir()
    shutil.copy(next(bags["sqlite3-message"].glob("*.db3")), lone)
    pictures, sounds, reader = read(lone)
    assert (len(pictures), len(sounds)) == (COUNT, COUNT)
    assert reader.damage == ["metadata.yaml is missing"]


def test_compressed_pictures_and_a_zero_header_of_sound(
    make: Messages, store: Any, write_bag: Any, tmp_path: Path
) -> None:
    flat = np.full((48, 64, 3), 90, np.uint8)
    samples = np.zeros((800, 2), np.float32)
    messages = [
        ("/c", make.compressed(flat, make.header(START, "lens")), START + LATE),
        ("/a", make.sound(samples, 8000, make.header(0, "")), START + SECOND),
    ]
    pictures, sounds, _ = read(write_bag(tmp_path / "bag", messages, store))
    assert np.abs(pictures[0].image.astype(int) - 90).max() <= 2
    assert sounds[0].stamp_s == START / SECOND + 0.9  # it was recorded when its 0.1 s were over
    assert sounds[0].sound.shape == (800, 2)


class TestDamage:
    """What is left is read, and what is not is told."""

    @pytest.mark.parametrize("kind", ["mcap-none", "sqlite3-none", "mcap-file", "mcap-storage"])
    def test_a_truncated_tail(self, bags: dict[str, Path], kind: str, tmp_path: Path) -> None:
        bag = shutil.copytree(bags[kind], tmp_path / "bag")
        file = next(item for item in bag.iterdir() if item.suffix != ".yaml")
        with file.open("r+b") as stream:
            stream.truncate(file.stat().st_size * 3 // 4)
        pictures, sounds, reader = read(bag)
        # Pictures and sound lie in turn: three quarters, but for the unit in which the storage loses.
        lost_at_most = COUNT if kind in ("mcap-file", "mcap-storage") else COUNT // 2
        assert COUNT - lost_at_most <= len(pictures) < COUNT
        assert all((seen.image == picture(index)).all() for index, seen in enumerate(pictures))
        assert reader.damage and any("end is missing" in line for line in reader.damage), reader.damage
        assert len(sounds) <= COUNT

    def test_one_damaged_chunk_in_the_middle(self, make: Messages, store: Any, write_bag: Any, tmp_path: Path) -> None:
        """A chunk of 1 MiB holds some 70 of these pictures."""
        count = 200
        messages = [
            ("/image", make.image(picture(i), make.header(START + i * STEP, "")), START + i * STEP)
            for i in range(count)
        ]
        bag = write_bag(tmp_path / "bag", messages, store, "mcap", "storage")
        file = next(bag.glob("*.mcap"))
        content = bytearray(file.read_bytes())
        second = content.index(b"\x28\xb5\x2f\xfd", len(content) // 3)  # where a zstd frame begins
        content[second : second + 4] = bytes(4)
        file.write_bytes(content)
        pictures, _, reader = read(bag)
        assert 100 <= len(pictures) < count
        found = [(seen.stamp_ns - START) // STEP for seen in pictures]
        assert found == sorted(set(found)) and found[0] == 0 and found[-1] == count - 1
        assert all((seen.image == picture(index)).all() for index, seen in zip(found, pictures, strict=True))
        assert "1 chunks are damaged" in reader.damage[-1]

    def test_an_mcap_without_index_out_of_order(
        self, bags: dict[str, Path], make: Messages, store: Any, tmp_path: Path
    ) -> None:
        """As written by `ros2 bag record` with the preset fastwrite: no chunks, no index; here also not in order."""
        file = tmp_path / "fast.mcap"
        kind = "sensor_msgs/msg/Image"
        text = store.generate_msgdef(kind, ros_version=2)[0]

        def string(value: str) -> bytes:
            return len(value.encode()).to_bytes(4, "little") + value.encode()

        def record(kind: int, content: bytes) -> bytes:
            return bytes([kind]) + len(content).to_bytes(8, "little") + content

        content = b"\x89MCAP0\r\n" + record(1, string("ros2") + string("test"))
        content += record(3, (1).to_bytes(2, "little") + string(kind) + string("ros2msg") + string(text))
        content += record(
            4, (0).to_bytes(2, "little") + (1).to_bytes(2, "little") + string("/image") + string("cdr") + bytes(4)
        )
        for index in (1, 0, 2):
            time = (START + index * STEP).to_bytes(8, "little")
            data = bytes(store.serialize_cdr(make.image(picture(index), make.header(0, "")), kind))
            content += record(5, bytes(6) + time + time + data)
        file.write_bytes(content + record(0x0F, bytes(4)) + record(2, bytes(20)) + b"\x89MCAP0\r\n")
        pictures = read(file)[0]
        assert [seen.stamp_ns for seen in pictures] == [START, START + STEP, START + 2 * STEP]
        assert (pictures[0].image == picture(0)).all()

    @pytest.mark.parametrize("kind", ["mcap-none", "sqlite3-none", "mcap-file", "mcap-storage"])
    def test_random_damage_ends_in_samples_or_one_clear_error(
        self, bags: dict[str, Path], kind: str, tmp_path: Path
    ) -> None:
        """Bytes overwritten anywhere, also in the index and the definitions, and the end cut off."""
        bag = shutil.copytree(bags[kind], tmp_path / "bag")
        file = next(item for item in bag.iterdir() if item.suffix != ".yaml")
        whole, rng = file.read_bytes(), np.random.default_rng(7)
        outcomes = set()
        for _ in range(8):
            content = bytearray(whole)
            for start in rng.integers(0, len(content), 6):
                content[start : start + 4] = rng.bytes(4)
            start = int(rng.integers(0, 3000))  # where the definitions are
            content[start : start + 2] = rng.bytes(2)
            file.write_bytes(content[: int(rng.integers(len(content) // 2, len(content) + 1))])
            try:
                outcomes.add(len(read(bag)[0]) > 0)
            except EmotionError as error:
                assert "\n" not in str(error)
        assert True in outcomes

    def test_damaged_messages_are_counted(self, make: Messages, store: Any, tmp_path: Path) -> None:
        good = make.image(picture(0), make.header(START, ""))
        kind = good.__msgtype__
        raw = bytes(store.serialize_cdr(good, kind))
        wrong = make.image(picture(0), make.header(START, ""))
        wrong.encoding = "hologram8"
        with BagWriter(tmp_path / "bag.mcap", store) as writer:
            writer.write("/image", good, START)
            writer.write_raw("/image", kind, raw[:40], START + 1)
            writer.write_raw("/image", kind, b"", START + 2)
            writer.write("/image", wrong, START + 3)
            writer.write("/image", good, START + 4)
        pictures, _, reader = read(tmp_path / "bag.mcap")
        assert [seen.bag_ns for seen in pictures] == [START, START + 4]
        assert reader.counts.bad == 3
        assert reader.counts.first_bad.startswith("/image: expected a sensor_msgs/msg/Image, got 40 other bytes")

    def test_a_missing_and_a_broken_part(self, bags: dict[str, Path], tmp_path: Path) -> None:
        bag = shutil.copytree(bags["mcap-none"], tmp_path / "bag")
        metadata = bag / "metadata.yaml"
        metadata.write_text(metadata.read_text().replace("relative_file_paths:", "relative_file_paths:\n  - gone.mcap"))
        (bag / "junk.mcap").write_bytes(b"nothing")
        pictures, _, reader = read(bag)
        assert len(pictures) == COUNT
        assert reader.damage == ["gone.mcap is not there, though metadata.yaml names it"]
        metadata.write_text("{")
        assert len(read(bag)[0]) == COUNT
        assert any("metadata.yaml is broken" in line for line in read(bag)[2].damage)
        assert any("expected an MCAP file" in line for line in read(bag)[2].damage)


class TestChoice:
    def test_of_several_topics_one_is_named(self, make: Messages, store: Any, write_bag: Any, tmp_path: Path) -> None:
        messages = [*recorded(make, "/left", "/a"), *recorded(make, "/right", "/b")]
        bag = write_bag(tmp_path / "bag", sorted(messages, key=lambda item: item[2]), store)
        with pytest.raises(EmotionError, match="several topics with pictures, /left, /right: name one of them"):
            BagReader(bag)
        with pytest.raises(EmotionError, match="several topics with sound, /a, /b"):
            BagReader(bag, ["/left", "/a", "/b"])
        pictures, sounds, _ = read(bag, topics=["/right"])
        assert ({seen.topic for seen in pictures}, sounds) == ({"/right"}, [])
        pictures, sounds, _ = read(bag, topics=["/b", "/left"])
        assert ({seen.topic for seen in pictures}, {heard.topic for heard in sounds}) == ({"/left"}, {"/b"})
        with pytest.raises(
            EmotionError, match=r"there is no topic /up: the bag holds /a \(emotion_perception/msg/AudioCh"
        ):
            BagReader(bag, ["/up"])

    def test_without_sound(self, bags: dict[str, Path]) -> None:
        _, sounds, reader = read(bags["mcap-none"], sound=False)
        assert sounds == [] and reader.audio is None
        assert read(bags["mcap-none"], sound=False, topics=["/image", "/audio"])[2].audio is None

    def test_a_bag_without_pictures(self, make: Messages, store: Any, tmp_path: Path) -> None:
        with BagWriter(tmp_path / "bag.db3", store) as writer:
            writer.write("/header", make.header(START, "x"), START)
        with pytest.raises(
            EmotionError, match=r"expected pictures or sound: the bag holds /header \(std_msgs/msg/Header, 1\)"
        ):
            BagReader(tmp_path / "bag.db3")
        with pytest.raises(EmotionError, match="/header is of type std_msgs/msg/Header, expected pictures or sound"):
            BagReader(tmp_path / "bag.db3", ["/header"])

    @pytest.mark.parametrize(
        ("name", "content", "word"),
        [
            ("none.mcap", None, "but there is none: check the path"),
            ("empty.mcap", b"", "nothing of this bag can be read: expected an MCAP file"),
            ("text.db3", b"hello" * 1000, "nothing of this bag can be read: expected a bag's SQLite file"),
            ("film.mp4", b"x", "got another kind of file"),
            ("old.bag", b"#ROSBAG V2.0", "old.bag is a bag of ROS 1: make one of ROS 2 of it with rosbags-convert"),
            ("folder", None, "the folder holds no .mcap and no .db3 file"),
        ],
    )
    def test_what_is_no_bag(self, tmp_path: Path, name: str, content: bytes | None, word: str) -> None:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        if name == "folder":
            (tmp_path / name).mkdir()
        with pytest.raises(EmotionError, match=word):
            BagReader(tmp_path / name)


class TestSound:
    """What other packages' microphones send, with the definitions that their bags bring along."""

    HEADER = "std_msgs/Header header\n"

    def bag(self, path: Path, definitions: dict[str, str], messages: list[tuple[str, str, Any]]) -> Path:
        """(topic, type, values) by the second."""
        store = make_typestore(definitions.items())
        with BagWriter(path, store) as writer:
            for index, (topic, kind, values) in enumerate(messages):
                writer.write(topic, build(store, kind, values), START + index * SECOND)
        return path

    def test_ros_drivers_with_its_info(self, tmp_path: Path) -> None:
        package = "audio_common_msgs/msg"
        definitions = {
            f"{package}/AudioDataStamped": f"{self.HEADER}audio_common_msgs/AudioData audio\n",
            f"{package}/AudioData": "uint8[] data\n",
            f"{package}/AudioInfo": "uint8 channels\nuint32 sample_rate\nstring sample_format\nuint32 bitrate\n"
            "string coding_format\n",
        }
        info = {"channels": 2, "sample_rate": 8000, "sample_format": "S16LE", "bitrate": 0, "coding_format": "WAVE"}
        data = np.arange(8, dtype="<i2").view(np.uint8)
        stamped = {"header": (START + SECOND, "mic"), "audio": {"data": data}}
        messages = [("/mic/info", f"{package}/AudioInfo", info), ("/mic/audio", f"{package}/AudioDataStamped", stamped)]
        _, sounds, _ = read(self.bag(tmp_path / "a.mcap", definitions, messages))
        assert sounds[0].sound.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
        assert (sounds[0].rate_hz, sounds[0].stamp_s) == (8000, START / SECOND + 1)
        messages[1] = ("/mic/audio", f"{package}/AudioData", {"data": data})
        _, sounds, _ = read(self.bag(tmp_path / "b.mcap", definitions, messages))
        assert sounds[0].stamp_s == START / SECOND + 1 - 4 / 8000  # recorded when it was over
        with pytest.raises(EmotionError, match=r"expected one topic of type .*AudioInfo beside it, got 0"):
            read(self.bag(tmp_path / "c.mcap", definitions, messages[1:]))
        info["coding_format"] = "mp3"
        with pytest.raises(EmotionError, match="expected raw sound, got mp3: start audio_capture with"):
            read(self.bag(tmp_path / "d.mcap", definitions, messages))

    def test_mgonzs13(self, tmp_path: Path) -> None:
        package = "audio_common_msgs/msg"
        definitions = {
            f"{package}/AudioStamped": f"{self.HEADER}audio_common_msgs/Audio audio\n",
            f"{package}/Audio": "AudioData audio_data\nAudioInfo info\n",
            f"{package}/AudioData": "float32[] float32_data\nint32[] int32_data\nint16[] int16_data\nint8[] int8_data\n"
            "uint8[] uint8_data\n",
            f"{package}/AudioInfo": "int32 format\nint32 channels\nint32 rate\nint32 chunk\n",
        }
        kinds = {"float32": np.float32, "int32": np.int32, "int8": np.int8, "uint8": np.uint8}
        empty = {f"{name}_data": np.zeros(0, kind) for name, kind in kinds.items()}
        audio = {"audio_data": {**empty, "int16_data": np.arange(6, dtype=np.int16)},
                 "info": {"format": 8, "channels": 2, "rate": 16000, "chunk": 3}}  # fmt: skip
        messages = [("/audio", f"{package}/AudioStamped", {"header": (START, ""), "audio": audio})]
        _, sounds, _ = read(self.bag(tmp_path / "a.mcap", definitions, messages))
        assert sounds[0].sound.tolist() == [[0, 1], [2, 3], [4, 5]] and sounds[0].rate_hz == 16000
        audio["info"]["channels"] = 4
        _, sounds, reader = read(self.bag(tmp_path / "b.mcap", definitions, messages))
        assert (sounds, reader.counts.bad) == ([], 1)

    def test_audio_utils(self, tmp_path: Path) -> None:
        kind = "audio_utils_msgs/msg/AudioFrame"
        definitions = {
            kind: f"{self.HEADER}string format\nuint16 channel_count\nuint32 sampling_frequency\n"
            "uint32 frame_sample_count\nuint8[] data\n"
        }
        values = {"header": (START, ""), "format": "float", "channel_count": 1, "sampling_frequency": 48000,
                  "frame_sample_count": 3, "data": np.array([0, 0.5, -1], "<f4").view(np.uint8)}  # fmt: skip
        messages = [("/audio", kind, values), ("/audio", kind, {**values, "format": "opus"})]
        _, sounds, reader = read(self.bag(tmp_path / "a.mcap", definitions, messages))
        assert sounds[0].sound.tolist() == [[0], [0.5], [-1]] and sounds[0].rate_hz == 48000
        assert reader.counts.bad == 1 and "got 'opus'" in reader.counts.first_bad

    def test_a_type_that_nobody_knows(self, bags: dict[str, Path], tmp_path: Path) -> None:
        """In a bag of Humble, which has no definitions: the table is not there."""
        import sqlite3

        bag = shutil.copytree(bags["sqlite3-none"], tmp_path / "bag")
        file = next(bag.glob("*.db3"))
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE topics SET type = 'audio_utils_msgs/msg/AudioFrame' WHERE name = '/audio'")
            connection.execute("DELETE FROM message_definitions WHERE topic_type LIKE '%AudioChunk'")
        connection.close()
        pictures, sounds, reader = read(bag)
        assert (len(pictures), sounds, reader.counts.bad) == (COUNT, [], COUNT)
        assert "audio_utils_msgs/msg/AudioFrame is not known" in reader.counts.first_bad


def build(store: Any, kind: str, values: dict[str, Any]) -> Any:
    """A message of a type from nested values; a header is (stamp in ns, frame)."""
    fields = {}
    for name, (_, about) in store.fielddefs[kind][1]:
        value = values[name]
        if name == "header":
            value = Messages(store).header(*value)
        elif isinstance(value, dict):
            value = build(store, about if isinstance(about, str) else about[0], value)
        fields[name] = value
    return store.types[kind](**fields)


class TestWriter:
    def test_whole_or_absent(self, make: Messages, store: Any, tmp_path: Path) -> None:
        path = tmp_path / "new" / "bag.mcap"
        for time in (START, START + 1):  # the second takes the place of the first
            with BagWriter(path, store) as writer:
                writer.write("/header", make.header(time, ""), time)
        assert [item.name for item in path.parent.iterdir()] == ["bag.mcap"]
        with pytest.raises(RuntimeError, match="stop"), BagWriter(path, store) as writer:
            writer.write("/header", make.header(START, ""), START)
            raise RuntimeError("stop")
        assert [item.name for item in path.parent.iterdir()] == ["bag.mcap"]
        folder = tmp_path / "bag"
        with BagWriter(folder, store) as writer:
            writer.write("/header", make.header(START, ""), START)
        assert sorted(item.name for item in folder.iterdir()) == ["bag.mcap", "metadata.yaml"]
        with pytest.raises(EmotionError, match="bag is there already: remove it"):
            BagWriter(folder, store)
        assert sorted(item.name for item in tmp_path.iterdir()) == ["bag", "new", "store"]

    def test_pictures_of_a_camera_are_readable_as_jpeg(self, make: Messages) -> None:
        message = make.compressed(np.full((10, 20, 3), 7, np.uint8), make.header(START, "lens"))
        assert cv2.imdecode(message.data, cv2.IMREAD_COLOR).shape == (10, 20, 3)


FULL = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x00020000 | (0x10000000 if os.geteuid() else 0)):  # CLONE_NEWNS; others than root: CLONE_NEWUSER
    sys.exit(77)
if libc.mount(b"none", b"/", None, 0x44000, None):  # MS_REC | MS_PRIVATE: this mount is nobody else's
    sys.exit(77)
if libc.mount(b"none", sys.argv[1].encode(), b"tmpfs", 0, b"size=8m"):
    sys.exit(77)
from emotion_core.errors import EmotionError
from emotion_core.media.bag_files import RawBag
from emotion_core.media.bag_types import make_typestore
from emotion_core.media.bag_writer import BagWriter
store = make_typestore()
data = bytes(4) + (3).to_bytes(4, "little") + os.urandom(4000)
for name, in_place in (("recorded", True), ("made", False), ("made.mcap", False), ("made.db3", False)):
    path = os.path.join(sys.argv[1], name)
    writer = BagWriter(path, store, in_place)
    try:
        for index in range(10000):
            writer.write_raw("/chatter", "std_msgs/msg/String", data, index)
        writer.close()
        print("there was room")
    except EmotionError as error:
        print(error)
    if in_place:
        with RawBag(path) as bag:
            print(1000 < len(list(bag.messages(["/chatter"]))) <= writer.written, bag.damage)
        import shutil
        shutil.rmtree(path)
print(os.listdir(sys.argv[1]))
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """Of what is recorded the readable part stays; of what can be made again nothing."""
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120)
    if result.returncode == 77:
        pytest.skip("a small file system may not be mounted here")
    assert result.stdout.splitlines() == [
        f"{tmp_path}/recorded cannot be written: the disk is full, make room",
        "True ['metadata.yaml is missing', 'recorded.mcap: its end is missing']",
        *(
            f"{tmp_path}/{name} cannot be written: the disk is full, make room"
            for name in ("made", "made.mcap", "made.db3")
        ),
        "[]",
    ], result.stderr
