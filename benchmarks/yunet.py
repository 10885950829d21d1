"""How fast YuNet searches a picture in ONNX Runtime, as here, and in OpenCV.

Protocol: matplotlib's sample portrait, one thread, both in turns, the median of so many searches each; the same faces
are found. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from node import write_picture

from emotion_core.store.finding import KNOWN_FILES, find_file
from emotion_core.vision.yunet import YunetDetector


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="320x240", metavar="WxH", help="of the picture (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=100)
    args = parser.parse_args()
    path = next(filter(None, map(find_file, KNOWN_FILES)), None)
    if path is None:
        sys.exit("there is no YuNet: emotion download yunet")
    width, height = map(int, args.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        write_picture(Path(folder, "face.png"), width, height)
        image = cv2.imread(str(Path(folder, "face.png")))
    assert image is not None
    cv2.setNumThreads(1)
    ours = YunetDetector(path, max(width, height))
    theirs = cv2.FaceDetectorYN.create(str(path), "", (width, height), 0.7)
    if len(ours.detect(image)) != 1 or len(theirs.detect(image)[1]) != 1:
        sys.exit("expected both to find the face")
    took_ms: dict[str, list[float]] = {ours.engine: [], "OpenCV's own": []}
    for _ in range(args.runs):
        for name, search in zip(took_ms, (ours.detect, theirs.detect), strict=True):
            began_s = time.perf_counter()
            search(image)
            took_ms[name].append(1000 * (time.perf_counter() - began_s))
    for name, values in took_ms.items():
        print(f"{name}: {np.median(values):.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
