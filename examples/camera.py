"""Follow faces before a camera, or in a video: each person keeps an id, and their values are smoothed over time.

python examples/camera.py            # the first camera, until Ctrl-C
python examples/camera.py clip.mp4
"""

import contextlib
import sys

from emotion_core.media.frames import open_frames
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline


def main(source: str = "0") -> None:
    """Print a line whenever what somebody shows changes."""
    pipeline = FacialPipeline(FacialConfig(smoothing_s=0.5))
    shown: dict[str, str] = {}
    with open_frames(source) as frames, contextlib.suppress(KeyboardInterrupt):
        for image, stamp_s in frames:  # time is an argument: a recording gives the same numbers every time
            for estimate in pipeline.process(image, stamp_s):
                if shown.get(estimate.track_id) != estimate.label:
                    shown[estimate.track_id] = estimate.label
                    print(f"{stamp_s:7.2f} s  person {estimate.track_id}: {estimate.label} {estimate.confidence:.0%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
