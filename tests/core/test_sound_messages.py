"""Messages with sound, as any objects with their fields. tests/ros has the same with the real types."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emotion_core.audio import messages
from emotion_core.audio.formats import to_mono
from emotion_core.audio.messages import CHUNK, DATA, DATA_STAMPED, FRAME, STAMPED, SoundFormat, chunk_of
from emotion_core.errors import EmotionError

WANTED = [-0.5, 0.25, 0.0]
S16 = np.array([-16384, 8192, 0], "<i2").tobytes()
RAW_16K = SoundFormat(16000, 1, "S16LE")


def header(stamp_s: int = 7) -> SimpleNamespace:
    return SimpleNamespace(stamp=SimpleNamespace(sec=stamp_s, nanosec=0), frame_id="ear")


def chunk(**values: Any) -> SimpleNamespace:
    fields = {"header": header(), "sample_rate": 16000, "channels": 1, "encoding": "S16LE", "data": S16}
    return SimpleNamespace(**(fields | values))


def stamped(number: int, channels: int = 1, **arrays: Any) -> SimpleNamespace:
    names = ("float32_data", "int32_data", "int16_data", "int8_data", "uint8_data")
    data = SimpleNamespace(**({name: array("b") for name in names} | arrays))
    info = SimpleNamespace(format=number, channels=channels, rate=48000, chunk=3)
    return SimpleNamespace(header=header(), audio=SimpleNamespace(audio_data=data, info=info))


def frame(name: str, data: bytes, channels: int = 1) -> SimpleNamespace:
    about = {"channel_count": channels, "sampling_frequency": 44100, "frame_sample_count": 3}
    return SimpleNamespace(header=header(), format=name, data=data, **about)


@pytest.mark.parametrize(
    ("kind", "message", "rate_hz"),
    [
        (CHUNK, chunk(), 16000),
        (CHUNK, chunk(encoding="F32LE", data=np.array(WANTED, "<f4").tobytes()), 16000),
        (DATA_STAMPED, SimpleNamespace(header=header(), audio=SimpleNamespace(data=S16)), 16000),
        (STAMPED, stamped(1, float32_data=array("f", WANTED)), 48000),
        (STAMPED, stamped(2, int32_data=array("i", [-(2**30), 2**29, 0])), 48000),
        (STAMPED, stamped(8, int16_data=array("h", [-16384, 8192, 0])), 48000),
        (STAMPED, stamped(16, int8_data=array("b", [-64, 32, 0])), 48000),
        (STAMPED, stamped(32, uint8_data=array("B", [64, 160, 128])), 48000),
    ],
)
def test_the_first_sample_has_the_stamp(kind, message, rate_hz):
    found = chunk_of(message, kind, 99.0, RAW_16K)
    assert (found.rate_hz, found.stamp_s, found.frame_id) == (rate_hz, 7.0, "ear")
    assert found.samples.shape == (3, 1)
    assert to_mono(found.samples).samples.tolist() == WANTED


FRAMES = {
    "signed_8": "c0 20 00",
    "signed_16": "00c0 0020 0000",
    "signed_24": "0000c0 000020 000000",
    "signed_padded_24": "0000c0ff 00002000 00000000",
    "signed_32": "000000c0 00000020 00000000",
    "unsigned_8": "40 a0 80",
    "unsigned_16": "0040 00a0 0080",
    "unsigned_24": "000040 0000a0 000080",
    "unsigned_padded_24": "00004000 0000a000 00008000",
    "unsigned_32": "00000040 000000a0 00000080",
    "float": "000000bf 0000803e 00000000",
    "double": "000000000000e0bf 000000000000d03f 0000000000000000",
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_of_audio_utils_ends_at_its_stamp(name):
    found = chunk_of(frame(name, bytes.fromhex(FRAMES[name])), FRAME, 99.0)
    assert to_mono(found.samples).samples.tolist() == WANTED
    assert found.rate_hz == 44100 and found.stamp_s == pytest.approx(7 - 3 / 44100, abs=1e-9)


def test_all_formats_of_frames_are_tested():
    assert set(FRAMES) == set(messages._FRAME_FORMATS)


def test_what_has_no_stamp_ends_when_it_comes():
    message = SimpleNamespace(data=bytes(1600))
    assert chunk_of(message, DATA, 99.0, RAW_16K).stamp_s == pytest.approx(98.95)
    assert chunk_of(message, DATA, 99.0, RAW_16K).frame_id == ""
    assert chunk_of(chunk(header=header(0), data=bytes(1600)), CHUNK, 99.0).stamp_s == pytest.approx(98.95)
    assert chunk_of(frame("signed_8", bytes(4410)), FRAME, 99.0).stamp_s == pytest.approx(6.9)


def test_channels_stay_apart_and_nothing_is_a_chunk_too():
    assert chunk_of(stamped(8, 2, int16_data=array("h", [1, 2, 3, 4])), STAMPED, 0.0).samples.tolist() == [
        [1, 2],
        [3, 4],
    ]
    for kind, message in ((CHUNK, chunk(data=array("B"))), (STAMPED, stamped(8)), (FRAME, frame("float", b"", 4))):
        assert chunk_of(message, kind, 0.0).samples.shape[0] == 0


@pytest.mark.parametrize("coding", ["wave", "WAVE", "", "raw"])
def test_the_description_of_raw_sound(coding):
    info = SimpleNamespace(channels=2, sample_rate=44100, sample_format="S24_32LE", bitrate=192, coding_format=coding)
    assert SoundFormat.of(info) == SoundFormat(44100, 2, "S24_32LE")


@pytest.mark.parametrize("coding", ["mp3", "MP3", "flac"])
def test_compressed_sound_is_refused_with_what_to_do(coding):
    info = SimpleNamespace(channels=1, sample_rate=16000, sample_format="S16LE", bitrate=192, coding_format=coding)
    with pytest.raises(EmotionError, match=f"got {coding}: .*format:=wave"):
        SoundFormat.of(info)


@pytest.mark.parametrize(
    ("kind", "message", "said"),
    [
        (CHUNK, chunk(encoding="mp3"), "'mp3'.*raw"),
        (CHUNK, chunk(encoding=""), "one of the formats"),
        (CHUNK, chunk(channels=0), "1 to 256 channels, got 0"),
        (CHUNK, chunk(data=S16[:-1]), "whole moments"),
        (CHUNK, chunk(sample_rate=0), "sample rate of 1000 to"),
        (CHUNK, chunk(sample_rate=2**32 - 1), "sample rate of 1000 to"),
        (DATA, SimpleNamespace(data=S16), "to be told rate"),
        (STAMPED, stamped(4), r"PortAudio's formats 1 \(float32\), .*got 4"),
        (STAMPED, stamped(8, float32_data=array("f", WANTED)), "int16_data, as the format 8 says, got float32_data"),
        (STAMPED, stamped(8, 2, int16_data=array("h", [1, 2, 3])), "3 samples of 2"),
        (STAMPED, stamped(8, -1, int16_data=array("h", [1, 2])), "1 to 256 channels"),
        (FRAME, frame("signed_12", b""), "signed_padded_24.*got 'signed_12'"),
        (FRAME, frame("signed_16", bytes(6), 2), "whole moments"),
        (FRAME, frame("signed_16", bytes(6), 2**31), "1 to 256 channels"),
    ],
)
def test_what_cannot_be_used(kind, message, said):
    with pytest.raises(EmotionError, match=said):
        chunk_of(message, kind, 0.0)
