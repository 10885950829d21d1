"""Pictures in files: every kind that can be measured, of any size that fits when it is shrunk while being read."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.media import avif, heif, jpeg, png
from emotion_core.media.headers import KINDS, Measure, measure
from emotion_core.media.pixels import MAX_PIXELS, MAX_SIDE_PX, decode_with_opencv
from emotion_core.store.files import atomic_write, cannot_write, user_path
from emotion_core.types import Picture
from emotion_core.vision.picture import as_bgr, is_grey

MAX_WHOLE_PIXELS = 250_000_000
"""More than the 200 megapixels of telephones. A file that must be decoded in one piece may not have more; most JPEGs
are decoded row by row and may."""

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


@dataclass(frozen=True)
class StoredPicture:
    """A picture from a file.

    Attributes:
        image: (h, w, 3) uint8, BGR, upright; shrunk where the file holds more than MAX_SIDE_PX pixels a side or
            MAX_PIXELS in all, so that the rest of the library can work with it.
        width, height: of the picture in the file, upright, in pixels.
    """

    image: Picture
    width: int
    height: int

    @property
    def scale(self) -> float:
        """How many of the file's pixels one of the image's stands for, along a side; 1 where nothing was shrunk."""
        return self.width / self.image.shape[1]


def read_picture(path: str | Path) -> StoredPicture:
    """Read a picture; raises EmotionError, with the path, where it is missing, damaged, too large or no picture."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise EmotionError(f"{path} does not exist: check the path") from None
    except OSError as error:
        raise EmotionError(f"{path} cannot be read: {error.strerror or error}") from None
    except (TypeError, ValueError) as error:  # a zero byte in the path, or no path
        raise EmotionError(f"{str(path)!r} cannot be read: {error}") from None
    try:
        return decode_picture(content)
    except EmotionError as error:
        raise EmotionError(f"{path} is not a readable picture: {error}") from None


def decode_picture(content: bytes) -> StoredPicture:
    """The picture in what a file holds; its size is known before anything is decoded.

    An orientation in the Exif data, or in the boxes of an AVIF or HEIF, is applied. 16-bit values are scaled to 8 bits,
    alpha is dropped. A JPEG or PNG that lacks nothing but its end is a picture; one that lacks rows is not.

    Raises:
        EmotionError: the file is empty, cut off, damaged, too large, or of no kind in KINDS.
    """
    if not content:
        raise EmotionError("expected a picture, got no data at all: was it copied in full?")
    found = measure(content)
    if found is None:
        raise EmotionError(
            f"expected a picture ({', '.join(KINDS)}), got {len(content)} bytes that OpenCV cannot decode: "
            "damaged, or another kind; convert it to JPEG or PNG"
        )
    return _DECODERS.get(found.kind, _decode)(content, _factor(found, content))


def write_picture(path: str | Path, picture: Picture) -> None:
    """Write a picture in the kind that the path's suffix names, whole or not at all.

    Args:
        path: of the file; its folder exists. Any name that the file system takes.
        picture: (H, W, 3) uint8, BGR, or of another kind that ``as_bgr`` takes.

    Raises:
        EmotionError: it is no picture, cannot be written, or OpenCV does not write such a kind.
    """
    path, picture = user_path(path), picture if is_grey(picture) else as_bgr(picture)
    done = False
    if path.suffix.isascii():  # OpenCV crashes on one that is not UTF-8
        with contextlib.suppress(cv2.error):
            done, data = cv2.imencode(path.suffix, picture)
    if not done:
        height, width = picture.shape[:2]
        raise EmotionError(
            f"{path}: OpenCV cannot write {width} x {height} px as {path.suffix or 'a file without suffix'}: use .png"
        )
    try:
        with atomic_write(path, durable=False) as temporary:  # easily drawn again, and there may be thousands
            temporary.write_bytes(data.tobytes())
    except OSError as error:
        raise EmotionError(cannot_write(path, error)) from None


def _factor(found: Measure, content: bytes) -> int:
    """By how much to shrink; raises EmotionError where that is not enough, or decoding would take too much memory."""
    width, height = found.width, found.height
    if width < 1 or height < 1:
        raise EmotionError(f"expected a picture of at least 1 x 1 px, got {width} x {height}: its header is damaged")
    rows = found.kind == "JPEG" and not jpeg.read_header(content).buffered
    if width * height > MAX_WHOLE_PIXELS and not rows:
        raise EmotionError(
            f"expected a {found.kind} of at most {MAX_WHOLE_PIXELS} px, got {width} x {height}: shrink it, or convert "
            "it to a baseline JPEG"
        )
    for factor in _REDUCED:
        if max(width, height) <= factor * MAX_SIDE_PX and width * height <= factor**2 * MAX_PIXELS:
            return factor
    raise EmotionError(f"expected a side of at most {8 * MAX_SIDE_PX} px, got {width} x {height}: cut or shrink it")


def _decode(content: bytes, factor: int) -> StoredPicture:
    return _shrunk(decode_with_opencv(content), factor)


def _decode_jpeg(content: bytes, factor: int) -> StoredPicture:
    header = jpeg.read_header(content)
    whole = content if jpeg.has_end(content, header) else jpeg.with_end(content, header)
    image = decode_with_opencv(whole, _REDUCED[factor])
    size = header.width, header.height
    # Exif data may have turned it by 90 degrees, so that width and height have changed places.
    turned = image.shape[1::-1] != tuple(-(-side // factor) for side in size)
    return StoredPicture(image, *(size[::-1] if turned else size))


def _decode_png(content: bytes, factor: int) -> StoredPicture:
    return _decode(content if png.has_end(content) else png.with_end(content), factor)


def _decode_avif(content: bytes, factor: int) -> StoredPicture:
    header = avif.read_header(content)
    # Its Exif data do not count: the boxes say it, and a decoder that heeds both would turn twice.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    image = decode_with_opencv(avif.stored(content, header), flags)
    return _shrunk(avif.upright(image, header), factor)


def _decode_heif(content: bytes, factor: int) -> StoredPicture:
    return _shrunk(heif.decode(content), factor)


_DECODERS = {"JPEG": _decode_jpeg, "PNG": _decode_png, "AVIF": _decode_avif, "HEIF": _decode_heif}


def _shrunk(image: Picture, factor: int) -> StoredPicture:
    height, width = image.shape[:2]
    if factor > 1:
        size = -(-width // factor), -(-height // factor)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return StoredPicture(image, width, height)
