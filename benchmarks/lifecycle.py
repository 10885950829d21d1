"""A thousand transitions of a node's life, in any order, with pictures and sound at work; and what is left behind.

    python benchmarks/lifecycle.py [--node audiovisual] [--transitions 1000] [--seed 0]

The node lives in this process; a camera and a microphone send to it over DDS all the time. Each transition is drawn at
random: one that is possible in nine of ten cases, any other else, which must be refused. Told are threads, open files
and memory, always with the node unconfigured: after the first fifty transitions, and at the end.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from emotion_perception.msg import AudioChunk
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from emotion_core.media.clip import sample_photo
from emotion_ros.base import qos
from emotion_ros.messages import images
from emotion_ros.process.domains import free_domain

POSSIBLE = {
    "unconfigured": ("configure",),
    "inactive": ("activate", "cleanup"),
    "active": ("deactivate",),
}
NEXT = {"configure": "inactive", "activate": "active", "deactivate": "inactive", "cleanup": "unconfigured"}


def left_behind() -> dict[str, float]:
    """Threads, open files, and MB of memory of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "threads": threading.active_count(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "rss_mb": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1),
    }


class Senses:
    """A camera and a microphone that go on whatever the node does."""

    def __init__(self, context: Any) -> None:
        self.node = rclpy.create_node("senses", context=context)
        self.images = self.node.create_publisher(Image, "image", qos.IMAGE_OUT)
        self.sound = self.node.create_publisher(AudioChunk, "audio", qos.SOUND_OUT)
        self._picture = np.ascontiguousarray(sample_photo()[:480])
        self._chunk = (np.sin(np.arange(1600) / 8) * 3000).astype("<i2").tobytes()

    def send(self) -> None:
        """One picture, and a tenth of a second of sound."""
        header = Header(stamp=self.node.get_clock().now().to_msg(), frame_id="robot")
        self.images.publish(images.to_message(self._picture, header))
        chunk = AudioChunk(header=header, sample_rate=16000, channels=1, encoding="S16LE", data=self._chunk)
        self.sound.publish(chunk)


def live(name: str, transitions: int, seed: int, warm_up: int = 50, tell: Any = lambda done: None) -> dict[str, Any]:
    """Let a node live; returns what was left behind and how much was done."""
    module = importlib.import_module(f"emotion_ros.{name}_node")
    cls = getattr(module, f"{name.capitalize()}Node")
    context = rclpy.Context()
    rclpy.init(context=context)
    node = cls(name, context=context, cli_args=["--ros-args", "-p", "detector:=haar"])
    senses = Senses(context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    rng, state = np.random.default_rng(seed), "unconfigured"
    first: dict[str, float] = {}
    counts = dict.fromkeys(("done", "refused", "wrong"), 0)
    worked = 0
    try:
        while counts["done"] < transitions or state != "unconfigured":
            senses.send()
            for _ in range(4):
                executor.spin_once(timeout_sec=0.002)
            choices = POSSIBLE[state] if rng.random() < 0.9 else tuple(NEXT)
            if counts["done"] >= transitions:
                choices = ("deactivate",) if state == "active" else ("cleanup",)
            wanted = str(rng.choice(choices))
            if wanted in ("deactivate", "cleanup") and node.pipeline is not None:
                worked += (node._worker.counts() if node._worker else node.health.earlier).processed
            try:
                done = getattr(node, f"trigger_{wanted}")() == TransitionCallbackReturn.SUCCESS
            except Exception:  # rclpy raises what rcl refuses
                done = False
            possible = wanted in POSSIBLE[state]
            counts["done" if done else "refused"] += 1
            counts["wrong"] += done != possible
            state = NEXT[wanted] if done else state
            tell(counts["done"])
            if not first and counts["done"] >= warm_up and state == "unconfigured":
                first = left_behind()
        last = left_behind()
    finally:
        executor.shutdown()
        node.destroy_node()
        senses.node.destroy_node()
        rclpy.shutdown(context=context)
    return {**counts, "images_worked_on": worked, "first": first, "last": last}


def main() -> int:
    """Print a JSON line; 1 where something was left behind, or a transition went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", choices=("facial", "audiovisual"), default="audiovisual")
    parser.add_argument("--transitions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", str(free_domain()))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    start = time.monotonic()
    result = live(args.node, args.transitions, args.seed)
    print(json.dumps({"node": args.node, **result, "seconds": round(time.monotonic() - start)}))
    grown = any(result["last"][name] > result["first"][name] for name in ("threads", "files"))
    return int(grown or result["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
