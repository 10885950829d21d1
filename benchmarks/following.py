"""What following faces between searches costs in agreement, and gains in time.

    python benchmarks/following.py CLIP… [--detector yunet] [--every 1 2 3 5]

Each clip is estimated with a search in every frame and with one in every n-th. Told are the share of frames in which
the same number of people is found, the median and the least overlap of the boxes (their IoU with those of the search
in every frame), the share of the same labels, how much the box moves and resizes against its own middle over three
frames (jitter, in percent of its side), and the CPU time of a frame against that of searching in every one.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from emotion_core.media.frames import open_frames
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.types import EmotionEstimate


def estimates(clip: Path, detector: str, every: int) -> tuple[list[list[EmotionEstimate]], float]:
    """Of each frame, and the milliseconds of CPU that one takes."""
    pipeline = FacialPipeline(FacialConfig(detector=detector, detect_every=every))
    frames = open_frames(str(clip))
    found, spent = [], 0.0
    for image, stamp_s in frames:
        start = time.process_time()
        found.append(pipeline.process(image, stamp_s))
        spent += time.process_time() - start
    frames.close()
    return found, 1000 * spent / max(1, len(found))


def jitter(found: list[list[EmotionEstimate]]) -> float:
    """Median distance of a box's middle and size from the mean of its neighbours', in percent of its side."""
    moves = []
    boxes = [(e[0].track_id, e[0].face.box) if e and e[0].face else None for e in found]
    for (before, now), (_, after) in pairwise(pairwise(boxes)):
        if before and now and after and before[0] == now[0] == after[0]:
            rows = np.array([[*b.centre, b.width] for _, b in (before, now, after)])
            moves.append(np.linalg.norm(rows[1] - (rows[0] + rows[2]) / 2) / rows[1, 2])
    return 100 * float(np.median(moves)) if moves else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--detector", default="yunet")
    parser.add_argument("--every", nargs="+", type=int, default=[2, 3, 5])
    args = parser.parse_args()
    for clip in args.clips:
        base, base_ms = estimates(clip, args.detector, 1)
        print(json.dumps({"clip": clip.name, "every": 1, "frames": len(base), "jitter": round(jitter(base), 2)}))
        for every in args.every:
            found, ms = estimates(clip, args.detector, every)
            same = [(a, b) for a, b in zip(base, found, strict=True) if len(a) == len(b)]
            pairs = [(x, y) for a, b in same for x, y in zip(a, b, strict=True) if x.face and y.face]
            overlaps = [x.face.box.iou(y.face.box) for x, y in pairs if x.face and y.face]
            row = {
                "clip": clip.name,
                "every": every,
                "same_people": round(len(same) / len(base), 3),
                "iou_median": round(float(np.median(overlaps)), 3),
                "iou_least": round(min(overlaps), 3),
                "same_label": round(float(np.mean([x.label == y.label for x, y in pairs])), 3),
                "jitter": round(jitter(found), 2),
                "cpu_ratio": round(ms / base_ms, 2),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
