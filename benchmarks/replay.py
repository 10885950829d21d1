"""How fast `emotion replay` is: a bag of one face at 640x480 and 30 Hz, as a multiple of the time it was recorded in.

Protocol: matplotlib's sample portrait, panned and zoomed for so many seconds (emotion_core/media/clip.py), is written
into an MCAP bag as raw images and as JPEG. Each bag is then replayed as `emotion replay --output` does it, the best of
several rounds; the models are loaded before. Printed are the multiple of real time, the CPU time of each frame and what
of it is reading and decoding, and the machine's load. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from emotion_core.media.bag_messages import Messages
from emotion_core.media.bag_writer import BagWriter
from emotion_core.media.bags import BagReader
from emotion_core.media.clip import RATE_HZ, sample_photo, window
from emotion_core.pipeline.facial import FacialConfig
from emotion_core.recording.estimate_bag import EstimateBag
from emotion_core.recording.replay import make_pipeline, model_of, replay

START_NS = 1_700_000_000_000_000_000


def main() -> int:
    """Measure and print a JSON line for each kind of bag."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--detect-every", type=int, default=FacialConfig.detect_every)
    parser.add_argument("--threads", type=int, default=FacialConfig.threads)
    args = parser.parse_args()
    config = FacialConfig(detector=args.detector, detect_every=args.detect_every, threads=args.threads)
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("raw", "jpeg"):
            bag = write_bag(Path(folder, f"{kind}.mcap"), args.seconds, kind)
            rounds = [measure(bag, config, Path(folder, "out.mcap")) for _ in range(args.rounds)]
            best = max(rounds, key=lambda result: float(str(result["times_real_time"])))
            print(json.dumps({"images": kind, **best, "load": round(os.getloadavg()[0], 1)}), flush=True)
    return 0


def write_bag(path: Path, seconds: float, kind: str) -> Path:
    """The bag."""
    photo = sample_photo()
    with BagWriter(path) as writer:
        make = Messages(writer.store)
        for index in range(round(seconds * RATE_HZ)):
            stamp_ns = START_NS + round(index * 1e9 / RATE_HZ)
            build = make.image if kind == "raw" else make.compressed
            picture = window(photo, index / RATE_HZ)
            writer.write("/camera/image", build(picture, make.header(stamp_ns, "camera")), stamp_ns)
    return path


def measure(bag: Path, config: FacialConfig, out: Path) -> dict[str, object]:
    """One round."""
    with BagReader(bag) as reader:
        began_cpu_s = time.process_time()
        frames = sum(1 for _ in reader)
        reading_s = time.process_time() - began_cpu_s
        first_ns, last_ns = reader.span_ns
    pipeline = make_pipeline(config)
    with BagReader(bag) as reader, EstimateBag(out, "/facial/estimates") as writer:
        began_s, began_cpu_s, faces = time.perf_counter(), time.process_time(), 0
        for step in replay(reader, pipeline):
            writer.add(step)
            faces += len(step.estimates)
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    model, detector = model_of(pipeline)
    return {
        "model": model,
        "detector": detector,
        "frames": frames,
        "faces": faces,
        "times_real_time": round((last_ns - first_ns) / 1e9 / took_s, 1),
        "frames_per_s": round(frames / took_s, 1),
        "cpu_ms_per_frame": round(1e3 * cpu_s / frames, 2),
        "of_which_reading_ms": round(1e3 * reading_s / frames, 2),
    }


if __name__ == "__main__":
    sys.exit(main())
