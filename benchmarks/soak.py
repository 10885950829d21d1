"""An hour of a node's life: memory, open files and threads at the start and at the end.

    python benchmarks/soak.py CLIP [--node audiovisual] [--minutes 60] [--overlay]

The installed node and a source that plays the clip over and over, with its sound, at 30 pictures a second, run as
processes of their own and talk over DDS on this machine. This process counts the estimates and reads the node's
diagnostics, and looks into /proc every ten seconds. With --overlay it also has the overlay drawn all the time. A line a
minute on stderr; a JSON line at the end; exit code 1 where the node ended, fell silent or grew.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticArray
from emotion_perception.msg import EmotionEstimates
from sensor_msgs.msg import CompressedImage

from emotion_ros.process.domains import free_domain

ROOT = Path(__file__).resolve().parent.parent
SETTLED_S = 60.0
GROWN_MB = 10.0


def start(name: str, **parameters: object) -> subprocess.Popen[bytes]:
    """An installed node in a process of its own."""
    executable = Path(get_package_prefix("emotion_perception"), "lib", "emotion_perception", name)
    words = [word for key, value in parameters.items() for word in ("-p", f"{key}:={json.dumps(value)}")]
    return subprocess.Popen([str(executable), "--ros-args", "--log-level", "warn", *words])


def look(pid: int) -> dict[str, float]:
    """What a process holds."""
    folder = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    used = (folder / "stat").read_text().rpartition(")")[2].split()
    return {
        "rss_mb": round(int(status["VmRSS"].split()[0]) / 1024, 1),
        "threads": int(status["Threads"]),
        "files": len(list((folder / "fd").iterdir())),
        "cpu_s": (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK"),
    }


def main() -> int:
    """Soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--node", choices=("facial", "audiovisual"), default="audiovisual")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--overlay", action="store_true")
    args = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", str(free_domain()))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        os.environ.setdefault(name, str(ROOT / "config" / "fastdds_shm.xml"))
    rclpy.init()
    watcher = rclpy.create_node("soak")
    counts = {"estimates": 0, "faces": 0, "voices": 0, "overlays": 0}
    health: dict[str, str] = {}

    def estimates(message: EmotionEstimates) -> None:
        counts["estimates"] += 1
        counts["faces"] += sum(bool(e.modalities & e.FACE) for e in message.estimates)
        counts["voices"] += sum(bool(e.modalities & e.VOICE) for e in message.estimates)

    def diagnostics(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == args.node:
                health.update({item.key: item.value for item in status.values})

    def overlay(_: CompressedImage) -> None:
        counts["overlays"] += 1

    watcher.create_subscription(EmotionEstimates, f"{args.node}/estimates", estimates, 100)
    watcher.create_subscription(DiagnosticArray, "/diagnostics", diagnostics, 10)
    if args.overlay:
        watcher.create_subscription(CompressedImage, f"{args.node}/overlay/compressed", overlay, 5)
    node = start(args.node, detector=args.detector)
    source = start("source", source=str(args.clip.resolve()), loop=True, rate_hz=30.0, wait_for_subscriber=True)
    begin, samples, silent, told = time.monotonic(), [], 0, 0.0
    try:
        while time.monotonic() < begin + 60 * args.minutes:
            before, until = counts["estimates"], time.monotonic() + 10
            while time.monotonic() < until:
                rclpy.spin_once(watcher, timeout_sec=0.05)
            at_s = time.monotonic() - begin
            if node.poll() is not None or source.poll() is not None:
                break
            silent += at_s > SETTLED_S and counts["estimates"] == before
            samples.append((at_s, look(node.pid), look(source.pid)))
            if at_s - told >= 60:
                told = at_s
                print(f"{at_s / 60:.0f} min: {samples[-1][1]} {counts}", file=sys.stderr, flush=True)
        alive = node.poll() is None and source.poll() is None
    finally:
        for process in (source, node):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(20)
    settled = [sample for sample in samples if sample[0] >= min(SETTLED_S, 30 * args.minutes)]
    first, last = settled[0], settled[-1]
    latencies = {name: health.get(name) for name in ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms")}
    minutes = np.array([[at_s / 60, held["rss_mb"]] for at_s, held, _ in settled])
    result = {
        "node": args.node, "minutes": round(last[0] / 60, 1), **counts, "silent_tens_of_seconds": silent,
        "processed": health.get("processed"), "dropped": health.get("dropped"), "rejected": health.get("rejected"),
        "lost": health.get("lost"), **latencies,
        "node_first": first[1], "node_last": last[1],
        "node_rss_mb_per_hour": round(60 * float(np.polyfit(*minutes[len(minutes) // 2 :].T, 1)[0]), 2),
        "source_first": first[2], "source_last": last[2],
        "node_cores": round((last[1]["cpu_s"] - first[1]["cpu_s"]) / max(1e-9, last[0] - first[0]), 3),
        "exit_codes": [node.returncode, source.returncode],
    }  # fmt: skip
    print(json.dumps(result))
    grown = last[1]["rss_mb"] - first[1]["rss_mb"] > GROWN_MB or any(
        last[i][name] > first[i][name] for i in (1, 2) for name in ("threads", "files")
    )
    watcher.destroy_node()
    rclpy.shutdown()
    return int(not alive or silent > 0 or grown)


if __name__ == "__main__":
    sys.exit(main())
