"""The facial node as a robot sees it: start-up time, memory, frames, latency over DDS and CPU time on this machine.

Protocol: the node and a source that publishes a 640x480 picture with one face at 30 Hz run as processes of their own;
this process receives the estimates. Latency runs from the image's stamp to the receipt of its estimate. Nobody
subscribes to the overlay, but for every other second with --overlay, where one more process does: the same run then
tells what the overlay adds to the latency. Before the source starts, idle_percent is the node's share of a core while
nothing comes; at the end, stop_s is from SIGTERM, in the middle of the stream, to the end of the node. Afterwards the
same pictures go through the pipeline alone in this process, at the same pace: node_ms is from the arrival of an image
to its estimate, as the node itself reports it, and overhead_ms is what the node adds to the pipeline. Last,
plain_loop_ms is how long a loop that only counts takes, at the same pace, with nothing else running: on a machine whose
host holds it up now and then, no program's 99th percentile is nearer to its median than that. Run it on an idle
machine.
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
from collections.abc import Callable
from pathlib import Path

from emotion_ros.process.domains import free_domain
from emotion_ros.views.overlay import OverlayConfig

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Measure and print a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate-hz", type=float, default=30.0)
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--faces", type=int, default=1, help="in the picture (default: %(default)s)")
    parser.add_argument("--size", default="640x480", metavar="WxH", help="of the picture (default: %(default)s)")
    parser.add_argument("--overlay", choices=("raw", "compressed"), help="have it looked at every other second")
    parser.add_argument(
        "--overlay-size",
        type=int,
        default=OverlayConfig.overlay_size,
        metavar="PX",
        help="the node's overlay_size; 0 for the picture's own (default: %(default)s)",
    )
    args = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", str(free_domain()))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):  # Fast DDS 2, Fast DDS 3
        os.environ.setdefault(name, str(ROOT / "config" / "fastdds_shm.xml"))
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "face.png"
        width, height = map(int, args.size.split("x"))
        write_picture(picture, width, height, args.faces)
        node = start("facial", {"detector": args.detector, "overlay_size": args.overlay_size})
        try:
            ready_s = wait_until_ready(node)
            time.sleep(1.0)
            idle_percent = 100 * cpu_seconds(node, 5.0) / 5.0
            source = start("source", {"source": str(picture), "rate_hz": args.rate_hz, "loop": True})
            try:
                result = receive(args.seconds, args.overlay, node)
                status = Path(f"/proc/{node.pid}/status").read_text()
                stop_s = stop(node, signal.SIGTERM)
            finally:
                stop(source)
        finally:
            stop(node)
        alone_ms = pipeline_alone(picture, args.detector, args.rate_hz)
    plain_ms = plain_loop(args.rate_hz)
    memory = {
        k: int(v.split()[0]) / 1024
        for k, _, v in (s.partition(":") for s in status.splitlines())
        if k in ("VmRSS", "VmHWM")
    }
    node_ms = result["node_ms"]
    assert isinstance(node_ms, float)
    print(
        json.dumps(
            {
                "ready_s": round(ready_s, 2),
                "rss_mb": round(memory["VmRSS"]),
                "peak_rss_mb": round(memory["VmHWM"]),
                "idle_percent": round(idle_percent, 2),
                "stop_s": round(stop_s, 2),
                **result,
                "pipeline_ms": round(alone_ms, 2),
                "overhead_ms": round(node_ms - alone_ms, 2),
                "plain_loop_ms": percentiles(plain_ms),
            }
        )
    )
    return 0


def write_picture(path: Path, width: int, height: int, faces: int = 1) -> None:
    """A picture of so many faces, matplotlib's sample portrait, in a grid and each as high as its row."""
    import math

    import cv2
    import numpy as np
    from matplotlib import cbook

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        portrait = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)
    columns = math.ceil(math.sqrt(faces))
    wide, high = width // columns, height // columns
    canvas = np.full((height, width, 3), 60, np.uint8)
    part = cv2.resize(portrait[:480], None, fx=high / 480, fy=high / 480)[:high, :wide]
    for index in range(faces):
        top, left = index // columns * high, index % columns * wide + (wide - part.shape[1]) // 2
        canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    cv2.imwrite(str(path), canvas)


def cpu_seconds(process: subprocess.Popen[str], duration_s: float) -> float:
    """How much a process computes in the next seconds."""
    before = cpu_so_far(process)
    time.sleep(duration_s)
    return cpu_so_far(process) - before


def cpu_so_far(process: subprocess.Popen[str]) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pipeline_alone(picture: Path, detector: str, rate_hz: float, count: int = 300) -> float:
    """Median milliseconds of the pipeline for a frame."""
    import cv2
    import numpy as np

    from emotion_core.pipeline.facial import FacialConfig, FacialPipeline

    image = cv2.imread(str(picture))
    assert image is not None
    pipeline = FacialPipeline(FacialConfig(detector=detector))
    took: list[float] = []
    for index in range(count):
        frame = image.copy()
        began_s = time.perf_counter()
        pipeline.process(frame, index / rate_hz)
        took.append(time.perf_counter() - began_s)
        time.sleep(max(0.0, 1 / rate_hz - took[-1]))
    return 1000 * float(np.median(took[30:]))


def plain_loop(rate_hz: float, count: int = 300) -> list[float]:
    """Milliseconds of each of so many loops that only count."""
    took: list[float] = []
    for _ in range(count):
        began_s = time.perf_counter()
        for _ in range(60_000):
            pass
        took.append(1000 * (time.perf_counter() - began_s))
        time.sleep(max(0.0, 1 / rate_hz - took[-1] / 1000))
    return took


def percentiles(values: list[float]) -> dict[str, float]:
    """The usual three, in the unit of the values."""
    import numpy as np

    return {f"p{p}": round(float(np.percentile(values, p)), 1) for p in (50, 95, 99)}


class Viewer:
    """A process that subscribes to the overlay, as RViz does, while it is told to look."""

    PROGRAM = """
import sys, threading
import rclpy
from sensor_msgs.msg import CompressedImage, Image

rclpy.init()
node = rclpy.create_node("viewer")
raw = sys.argv[1] == "raw"
kind, topic = (Image, "facial/overlay") if raw else (CompressedImage, "facial/overlay/compressed")
spinning = threading.Thread(target=rclpy.spin, args=(node,))
spinning.start()
for _ in sys.stdin:
    seen = []
    looking = node.create_subscription(kind, topic, seen.append, 1, raw=True)
    sys.stdin.readline()
    node.destroy_subscription(looking)
    print(len(seen), flush=True)
rclpy.shutdown()
spinning.join()
"""

    def __init__(self, what: str) -> None:
        command = [sys.executable, "-c", self.PROGRAM, what]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self) -> None:
        """Look, or look away."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def seen(self) -> int:
        """How many overlays came before it looked away."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def start(name: str, parameters: dict[str, object]) -> subprocess.Popen[str]:
    """A node in a process of its own."""
    words = []
    for key, value in parameters.items():
        words += ["-p", f"{key}:={value if isinstance(value, str) else json.dumps(value)}"]
    command = [sys.executable, "-m", "emotion_ros", name, "--ros-args", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def stop(process: subprocess.Popen[str], number: int = signal.SIGINT) -> float:
    """Ask a node to end; returns how many seconds that took."""
    began_s = time.perf_counter()
    process.send_signal(number)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
    return time.perf_counter() - began_s


def wait_until_ready(process: subprocess.Popen[str]) -> float:
    """Seconds from the start of the process to its line "ready"."""
    begin = time.perf_counter()
    assert process.stderr is not None
    for line in process.stderr:
        if "ready" in line:
            return time.perf_counter() - begin
    raise SystemExit("the facial node ended before it was ready")


def receive(seconds: float, overlay: str | None, node: subprocess.Popen[str]) -> dict[str, object]:
    """Statistics of what the node publishes, after two seconds to settle."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from emotion_perception.msg import EmotionEstimates

    from emotion_ros.messages.conversions import to_seconds

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
    begin, computed_s = time.perf_counter(), cpu_so_far(node)
    looks: dict[str, object] = {}
    if overlay:
        looks = look_now_and_then(seconds, overlay, spin, latencies)
    else:
        spin(seconds)
    elapsed, computed_s = time.perf_counter() - begin, cpu_so_far(node) - computed_s
    last = reports[-1]
    receiver.destroy_node()
    rclpy.shutdown()
    return {
        "frames_per_s": round(len(latencies) / elapsed, 2),
        "received": int(last["received"]) - int(first["received"]),
        "dropped": int(last["dropped"]) - int(first["dropped"]),
        "faces": {str(count): faces.count(count) for count in sorted(set(faces))},
        "latency_ms": percentiles(latencies),
        "node_ms": float(last["latency_p50_ms"]),
        "cpu_ms_per_frame": round(1000 * computed_s / len(latencies), 2),
        "detector": last["detector"],
        "model": last["model"],
        "provider": last["provider"],
        **looks,
    }


def look_now_and_then(
    seconds: float,
    overlay: str,
    spin: Callable[[float], None],
    latencies: list[float],
) -> dict[str, object]:
    """The latencies of seconds in which somebody looks at the overlay, and of those between them.

    A quarter of a second after each change does not count.
    """
    viewer = Viewer(overlay)
    found: tuple[list[float], list[float]] = ([], [])
    seen, looked_s = 0, 0.0
    viewer.turn()  # until it has found the node
    spin(3.0)
    viewer.turn()
    viewer.seen()
    for turn in range(max(2, 2 * round(seconds / 2))):
        looking = turn % 2
        if looking:
            viewer.turn()
        spin(0.25)
        start, begin = len(latencies), time.perf_counter()
        spin(0.75)
        found[looking].extend(latencies[start:])
        looked_s += looking * (time.perf_counter() - begin + 0.25)
        if looking:
            viewer.turn()
            seen += viewer.seen()
    viewer.close()
    away, there = (percentiles(values) for values in found)
    return {
        "latency_ms_without_overlay": away,
        "latency_ms_with_overlay": there,
        "ratio": {name: round(there[name] / away[name], 3) for name in away},
        "overlay": overlay,
        "overlays_per_s": round(seen / looked_s, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
