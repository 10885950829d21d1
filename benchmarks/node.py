"""The facial node as a robot sees it: start-up time, memory, frames and latency over DDS on this machine.

Protocol: the node and a source that publishes a 640x480 picture with one face at 30 Hz run as processes of their own;
this process receives the estimates. Latency runs from the image's stamp to the receipt of its estimate. Nobody
subscribes to the overlay. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from emotion_ros.domains import free_domain

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Measure and print a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate-hz", type=float, default=30.0)
    parser.add_argument("--detector", default="auto")
    args = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", str(free_domain()))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):  # Fast DDS 2, Fast DDS 3
        os.environ.setdefault(name, str(ROOT / "config" / "fastdds_shm.xml"))
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "face.png"
        write_picture(picture)
        node = start("facial", {"detector": args.detector})
        try:
            ready_s = wait_until_ready(node)
            source = start("source", {"source": str(picture), "rate_hz": args.rate_hz, "loop": True})
            try:
                result = receive(args.seconds)
            finally:
                stop(source)
            status = Path(f"/proc/{node.pid}/status").read_text()
            memory = {
                k: int(v.split()[0]) / 1024
                for k, _, v in (s.partition(":") for s in status.splitlines())
                if k in ("VmRSS", "VmHWM")
            }
        finally:
            stop(node)
    print(
        json.dumps(
            {
                "ready_s": round(ready_s, 2),
                "rss_mb": round(memory["VmRSS"]),
                "peak_rss_mb": round(memory["VmHWM"]),
                **result,
            }
        )
    )
    return 0


def write_picture(path: Path) -> None:
    """A 640x480 picture with one face: matplotlib's sample portrait."""
    import cv2
    import numpy as np
    from matplotlib import cbook

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        portrait = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)
    canvas = np.full((480, 640, 3), 60, np.uint8)
    canvas[:, 64:576] = portrait[:480]
    cv2.imwrite(str(path), canvas)


def start(name: str, parameters: dict[str, object]) -> subprocess.Popen[str]:
    """A node in a process of its own."""
    words = []
    for key, value in parameters.items():
        words += ["-p", f"{key}:={value if isinstance(value, str) else json.dumps(value)}"]
    command = [sys.executable, "-m", "emotion_ros", name, "--ros-args", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def stop(process: subprocess.Popen[str]) -> None:
    """Ask a node to end."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def wait_until_ready(process: subprocess.Popen[str]) -> float:
    """Seconds from the start of the process to its line "ready"."""
    begin = time.perf_counter()
    assert process.stderr is not None
    for line in process.stderr:
        if "ready" in line:
            return time.perf_counter() - begin
    raise SystemExit("the facial node ended before it was ready")


def receive(seconds: float) -> dict[str, object]:
    """Statistics of what the node publishes, after two seconds to settle."""
    import numpy as np
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from emotion_perception.msg import EmotionEstimates

    from emotion_ros.conversions import to_seconds

    rclpy.init()
    receiver = rclpy.create_node("benchmark")
    latencies: list[float] = []
    faces: list[int] = []
    reports: list[dict[str, str]] = []

    def estimates(message: EmotionEstimates) -> None:
        latencies.append(1000 * (receiver.get_clock().now().nanoseconds / 1e9 - to_seconds(message.header.stamp)))
        faces.append(len(message.estimates))

    def diagnostics(message: DiagnosticArray) -> None:
        reports.extend({item.key: item.value for item in status.values} for status in message.status)

    receiver.create_subscription(EmotionEstimates, "facial/estimates", estimates, 100)
    receiver.create_subscription(DiagnosticArray, "/diagnostics", diagnostics, 10)

    def spin(duration: float) -> None:
        end = time.perf_counter() + duration
        while time.perf_counter() < end:
            rclpy.spin_once(receiver, timeout_sec=0.05)

    while not latencies:
        spin(0.1)
    spin(2.0)
    latencies.clear()
    faces.clear()
    first = dict(reports[-1])
    begin = time.perf_counter()
    spin(seconds)
    elapsed = time.perf_counter() - begin
    last = reports[-1]
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99))
    receiver.destroy_node()
    rclpy.shutdown()
    return {
        "frames_per_s": round(len(latencies) / elapsed, 2),
        "received": int(last["received"]) - int(first["received"]),
        "dropped": int(last["dropped"]) - int(first["dropped"]),
        "with_one_face_percent": round(100 * float(np.mean(np.array(faces) == 1)), 1),
        "latency_ms": {"p50": round(p50, 1), "p95": round(p95, 1), "p99": round(p99, 1)},
        "detector": last["detector"],
        "model": last["model"],
        "provider": last["provider"],
    }


if __name__ == "__main__":
    sys.exit(main())
