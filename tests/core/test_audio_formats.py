"""Samples of every format against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from emotion_core.audio.formats import FORMATS, decode, encode, to_mono
from emotion_core.errors import EmotionError

# One moment at half of full scale below zero, one at a quarter above, one silent.
WANTED = [-0.5, 0.25, 0.0]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("U8", bytes([64, 160, 128])),
        ("S8", bytes([192, 32, 0])),
        ("S16LE", bytes.fromhex("00c0 0020 0000")),
        ("S16BE", bytes.fromhex("c000 2000 0000")),
        ("U16LE", bytes.fromhex("0040 00a0 0080")),
        ("U16BE", bytes.fromhex("4000 a000 8000")),
        ("S24LE", bytes.fromhex("0000c0 000020 000000")),
        ("S24BE", bytes.fromhex("c00000 200000 000000")),
        ("U24LE", bytes.fromhex("000040 0000a0 000080")),
        ("U24BE", bytes.fromhex("400000 a00000 800000")),
        ("S24_32LE", bytes.fromhex("0000c0ff 00002000 00000077")),
        ("S24_32BE", bytes.fromhex("ffc00000 00200000 77000000")),
        ("U24_32LE", bytes.fromhex("00004000 0000a000 00008077")),
        ("U24_32BE", bytes.fromhex("00400000 00a00000 77800000")),
        ("S32LE", bytes.fromhex("000000c0 00000020 00000000")),
        ("S32BE", bytes.fromhex("c0000000 20000000 00000000")),
        ("U32LE", bytes.fromhex("00000040 000000a0 00000080")),
        ("U32BE", bytes.fromhex("40000000 a0000000 80000000")),
        ("F32LE", bytes.fromhex("000000bf 0000803e 00000000")),
        ("F32BE", bytes.fromhex("bf000000 3e800000 00000000")),
        ("F64LE", np.array(WANTED, "<f8").tobytes()),
        ("F64BE", np.array(WANTED, ">f8").tobytes()),
    ],
)
def test_every_format_gives_the_same_sound(name, data):
    mono = to_mono(decode(data, name, 1))
    assert mono.samples.dtype == np.float32
    assert mono.samples.tolist() == WANTED
    assert (mono.clipped, mono.nonfinite) == (0, 0)


def test_all_formats_are_tested_and_a_name_may_be_short():
    marks = test_every_format_gives_the_same_sound.pytestmark[0].args[1]
    assert {name for name, _ in marks} == set(FORMATS)
    data = np.array([1000, -2000], "<i2").tobytes()
    np.testing.assert_array_equal(decode(data, "s16", 1), decode(data, "S16LE", 1))


@pytest.mark.parametrize(
    ("dtype", "name"), [("u1", "U8"), (">i2", "S16LE"), ("i4", "S32LE"), ("f4", "F32LE"), ("f8", "F32LE")]
)
def test_what_is_encoded_is_decoded(dtype, name):
    sound = np.array([[1, 2], [3, 100]], dtype)
    found, data = encode(sound)
    assert found == name
    np.testing.assert_array_equal(decode(data, found, 2), sound)


def test_channels_are_interleaved_and_averaged():
    data = np.array([[16384, 0], [-32768, -32768], [8192, -8192]], "<i2")
    array = decode(data.tobytes(), "S16LE", 2)
    np.testing.assert_array_equal(array, data)
    assert to_mono(array).samples.tolist() == [0.25, -1.0, 0.0]


def test_negative_24_bits_and_their_smallest_step():
    array = decode(bytes.fromhex("ffffff 010000 ffff7f"), "S24LE", 1)
    np.testing.assert_allclose(to_mono(array).samples, [-(2.0**-23), 2.0**-23, 1 - 2.0**-23], rtol=0)


def test_arrays_in_the_other_byte_order_are_taken():
    sound = np.array([16384, -8192], ">i2")
    assert to_mono(sound).samples.tolist() == [0.5, -0.25]


@pytest.mark.parametrize(
    ("sound", "clipped"),
    [
        (np.array([32767, 32766, -32768, -32767, 0], np.int16), 3),
        (np.array([255, 254, 0, 128], np.uint8), 2),
        (np.array([2**31 - 1, 2**31 - 2**12, 0], np.int32), 1),
        (np.array([1.0, 1.5, -7.0, 0.99], np.float32), 3),
        (np.array([[0.1, 1.2], [0.2, 0.3]], np.float64), 1),
    ],
)
def test_full_scale_is_counted_and_cut(sound, clipped):
    mono = to_mono(sound)
    assert mono.clipped == clipped
    assert np.abs(mono.samples).max() <= 1.0


def test_what_is_no_number_is_silent_and_counted():
    mono = to_mono(np.array([[0.5, np.nan], [np.inf, -0.5], [0.25, 0.75]], np.float32))
    assert mono.samples.tolist() == [0.25, -0.25, 0.5]
    assert (mono.nonfinite, mono.clipped) == (2, 0)
    with np.errstate(over="raise"):
        mono = to_mono(np.array([0.5, 1e300]))
    assert mono.samples.tolist() == [0.5, 0.0] and mono.nonfinite == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decode(b"", "mp3", 1), "raw samples.*got 'mp3'.*driver"),
        (lambda: decode(b"", "", 1), "raw samples"),
        (lambda: decode(b"\0\0", "S16LE", 0), "1 to 256 channels, got 0"),
        (lambda: decode(b"\0" * 6, "S16LE", 2), "2 x 2 bytes.*got 6 bytes"),
        (lambda: to_mono(np.zeros((4, 0), np.int16)), r"channels, got \(4, 0\)"),
        (lambda: to_mono(np.zeros((4, 2, 2), np.int16)), r"got \(4, 2, 2\)"),
        (lambda: to_mono(np.zeros(4, np.int64)), "got int64"),
        (lambda: to_mono(np.zeros(4, complex)), "got complex128"),
    ],
)
def test_bad_sound_is_told(call, message):
    with pytest.raises(EmotionError, match=message):
        call()


def test_no_samples_are_no_error():
    mono = to_mono(decode(b"", "S16LE", 2))
    assert mono.samples.shape == (0,)
