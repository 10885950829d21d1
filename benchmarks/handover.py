"""Images from one node to two others of its process: what it costs by DDS and handed over, and depending on who spins.

Protocol: a timer publishes a picture at 30 Hz; two nodes with a newest-only subscription note how old its stamp is.
Each way runs in a process of its own, in turn, and the whole several times; medians over the rounds. CPU is that of
the whole process, per image, and depends less than the delays on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from array import array
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WAYS = ("dds", "handover")
SPINS = ("threads", "multi", "single")
"""A single-threaded executor and a thread for each node; one MultiThreadedExecutor for all; a single-threaded one."""


def main() -> int:
    """Measure and print a JSON line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="640x480", metavar="WxH", help="of the picture (default: %(default)s)")
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "SPIN"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(*args.one, *map(int, args.size.split("x")), args.images)
        return 0
    results: dict[tuple[str, str], list[dict[str, float]]] = {(way, spin): [] for way in WAYS for spin in SPINS}
    for _ in range(args.rounds):
        for way, spin in results:
            command = [sys.executable, __file__, "--size", args.size, "--images", str(args.images), "--one", way, spin]
            done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
            results[way, spin].append(json.loads(done.stdout))
    for (way, spin), rounds in results.items():
        medians = {name: round(statistics.median(each[name] for each in rounds), 2) for name in rounds[0]}
        print(json.dumps({"way": way, "spin": spin, "size": args.size, **medians}))
    return 0


def environment() -> dict[str, str]:
    from emotion_ros.process.domains import free_domain

    profile = str(ROOT / "config" / "fastdds_shm.xml")
    return {
        "ROS_DOMAIN_ID": str(free_domain()),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "FASTRTPS_DEFAULT_PROFILES_FILE": profile,  # Fast DDS 2
        "FASTDDS_DEFAULT_PROFILES_FILE": profile,  # Fast DDS 3
        **os.environ,
    }


def measure(way: str, spin: str, width: int, height: int, images: int) -> None:
    """Print what share of the images came, after how many milliseconds, and the CPU's milliseconds for each."""
    import rclpy
    from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
    from sensor_msgs.msg import Image

    from emotion_ros.base import qos
    from emotion_ros.base.handover import Inlet, Outlet

    rclpy.init()
    nodes = [rclpy.create_node(name) for name in ("camera", "left", "right")]
    delays_ms: list[float] = []

    def take(message: Image) -> None:
        stamp = message.header.stamp
        delays_ms.append((time.time() - stamp.sec) * 1e3 - stamp.nanosec / 1e6)

    publisher = nodes[0].create_publisher(Image, "image", qos.IMAGE_OUT)
    if way == "handover":
        publisher = Outlet(nodes[0], publisher)
    for node in nodes[1:]:
        if way == "handover":
            Inlet(node, Image, "image", take, qos.LATEST_IMAGE)
        else:
            node.create_subscription(Image, "image", take, qos.LATEST_IMAGE)
    pixels, sent = array("B", bytes(width * height * 3)), 0

    def publish() -> None:
        nonlocal sent
        if sent < images:
            message = Image(width=width, height=height, encoding="bgr8", step=width * 3, data=pixels)
            message.header.stamp.sec, nanosec = divmod(time.time_ns(), 10**9)
            message.header.stamp.nanosec = nanosec
            publisher.publish(message)
            sent += 1

    nodes[0].create_timer(1 / 30, publish)
    if spin == "threads":
        executors = [SingleThreadedExecutor() for _ in nodes]
        for executor, node in zip(executors, nodes, strict=True):
            executor.add_node(node)
    else:
        executors = [SingleThreadedExecutor() if spin == "single" else MultiThreadedExecutor(num_threads=4)]
        for node in nodes:
            executors[0].add_node(node)
    for executor in executors:
        threading.Thread(target=executor.spin, daemon=True).start()
    began_s = time.process_time()
    while sent < images:
        time.sleep(0.2)
    time.sleep(0.3)  # the last ones are on their way
    cpu_ms = (time.process_time() - began_s) * 1e3 / images
    delays_ms.sort()
    result = {
        "arrived_percent": 100 * len(delays_ms) / (2 * images),
        "delay_p50_ms": delays_ms[len(delays_ms) // 2],
        "delay_p99_ms": delays_ms[len(delays_ms) * 99 // 100],
        "cpu_ms": cpu_ms,
    }
    print(json.dumps(result), flush=True)
    os._exit(0)  # the executors' threads spin on


if __name__ == "__main__":
    sys.exit(main())
