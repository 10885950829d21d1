"""Image messages to pictures and back."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sensor_msgs", reason="sensor_msgs is not installed: scripts/run sets ROS 2 up")

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from emotion_core.errors import EmotionError
from emotion_ros.messages.images import compressed_to_bgr, to_bgr, to_message


def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (6, 10, 3), np.uint8)


def header() -> Header:
    result = Header(frame_id="lens")
    result.stamp.sec, result.stamp.nanosec = 12, 34
    return result


@pytest.mark.parametrize("encoding", ["bgr8", "rgb8"])
def test_colour_there_and_back(encoding: str) -> None:
    message = to_message(picture(), header(), encoding)
    assert (message.height, message.width, message.step, message.encoding) == (6, 10, 30, encoding)
    assert message.header == header() and isinstance(message.data, array)
    expected = picture() if encoding == "bgr8" else picture()[..., ::-1]
    assert message.data.tobytes() == expected.tobytes()
    np.testing.assert_array_equal(to_bgr(message), picture())


def test_grey() -> None:
    grey = cv2.cvtColor(picture(), cv2.COLOR_BGR2GRAY)
    message = to_message(picture(), header(), "mono8")
    assert message.step == 10 and message.data.tobytes() == grey.tobytes()
    assert to_message(grey, header(), "mono8") == message
    np.testing.assert_array_equal(to_bgr(to_message(grey, header())), to_bgr(message))


def test_a_part_of_a_picture_is_packed_row_by_row() -> None:
    message = to_message(picture()[1:5, 2:7], header())
    assert (message.height, message.width, message.step) == (4, 5, 15)
    np.testing.assert_array_equal(to_bgr(message), picture()[1:5, 2:7])


def test_the_message_does_not_share_the_picture() -> None:
    image = picture()
    message = to_message(image, header())
    image[:] = 0
    np.testing.assert_array_equal(to_bgr(message), picture())


def test_padding_and_byte_order_of_a_message() -> None:
    wide = np.zeros((6, 14, 3), ">u2")
    wide[:, :10] = np.minimum(picture().astype(np.uint32) * 257 + 100, 65535)
    message = Image(height=6, width=10, encoding="bgr16", is_bigendian=1, step=84, data=array("B", wide.tobytes()))
    np.testing.assert_array_equal(to_bgr(message), picture())


def test_anything_with_the_fields_will_do() -> None:
    fields = {"height": 6, "width": 10, "encoding": "bgr8", "is_bigendian": 0, "step": 30}
    message = SimpleNamespace(**fields, data=np.frombuffer(picture().tobytes(), np.uint8))
    np.testing.assert_array_equal(to_bgr(message), picture())


def test_a_message_that_was_never_filled_is_refused() -> None:
    with pytest.raises(EmotionError, match="unknown image encoding ''"):
        to_bgr(Image())
    with pytest.raises(EmotionError, match="no data at all"):
        compressed_to_bgr(CompressedImage())


def test_compressed() -> None:
    data = array("B", cv2.imencode(".png", picture())[1].tobytes())
    np.testing.assert_array_equal(compressed_to_bgr(CompressedImage(format="png", data=data)), picture())


@pytest.mark.parametrize("kind", [".webp", ".tiff", ".bmp"])
def test_a_message_holds_jpeg_or_png_only(kind: str) -> None:
    """Of others, the size is not known before they fill the memory."""
    data = array("B", cv2.imencode(kind, picture())[1].tobytes())
    with pytest.raises(EmotionError, match="JPEG or PNG"):
        compressed_to_bgr(CompressedImage(format="jpeg", data=data))


@pytest.mark.parametrize(
    ("image", "encoding", "said"),
    [
        (picture(), "yuyv", "expected one of the encodings bgr8, rgb8, mono8, got 'yuyv'"),
        (picture().astype(np.float32), "bgr8", r"got float32 \(6, 10, 3\)"),
        (picture()[..., :2], "bgr8", r"got uint8 \(6, 10, 2\)"),
        (picture()[:0], "bgr8", r"got uint8 \(0, 10, 3\)"),
    ],
)
def test_what_cannot_be_sent(image: NDArray[Any], encoding: str, said: str) -> None:
    with pytest.raises(EmotionError, match=said):
        to_message(image, header(), encoding)


@pytest.mark.parametrize("encoding", ["bgr8", "rgb8", "mono8", "bgra8", "rgba8", "mono16", "yuv422", "bayer_rggb8"])
def test_the_same_as_cv_bridge(encoding: str) -> None:
    cv_bridge = pytest.importorskip("cv_bridge", reason="cv_bridge is not installed (it is not among the wheels)")
    pixel_bytes = {"bgr8": 3, "rgb8": 3, "bgra8": 4, "rgba8": 4, "mono16": 2, "yuv422": 2}.get(encoding, 1)
    data = np.random.default_rng(5).integers(0, 256, 24 * 32 * pixel_bytes, np.uint8)
    message = Image(height=24, width=32, encoding=encoding, step=32 * pixel_bytes, data=array("B", data.tobytes()))
    expected = cv_bridge.CvBridge().imgmsg_to_cv2(message, "bgr8")
    np.testing.assert_array_equal(to_bgr(message), expected)
