"""Every encoding against values worked out here, and whatever bytes may come."""

from __future__ import annotations

from array import array
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.media.pixels import ENCODINGS, MAX_SIDE_PX, decode_compressed, decode_depth, decode_image

BLOCK = 8
COLOURS = np.array(  # BGR, all channels different, so that no swap goes unseen
    [[[200, 60, 10], [20, 190, 90], [30, 80, 220]], [[250, 128, 5], [128, 128, 128], [90, 10, 160]]], np.uint8
)


def picture() -> NDArray[np.uint8]:
    """(16, 24, 3): six flat blocks of 8 x 8 pixels."""
    return COLOURS.repeat(BLOCK, 0).repeat(BLOCK, 1)


def grey() -> NDArray[np.uint8]:
    return picture()[..., 1].copy()


def three(image: NDArray[Any]) -> NDArray[np.uint8]:
    return np.repeat(image[..., None], 3, 2)


def yuv(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BT.601 in video range, from its definition."""
    blue, green, red = np.moveaxis(image.astype(float) / 255, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = 16 + 219 * luma, 128 + 224 * (blue - luma) / 1.772, 128 + 224 * (red - luma) / 1.402
    return np.rint(np.stack(planes, -1)).astype(np.uint8)


def mosaic(image: NDArray[Any], pattern: str) -> NDArray[Any]:
    """What a sensor sees behind a Bayer filter whose first two rows have these colours."""
    result = np.empty(image.shape[:2], image.dtype)
    for index, colour in enumerate(pattern):
        row, column = divmod(index, 2)
        result[row::2, column::2] = image[row::2, column::2, "bgr".index(colour)]
    return result


def inner(image: NDArray[Any]) -> NDArray[Any]:
    """The pixels of each block that have only pixels of the same block around them."""
    keep = np.arange(image.shape[0]) % BLOCK, np.arange(image.shape[1]) % BLOCK
    return image[np.ix_(*((k > 1) & (k < BLOCK - 2) for k in keep))]


def padded(rows: NDArray[Any], extra: int, last: bool = True) -> tuple[int, bytes]:
    """Step and data of rows with so many bytes of rubbish after each, the last one perhaps without."""
    flat = np.ascontiguousarray(rows).reshape(rows.shape[0], -1).view(np.uint8)
    data = np.hstack((flat, np.full((flat.shape[0], extra), 0xA5, np.uint8))).tobytes()
    return flat.shape[1] + extra, data if last or not extra else data[:-extra]


def alpha(image: NDArray[Any]) -> NDArray[Any]:
    return np.dstack((image, np.full(image.shape[:2], 77, image.dtype)))


WIDE = picture().astype(np.uint16) * 257 + 100  # rounds to the same; its two bytes differ, so that order counts
EXACT = {
    "bgr8": (picture(), picture()),
    "8UC3": (picture(), picture()),
    "rgb8": (picture()[..., ::-1], picture()),
    "bgra8": (alpha(picture()), picture()),
    "8UC4": (alpha(picture()), picture()),
    "rgba8": (alpha(picture()[..., ::-1]), picture()),
    "mono8": (grey(), three(grey())),
    "8UC1": (grey(), three(grey())),
    "mono16": (WIDE[..., 1], three(grey())),
    "16UC1": (WIDE[..., 1], three(grey())),
    "bgr16": (WIDE, picture()),
    "16UC3": (WIDE, picture()),
    "rgb16": (WIDE[..., ::-1], picture()),
    "bgra16": (alpha(WIDE), picture()),
    "16UC4": (alpha(WIDE), picture()),
    "rgba16": (alpha(WIDE[..., ::-1]), picture()),
    "32FC1": (grey().astype(np.float32) / 255, three(grey())),
    "32FC3": (picture().astype(np.float32) / 255, picture()),
}


def subsampled(encoding: str) -> NDArray[np.uint8]:
    luma, u, v = np.moveaxis(yuv(picture()), -1, 0)
    if encoding in ("nv12", "nv21", "nv24"):
        step = 1 if encoding == "nv24" else 2
        first, second = (v, u) if encoding == "nv21" else (u, v)
        chroma = np.dstack((first[::step, ::step], second[::step, ::step]))
        return np.vstack((luma, chroma.reshape(-1, luma.shape[1])))
    pairs = np.dstack((luma[:, ::2], u[:, ::2], luma[:, 1::2], v[:, ::2]))
    if encoding in ("yuv422", "uyvy"):
        pairs = pairs[..., [1, 0, 3, 2]]
    return pairs.reshape(luma.shape[0], -1)


YUV = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21", "nv24")
BAYER = [f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)]


def test_every_encoding_is_tested() -> None:
    assert {*EXACT, *YUV, *BAYER} == set(ENCODINGS)


@pytest.mark.parametrize(("extra", "last"), [(0, True), (5, True), (8, False)])
@pytest.mark.parametrize("encoding", EXACT)
def test_plain_encodings(encoding: str, extra: int, last: bool) -> None:
    rows, expected = EXACT[encoding]
    step, data = padded(rows, extra, last)
    image = decode_image(encoding, 16, 24, step, data)
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(("encoding", "extra"), [*((e, 0) for e in YUV), *((e, 8) for e in YUV if e != "nv24")])
def test_yuv(encoding: str, extra: int) -> None:
    step, data = padded(subsampled(encoding), extra, last=False)
    image = decode_image(encoding, 16, 24, step, data)
    np.testing.assert_allclose(image.astype(int), picture().astype(int), atol=2)


@pytest.mark.parametrize("extra", [0, 6])
@pytest.mark.parametrize("encoding", BAYER)
def test_bayer(encoding: str, extra: int) -> None:
    image = WIDE if encoding.endswith("16") else picture()
    step, data = padded(mosaic(image, encoding[6:10]), extra)
    np.testing.assert_array_equal(inner(decode_image(encoding, 16, 24, step, data)), inner(picture()))


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if "16" in name or "32" in name])
def test_big_endian(encoding: str) -> None:
    values = mosaic(WIDE, encoding[6:10]) if encoding in BAYER else EXACT[encoding][0]
    step, little = padded(values, 6)
    _, big = padded(np.ascontiguousarray(values).astype(values.dtype.newbyteorder(">")), 6)
    assert little != big
    image = decode_image(encoding, 16, 24, step, big, is_bigendian=True)
    np.testing.assert_array_equal(image, decode_image(encoding, 16, 24, step, little))


def test_16_bits_are_rounded_over_the_whole_range() -> None:
    values = np.array([[0, 128, 129, 257, 32767, 65406, 65407, 65535]], np.uint16)
    image = decode_image("mono16", 1, 8, 16, values.tobytes())
    assert image[0, :, 0].tolist() == [0, 0, 1, 1, 127, 254, 255, 255]  # v / 257, halves do not occur


def test_bgr8_without_padding_is_a_read_only_view() -> None:
    data = array("B", picture().tobytes())
    image = decode_image("bgr8", 16, 24, 72, data)
    data[0] = 99
    assert image[0, 0, 0] == 99
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0, 0] = 1


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview, lambda data: array("B", data)])
def test_kinds_of_buffer(convert: Any) -> None:
    image = decode_image("rgb8", 16, 24, 72, convert(picture()[..., ::-1].tobytes()))
    np.testing.assert_array_equal(image, picture())


def test_array_of_numpy_with_any_strides() -> None:
    data = np.frombuffer(picture()[..., ::-1].tobytes(), np.uint8)
    np.testing.assert_array_equal(decode_image("rgb8", 16, 24, 72, np.repeat(data, 2)[::2]), picture())


@pytest.mark.parametrize(
    ("encoding", "height", "width", "step", "size", "said"),
    [
        ("bgr9", 2, 2, 6, 12, "unknown image encoding 'bgr9': expected one of bgr8, 8UC3, rgb8"),
        ("", 2, 2, 6, 12, "unknown image encoding ''"),
        ("x\n" * 99, 2, 2, 6, 12, "unknown image encoding"),
        ("bgr8", 0, 2, 6, 12, "got 2 x 0"),
        ("bgr8", 2, -2, 6, 12, "got -2 x 2"),
        ("bgr8", 1, MAX_SIDE_PX + 1, 50000, 50000, "got 16385 x 1"),
        ("mono8", 16000, 16000, 16000, 12, "100000000 px in all, got 16000 x 16000"),
        ("bgr8", 2, 2, 5, 12, "a step of at least 6 bytes, got 5"),
        ("bgr8", 2, 2, 6, 11, "needs 12 bytes, got 11"),
        ("bgr8", 2, 2, 6, 0, "needs 12 bytes, got 0"),
        ("bgr8", 2, 2, 2**70, 12, "bytes, got 12"),
        ("nv12", 2, 2, 2, 5, "needs 6 bytes, got 5"),
        ("nv12", 3, 2, 2, 12, "multiple of 2 and a height that is one of 2, got 2 x 3"),
        ("yuyv", 2, 3, 6, 12, "multiple of 2 and a height that is one of 1, got 3 x 2"),
        ("nv24", 2, 2, 3, 18, "a step of 2 bytes, got 3"),
        ("bayer_rggb8", 2, 8, 8, 16, "at least 3 x 3 px, got 8 x 2"),
    ],
)
def test_wrong_headers(encoding: str, height: int, width: int, step: int, size: int, said: str) -> None:
    with pytest.raises(EmotionError) as caught:
        decode_image(encoding, height, width, step, bytes(size))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, "got NaN"),
        (np.inf, "got inf"),
        (-np.inf, "got inf"),
        (3.5, r"got \[0.5, 3.5\]: is this a depth image\?"),
        (-0.5, r"got \[-0.5, 0.5\]"),
    ],
)
def test_floats_that_are_no_picture(value: float, said: str) -> None:
    values = np.full((4, 4), 0.5, np.float32)
    values[2, 1] = value
    with pytest.raises(EmotionError, match=said):
        decode_image("32FC1", 4, 4, 16, values.tobytes())


def test_floats_that_overshoot_a_little_are_clipped() -> None:
    values = np.array([[-0.05, 0.0, 0.5, 1.0, 1.05]], np.float32)
    assert decode_image("32FC1", 1, 5, 20, values.tobytes())[0, :, 2].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("data", [None, "text", 3, [1, 2], np.array([object()])])
def test_data_that_are_no_bytes(data: Any) -> None:
    with pytest.raises(EmotionError, match="expected image data as bytes"):
        decode_image("bgr8", 2, 2, 6, data)


SIZES = st.one_of(st.integers(1, 9), st.integers(-2, 20000), st.integers())


@settings(max_examples=400, deadline=None)
@given(
    encoding=st.one_of(st.sampled_from(ENCODINGS), st.text(max_size=12)),
    height=SIZES,
    width=SIZES,
    step=st.one_of(st.none(), SIZES),
    data=st.binary(max_size=600),
    is_bigendian=st.booleans(),
)
def test_anything_decodes_or_is_refused(
    encoding: str, height: int, width: int, step: int | None, data: bytes, is_bigendian: bool
) -> None:
    if step is None:
        step = len(data) // height if height > 0 else 0
    try:
        image = decode_image(encoding, height, width, step, data, is_bigendian)
    except EmotionError as error:
        assert "\n" not in str(error)
    else:
        assert image.shape == (height, width, 3) and image.dtype == np.uint8 and image.flags.c_contiguous


def compressed(extension: str, image: NDArray[Any]) -> bytes:
    return cv2.imencode(extension, image)[1].tobytes()


def noisy() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


@pytest.mark.parametrize("format", ["", "png", "bgr8; png compressed bgr8", "rgb8; png compressed bgr8"])
def test_png(format: str) -> None:
    np.testing.assert_array_equal(decode_compressed(compressed(".png", noisy()), format), noisy())


def test_jpeg() -> None:
    image = decode_compressed(array("B", compressed(".jpg", picture())), "rgb8; jpeg compressed bgr8")
    np.testing.assert_allclose(inner(image).astype(int), inner(picture()).astype(int), atol=12)


def test_swapped_channels_are_swapped_back() -> None:
    data = compressed(".png", noisy())
    image = decode_compressed(data, "rgb8; png compressed rgb8")
    np.testing.assert_array_equal(image, noisy()[..., ::-1])


def test_16_bit_grey_and_alpha() -> None:
    np.testing.assert_array_equal(decode_compressed(compressed(".png", WIDE)), picture())
    wide = WIDE[..., 1]
    np.testing.assert_array_equal(decode_compressed(compressed(".png", wide)), three(grey()))
    np.testing.assert_array_equal(decode_compressed(compressed(".png", alpha(noisy()))), noisy())


@pytest.mark.parametrize("extension", [".jpg", ".png"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.95, 0.999])
def test_cut_off_files_are_refused(extension: str, share: float) -> None:
    data = compressed(extension, noisy())
    with pytest.raises(EmotionError, match="expected a"):
        decode_compressed(data[: int(len(data) * share)])


def test_a_jpeg_cut_off_behind_its_thumbnail_is_refused() -> None:
    whole = compressed(".jpg", noisy())
    thumbnail = compressed(".jpg", picture())
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    data = whole[:2] + segment + whole[2:]
    assert decode_compressed(data).shape == (60, 80, 3)
    with pytest.raises(EmotionError, match="without its end"):
        decode_compressed(data[:-200])


def test_padding_behind_a_jpeg_does_no_harm() -> None:
    assert decode_compressed(compressed(".jpg", noisy()) + bytes(5000)).shape == (60, 80, 3)


@pytest.mark.parametrize(
    ("data", "format", "said"),
    [
        (b"", "jpeg", "no data at all"),
        (b"\x00" * 100, "jpeg", "format 'jpeg'"),
        (b"hello", "", "5 bytes that OpenCV cannot decode"),
        (b"\xff\xd8\xff", "jpeg", "without its end"),
        (b"\x00" * 100, "16UC1; compressedDepth png", "a depth image"),
        (None, "", "as bytes"),
    ],
)
def test_what_is_no_picture(data: Any, format: str, said: str) -> None:
    with pytest.raises(EmotionError, match=said):
        decode_compressed(data, format)


@pytest.mark.parametrize("extension", [".jpg", ".png"])
def test_a_header_with_an_absurd_size_is_refused_before_decoding(extension: str) -> None:
    data = bytearray(compressed(extension, noisy()))
    if extension == ".png":
        data[16:24] = (60000).to_bytes(4, "big") * 2
    else:
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = (60000).to_bytes(2, "big") * 2
    with pytest.raises(EmotionError, match="got 60000 x 60000"):
        decode_compressed(bytes(data))


@settings(max_examples=150, deadline=None)
@given(
    extension=st.sampled_from([".jpg", ".png", ".bmp"]),
    at=st.floats(0, 1),
    junk=st.binary(max_size=20),
    cut=st.booleans(),
)
def test_damaged_files_decode_or_are_refused(extension: str, at: float, junk: bytes, cut: bool) -> None:
    data = compressed(extension, picture())
    start = int(at * len(data))
    data = data[:start] + junk + (b"" if cut else data[start + len(junk) :])
    try:
        image = decode_compressed(data)
    except EmotionError as error:
        assert "\n" not in str(error)
    else:
        assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8


# ---- depth ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<f4", ">f4"])
def test_depth_stays_as_it_is(kind):
    depth = np.arange(12, dtype=kind).reshape(3, 4)
    rows = np.zeros((3, 4 * depth.itemsize + 3), np.uint8)  # padded
    rows[:, : 4 * depth.itemsize] = depth.view(np.uint8).reshape(3, -1)
    data, encoding = array("B", rows.tobytes()), "16UC1" if kind.endswith("u2") else "32FC1"
    found = decode_depth(encoding, 3, 4, rows.shape[1], data, kind.startswith(">"))
    np.testing.assert_array_equal(found, depth)
    assert np.shares_memory(found, np.frombuffer(data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1


@pytest.mark.parametrize(
    ("encoding", "step", "size", "match"),
    [
        ("bgr8", 12, 36, r"expected a depth image in 16UC1 .* got 'bgr8'"),
        ("16UC1; compressedDepth", 8, 24, "expected a depth image"),
        ("16UC1", 7, 24, "needs a step of at least 8"),
        ("32FC1", 16, 47, "needs 48 bytes, got 47"),
    ],
)
def test_what_is_no_depth_is_refused(encoding, step, size, match):
    with pytest.raises(EmotionError, match=match):
        decode_depth(encoding, 3, 4, step, bytes(size))
