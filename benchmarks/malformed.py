"""A hundred thousand malformed images, chunks of sound and calibrations through living nodes.

    python benchmarks/malformed.py [--count 100000] [--seed 0]

An audiovisual node and a facial node for compressed images live in this process and get, over DDS, messages whose
every field is drawn at random: unknown encodings, data that are too short, too long or noise, sizes of nothing, steps
that fit nothing, damaged JPEG and PNG, stamps that jump, sound without channels, in compressed formats or of no number,
cameras without a focal length. Between them are right ones. Each message is awaited in the counts of its node before
the next one is sent. At the end right ones must still be estimated.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from emotion_perception.msg import AudioChunk
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from emotion_core.media.clip import sample_photo
from emotion_ros.audiovisual_node import AudiovisualNode
from emotion_ros.base import qos
from emotion_ros.facial_node import FacialNode
from emotion_ros.messages import images
from emotion_ros.process.domains import free_domain

ENCODINGS = (
    "bgr8", "rgb8", "mono8", "bgra8", "rgba8", "mono16", "yuv422_yuy2", "uyvy", "nv12", "nv21", "bayer_rggb8",
    "bayer_gbrg16", "8UC3", "16UC1", "32FC1", "64FC2", "8UC99", "jpeg", "", "rgb16", "BGR8", "bgr8\n", "\u3042",
    "x" * 300,
)  # fmt: skip
SAMPLE_FORMATS = ("S16LE", "S16BE", "U8", "S24LE", "S32LE", "F32LE", "F64LE", "mp3", "", "opus", "s16", "\u3042")
WAIT_S = 5.0


class Chance:
    """Draws messages."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.face = np.ascontiguousarray(sample_photo()[:480])
        self.jpeg = cv2.imencode(".jpg", self.face)[1].tobytes()
        self.png = cv2.imencode(".png", self.face[:64, :64])[1].tobytes()

    def pick(self, values: Any) -> Any:
        """One of them."""
        return values[int(self.rng.integers(len(values)))]

    def header(self) -> Header:
        """Stamps of nothing, the far past, the future, or about now."""
        sec = self.pick((0, 1, -(2**31), 2**31 - 1, int(self.rng.integers(0, 2**31)), 1000))
        nanosec = self.pick((0, 999_999_999, 2**32 - 1, int(self.rng.integers(0, 10**9))))
        return Header(
            stamp=Time(sec=sec, nanosec=nanosec), frame_id=self.pick(("", "lens", "/a/b", "\u3042", "x" * 999))
        )

    def data(self, about: int) -> bytes:
        """Noise of about so many bytes."""
        size = max(0, int(about * self.pick((0, 0.5, 0.99, 1, 1, 1.01, 2)) + self.pick((-1, 0, 0, 1))))
        return self.rng.bytes(min(size, 200_000))

    def image(self) -> Image:
        """Every field at random."""
        height, width = (int(self.pick((0, 1, 2, 3, 17, 48, 64, 2**31, 2**32 - 1))) for _ in range(2))
        step = int(self.pick((0, 1, width, 3 * width, 3 * width + 7, 2**32 - 1))) % 2**32
        message = Image(header=self.header(), height=height, width=width, step=step, encoding=self.pick(ENCODINGS))
        message.is_bigendian = int(self.rng.integers(256))
        message.data = self.data(min(height, 64) * min(step, 4096))
        return message

    def compressed(self) -> CompressedImage:
        """A damaged picture, or none at all."""
        whole = self.pick((self.jpeg, self.png))
        content = bytearray(whole[: int(self.pick((0, 1, 10, len(whole) // 2, len(whole))))])
        for _ in range(int(self.pick((0, 1, 5, 50)))):
            if content:
                content[int(self.rng.integers(len(content)))] = int(self.rng.integers(256))
        content = content or bytearray(self.data(1000))
        form = self.pick(("jpeg", "png", "", "bgr8; jpeg compressed bgr8", "tiff", "h264", "x" * 99))
        return CompressedImage(header=self.header(), format=form, data=bytes(content))

    def chunk(self) -> AudioChunk:
        """Sound of any kind."""
        return AudioChunk(
            header=self.header(),
            sample_rate=int(self.pick((0, 1, 100, 8000, 16000, 44100, 48000, 2**32 - 1))),
            channels=int(self.pick((0, 1, 2, 8, 255))),
            encoding=self.pick(SAMPLE_FORMATS),
            data=self.data(int(self.pick((0, 320, 3200, 9600)))),
        )

    def camera(self) -> CameraInfo:
        """A calibration of numbers that are none."""
        k = [float(self.pick((0.0, -1.0, 600.0, float("nan"), float("inf"), 1e308))) for _ in range(9)]
        size = self.pick((0, 1, 640, 2**32 - 1))
        return CameraInfo(header=self.header(), height=size, width=self.pick((0, 480, 2**32 - 1)), k=k)

    def good(self) -> Image:
        """A face."""
        return images.to_message(self.face, Header(stamp=Time(sec=1000, nanosec=int(self.rng.integers(10**9)))))


def handled(node: Any) -> int:
    """How many images a node has worked on, refused, or left out, and lost by the publisher's numbers."""
    counts = node._worker.counts()
    return counts.processed + counts.rejected + counts.dropped


def wait(condition: Callable[[], bool]) -> bool:
    """Until it holds, or WAIT_S are over."""
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.0002)
    return True


def memory_mb() -> float:
    """Of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    """Print a JSON line; 1 where a message was not counted or a node does not estimate any more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", str(free_domain()))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    rclpy.init()
    quiet = ["--ros-args", "--log-level", "fatal", "-p", "detector:=haar"]
    raw = AudiovisualNode("audiovisual", cli_args=quiet)
    packed = FacialNode("facial", cli_args=[*quiet, "-p", "image_transport:=compressed"])
    camera = rclpy.create_node("chance")
    executor = SingleThreadedExecutor()
    for node in (raw, packed):
        node.start()
        executor.add_node(node)
    threading.Thread(target=executor.spin, name="spin", daemon=True).start()
    publishers = {
        "image": camera.create_publisher(Image, "image", qos.IMAGE_OUT),
        "compressed": camera.create_publisher(CompressedImage, "image/compressed", qos.IMAGE_OUT),
        "chunk": camera.create_publisher(AudioChunk, "audio", qos.SOUND_OUT),
        "camera": camera.create_publisher(CameraInfo, "camera_info", qos.LATCHED),
    }
    wait(lambda: all(publisher.get_subscription_count() for publisher in publishers.values()))
    seen: dict[str, Callable[[], int]] = {
        "image": lambda: handled(raw),
        "compressed": lambda: handled(packed),
        "chunk": lambda: raw.pipeline.voice.counts.chunks + raw._unusable,
        "camera": lambda: raw.markers.heard + packed.markers.heard,
    }
    chance, sent, missing, start = Chance(args.seed), Counter[str](), Counter[str](), time.monotonic()
    kinds, first_mb = ("image", "image", "compressed", "chunk", "chunk", "camera"), 0.0
    for i in range(args.count):
        kind = chance.pick(kinds)
        message = chance.good() if kind == "image" and chance.rng.random() < 0.02 else getattr(chance, kind)()
        before = seen[kind]()
        publishers[kind].publish(message)
        sent[kind] += 1
        if not wait(lambda kind=kind, before=before: seen[kind]() > before):
            missing[kind] += 1
        if i == args.count // 10:
            first_mb = memory_mb()
    last_mb = memory_mb()
    processed = raw._worker.counts().processed
    publishers["image"].publish(chance.good())
    alive = wait(lambda: raw._worker.counts().processed > processed) and raw._faces == 1
    counts = {name: vars(node._worker.counts()) for name, node in (("audiovisual", raw), ("facial", packed))}
    sound = {**vars(raw.pipeline.voice.counts), "unusable": raw._unusable}
    executor.shutdown()
    for node in (raw, packed, camera):
        node.destroy_node()
    rclpy.shutdown()
    result = {
        "sent": dict(sent), "not_counted": dict(missing), "estimates_after": alive, "images": counts, "sound": sound,
        "rss_mb_after_a_tenth": round(first_mb, 1), "rss_mb_at_the_end": round(last_mb, 1),
        "seconds": round(time.monotonic() - start),
    }  # fmt: skip
    print(json.dumps(result))
    return int(bool(missing) or not alive)


if __name__ == "__main__":
    sys.exit(main())
