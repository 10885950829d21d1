"""Pictures as robots send them, turned into the one kind the library knows: (height, width, 3) uint8, BGR.

Encodings bear the names of ROS's ``sensor_msgs/Image``, but nothing here imports ROS. Where ROS's own
cv_bridge converts an encoding too, the result is the same.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.media import jpeg, png
from emotion_core.media.headers import kind_of
from emotion_core.types import Picture
from emotion_core.vision.picture import MAX_SIDE_PX, from_16_bit, from_float

Buffer: TypeAlias = "bytes | bytearray | memoryview | array[int] | NDArray[np.uint8]"

_DEPTHS = ("16UC1", "mono16", "32FC1")

MAX_PIXELS = 100_000_000
"""More than any camera has: a header beyond is a mistake, and believing it would fill the memory."""


@dataclass(frozen=True)
class _Layout:
    """How one encoding lies in memory.

    Attributes:
        kind: numpy's name of the type of one value, without byte order.
        channels: values in a row for each pixel.
        code: OpenCV's conversion to BGR; None where the values are BGR already.
        multiple: width and height must be multiples of these.
        planes: rows of data for so many rows of the picture, as (numerator, denominator).
    """

    kind: str = "u1"
    channels: int = 1
    code: int | None = None
    multiple: tuple[int, int] = (1, 1)
    planes: tuple[int, int] = (1, 1)


# ROS names a Bayer pattern by its first two rows, OpenCV by pixels two and three of rows two and three: RGGB
# there is BG here. OpenCV's newer aliases (COLOR_BayerRGGB2BGR) are missing on Ubuntu 22.04.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2BGR,
    "bggr": cv2.COLOR_BayerRG2BGR,
    "gbrg": cv2.COLOR_BayerGR2BGR,
    "grbg": cv2.COLOR_BayerGB2BGR,
}
_NV24 = -1  # OpenCV has no code for it

_LAYOUTS: dict[str, _Layout] = {
    "bgr8": _Layout(channels=3),
    "8UC3": _Layout(channels=3),
    "rgb8": _Layout(channels=3, code=cv2.COLOR_RGB2BGR),
    "bgra8": _Layout(channels=4, code=cv2.COLOR_BGRA2BGR),
    "8UC4": _Layout(channels=4, code=cv2.COLOR_BGRA2BGR),
    "rgba8": _Layout(channels=4, code=cv2.COLOR_RGBA2BGR),
    "mono8": _Layout(code=cv2.COLOR_GRAY2BGR),
    "8UC1": _Layout(code=cv2.COLOR_GRAY2BGR),
    "mono16": _Layout("u2", code=cv2.COLOR_GRAY2BGR),
    "16UC1": _Layout("u2", code=cv2.COLOR_GRAY2BGR),
    "bgr16": _Layout("u2", 3),
    "16UC3": _Layout("u2", 3),
    "rgb16": _Layout("u2", 3, cv2.COLOR_RGB2BGR),
    "bgra16": _Layout("u2", 4, cv2.COLOR_BGRA2BGR),
    "16UC4": _Layout("u2", 4, cv2.COLOR_BGRA2BGR),
    "rgba16": _Layout("u2", 4, cv2.COLOR_RGBA2BGR),
    "32FC1": _Layout("f4", code=cv2.COLOR_GRAY2BGR),
    "32FC3": _Layout("f4", 3),
    "yuv422": _Layout(channels=2, code=cv2.COLOR_YUV2BGR_UYVY, multiple=(2, 1)),
    "uyvy": _Layout(channels=2, code=cv2.COLOR_YUV2BGR_UYVY, multiple=(2, 1)),
    "yuv422_yuy2": _Layout(channels=2, code=cv2.COLOR_YUV2BGR_YUY2, multiple=(2, 1)),
    "yuyv": _Layout(channels=2, code=cv2.COLOR_YUV2BGR_YUY2, multiple=(2, 1)),
    "nv12": _Layout(code=cv2.COLOR_YUV2BGR_NV12, multiple=(2, 2), planes=(3, 2)),
    "nv21": _Layout(code=cv2.COLOR_YUV2BGR_NV21, multiple=(2, 2), planes=(3, 2)),
    "nv24": _Layout(code=_NV24, planes=(3, 1)),
    **{f"bayer_{name}8": _Layout(code=code) for name, code in _BAYER.items()},
    **{f"bayer_{name}16": _Layout("u2", code=code) for name, code in _BAYER.items()},
}

ENCODINGS = tuple(_LAYOUTS)
"""Every encoding that ``decode_image`` reads."""


def decode_image(
    encoding: str, height: int, width: int, step: int, data: Buffer, is_bigendian: bool = False
) -> Picture:
    """The picture in an uncompressed image message.

    16-bit values are taken to span their whole range (scaled by 255/65535 and rounded, as cv_bridge does), so
    a camera that fills only 12 of its bits gives a dark picture. Floats span [0, 1]. YUV is BT.601 in video
    range. Alpha is dropped. ``8UC3``, ``16UC3``, ``32FC3`` are BGR. ``height`` is always the picture's: the
    data of ``nv12`` and ``nv21`` have half as many rows again, those of ``nv24`` three times as many.

    Args:
        encoding: one of ENCODINGS.
        height, width: pixels.
        step: bytes from the start of a row to that of the next; rows may be padded, the last one need not be.
        data: the rows, one after the other.
        is_bigendian: the byte order of 16-bit and float values.

    Returns:
        (height, width, 3) uint8, BGR, contiguous. For ``bgr8`` and ``8UC3`` without padding it is a read-only
        view of ``data``, which must not change as long as it is used; otherwise it is a copy.

    Raises:
        EmotionError: the encoding is unknown, the header contradicts itself or the data, or float values are
            not finite or not in [0, 1].
    """
    layout, values = _values(encoding, height, width, step, data, is_bigendian)
    if values.itemsize > 1:
        values = np.require(values, values.dtype.newbyteorder("="), ["C", "A"])  # as OpenCV wants it
    return _to_bgr(encoding, layout, values)


def decode_depth(
    encoding: str, height: int, width: int, step: int, data: Buffer, is_bigendian: bool = False
) -> NDArray[Any]:
    """The depths in an image message, which REP-118 describes; nothing is converted, for few of them are looked at.

    Args:
        encoding: 16UC1 (or mono16) for millimetres, 32FC1 for metres.
        height, width, step, data, is_bigendian: as for ``decode_image``.

    Returns:
        (height, width) uint16 or float32 in the message's order of bytes, a read-only view of ``data``.

    Raises:
        EmotionError: the encoding is another, or the header contradicts itself or the data.
    """
    if encoding not in _DEPTHS:
        raise EmotionError(
            f"expected a depth image in 16UC1 (millimetres) or 32FC1 (metres), got {encoding!r:.40}: "
            "the topic must be one that a depth camera publishes, uncompressed"
        )
    values = _values(encoding, height, width, step, data, is_bigendian)[1]
    values.setflags(write=False)
    return values


def _values(
    encoding: str, height: int, width: int, step: int, data: Buffer, is_bigendian: bool
) -> tuple[_Layout, NDArray[Any]]:
    """How an image message lies in memory, and a view (rows, width) or (rows, width, channels) of its values."""
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise EmotionError(f"unknown image encoding {encoding!r:.40}: expected one of {', '.join(ENCODINGS)}")
    kind = np.dtype(layout.kind)
    rows = height * layout.planes[0] // layout.planes[1]
    row_bytes = width * layout.channels * kind.itemsize
    _check_header(encoding, layout, height, width, step, row_bytes)
    flat = _bytes(data)
    if rows == 1:
        step = row_bytes  # there is no next row
    needed = step * (rows - 1) + row_bytes
    if flat.size < needed:
        raise EmotionError(
            f"{encoding} image of {width} x {height} with step {step} needs {needed} bytes, got {flat.size}: "
            "was the message cut off, or is its header wrong?"
        )
    shape: tuple[int, ...] = (rows, width)
    strides: tuple[int, ...] = (step, layout.channels * kind.itemsize)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, kind.itemsize)
    return layout, np.ndarray(shape, kind.newbyteorder(">" if is_bigendian else "<"), flat, 0, strides)


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX and width * height <= MAX_PIXELS):
        raise EmotionError(
            f"expected a picture of 1 to {MAX_SIDE_PX} px a side and at most {MAX_PIXELS} px in all, "
            f"got {width} x {height}: check its header"
        )


def _check_header(encoding: str, layout: _Layout, height: int, width: int, step: int, row_bytes: int) -> None:
    _check_size(width, height)
    across, down = layout.multiple
    if width % across or height % down:
        raise EmotionError(
            f"{encoding} needs a width that is a multiple of {across} and a height that is one of {down}, "
            f"got {width} x {height}: check the message's header"
        )
    if encoding.startswith("bayer") and min(width, height) < 3:
        raise EmotionError(f"{encoding} needs at least 3 x 3 px, got {width} x {height}: send a larger picture")
    exactly = layout.code == _NV24  # nobody says how its twice as long rows of colour would be padded
    if step < row_bytes or (exactly and step != row_bytes):
        raise EmotionError(
            f"{encoding} image of width {width} needs a step of {'' if exactly else 'at least '}{row_bytes} "
            f"bytes, got {step}: check step and encoding of the message"
        )


def _bytes(data: Buffer) -> NDArray[np.uint8]:
    """(n,) uint8, a view where the data are contiguous."""
    try:
        if isinstance(data, np.ndarray):
            return np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        return np.frombuffer(data, np.uint8) if len(data) else np.empty(0, np.uint8)
    except (BufferError, TypeError, ValueError) as error:
        raise EmotionError(f"expected image data as bytes, got {type(data).__name__}: {error}") from error


def _to_bgr(encoding: str, layout: _Layout, values: NDArray[Any]) -> Picture:
    image = values
    if layout.kind == "f4":
        image = from_float(image, f"{encoding} image")
    elif layout.kind == "u2" and not encoding.startswith("bayer"):
        image = from_16_bit(image)
    if layout.code == _NV24:
        image = _from_nv24(image)
    elif layout.code is not None:
        image = cv2.cvtColor(image, layout.code)
    if image.dtype == np.uint16:  # a Bayer pattern loses least when it is scaled last
        image = from_16_bit(image)
    if image is values:
        if not image.flags.c_contiguous:
            return np.ascontiguousarray(image)
        image.setflags(write=False)
    return image


def _from_nv24(values: NDArray[Any]) -> NDArray[Any]:
    """From (3 h, w): a plane of Y, then one of U and V in turn at full resolution."""
    height, width = values.shape[0] // 3, values.shape[1]
    chroma = values[height:].reshape(height, width, 2)
    # BT.601 in video range, with the factors that OpenCV uses for the other YUV encodings.
    luma, red_v, green_u, green_v, blue_u = 1.164, 1.596, -0.391, -0.813, 2.018
    matrix = np.array([[luma, blue_u, 0], [luma, green_u, green_v], [luma, 0, red_v]])
    offset = -matrix @ np.array([[16.0], [128.0], [128.0]])
    return cv2.transform(np.dstack((values[:height], chroma)), np.hstack((matrix, offset)))


def decode_compressed(data: Buffer, format: str = "") -> Picture:
    """The picture in a compressed image message: a whole JPEG or PNG, and nothing else.

    16-bit values are scaled to 8 bits, alpha is dropped, and an orientation in the Exif data is applied. Whoever sends
    messages need not be trusted: other kinds are refused, and the size is known before anything is decoded. For files
    see ``emotion_core.media.pictures``.

    Args:
        data: the whole file.
        format: as in ``sensor_msgs/CompressedImage``: "jpeg", "png" or "rgb8; jpeg compressed bgr8". Only its
            unusual values count ("… compressed rgb8": red and blue swapped); the data say what they are.

    Returns:
        (height, width, 3) uint8, BGR.

    Raises:
        EmotionError: the data are empty, cut off, damaged, not a JPEG or PNG, or too large a one.
    """
    if "compressedDepth" in format:
        raise EmotionError(f"expected a compressed picture, got a depth image (format {format!r:.60})")
    content = _bytes(data).tobytes()
    if not content:
        raise EmotionError("expected a compressed picture, got no data at all: is the camera sending?")
    said = f" (format {format!r:.60})" if format else ""
    if content.startswith(jpeg.START):
        header = jpeg.read_header(content)
        width, height, whole = header.width, header.height, jpeg.has_end(content, header)
    elif content.startswith(png.START):
        (width, height), whole = png.size(content), png.has_end(content)
    else:
        if kind := kind_of(content):
            raise EmotionError(f"expected a JPEG or PNG picture, got {kind}{said}: let the camera send one of these")
        raise EmotionError(
            f"expected a JPEG or PNG picture, got {len(content)} bytes that OpenCV cannot decode{said}: "
            "they are damaged or something else"
        )
    _check_size(width, height)
    if not whole:
        raise EmotionError(f"expected a whole JPEG or PNG, got {len(content)} bytes without its end: cut off{said}")
    image = decode_with_opencv(content, said=said)
    if "compressed rgb" in format:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)
    return image


def decode_with_opencv(content: bytes, flags: int = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, said: str = "") -> Picture:
    """(H, W, 3) uint8 BGR from a file's content; raises EmotionError, with ``said`` in it, where OpenCV fails."""
    try:
        image: NDArray[Any] | None = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:  # a size that OpenCV refuses, or a broken file of one of the rarer formats
        image = None
    if image is None or not image.size:
        raise EmotionError(
            f"expected a whole picture, got {len(content)} bytes that OpenCV cannot decode{said}: they are damaged, or "
            "of a kind that this OpenCV lacks"
        )
    if image.dtype == np.uint16:
        image = from_16_bit(image)
    elif image.dtype != np.uint8:
        raise EmotionError(f"expected a picture of 8 or 16 bits a channel, got {image.dtype}: convert it first")
    return np.asarray(image, np.uint8)
