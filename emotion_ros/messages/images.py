"""Image messages to and from the library's pictures: the one conversion path of every node.

cv_bridge is not used even where it is installed: there is none among the wheels, and two paths could differ.
Where it is, a test compares the results.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.media.pixels import decode_compressed, decode_image
from emotion_core.types import Picture

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage
    from sensor_msgs.msg import Image as ImageMessage
    from std_msgs.msg import Header

CHANNELS = {"bgr8": 3, "rgb8": 3, "mono8": 1}
"""What ``to_message`` writes, with the bytes of a pixel."""


def to_bgr(message: ImageMessage) -> Picture:
    """(height, width, 3) uint8 BGR from a sensor_msgs/Image, or from anything with its fields.

    A read-only view of the message for unpadded bgr8, otherwise a copy. Raises EmotionError as decode_image.
    """
    return decode_image(
        message.encoding,
        message.height,
        message.width,
        message.step,
        message.data,
        bool(message.is_bigendian),
    )


def compressed_to_bgr(message: CompressedImage) -> Picture:
    """(height, width, 3) uint8 BGR from a sensor_msgs/CompressedImage; raises as decode_compressed."""
    return decode_compressed(message.data, message.format)


def to_message(image: NDArray[Any], header: Header, encoding: str = "bgr8") -> ImageMessage:
    """A sensor_msgs/Image with a copy of the picture.

    Args:
        image: (height, width, 3) BGR or (height, width) grey, uint8.
        header: of the message; not copied.
        encoding: bgr8, rgb8 or mono8; the picture is converted to it.

    Raises:
        EmotionError: the image has another shape or type, or the encoding is another.
    """
    from sensor_msgs.msg import Image as ImageMessage

    data = pack(image, encoding)
    height, width = image.shape[:2]
    return ImageMessage(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=width * CHANNELS[encoding],
        data=data,
    )


def pack(image: NDArray[Any], encoding: str) -> array[int]:
    """The bytes of a picture, row by row, in the one kind of sequence that messages take unexamined."""
    if encoding not in CHANNELS:
        raise EmotionError(f"expected one of the encodings {', '.join(CHANNELS)}, got {encoding!r:.40}")
    grey = image.ndim == 2
    if image.dtype != np.uint8 or not image.size or not (grey or (image.ndim == 3 and image.shape[2] == 3)):
        raise EmotionError(
            f"expected a uint8 picture of shape (height, width, 3) or (height, width), got {image.dtype} {image.shape}"
        )
    if encoding == "mono8":
        pixels = image if grey else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    elif grey:
        pixels = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    else:
        pixels = image if encoding == "bgr8" else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    data = array("B")
    data.frombytes(np.ascontiguousarray(pixels).reshape(-1).data)
    return data
