"""What do the faces in a picture show?

python examples/picture.py photo.jpg
"""

import sys

from emotion_core.media.pictures import read_picture
from emotion_core.pipeline.still import StillPipeline


def main(path: str) -> None:
    """Print a line for each face, the largest first."""
    pipeline = StillPipeline()  # the bundled model; YuNet where it was downloaded, else OpenCV's Haar cascade
    for estimate in pipeline.process(read_picture(path).image):
        box = estimate.face.box
        x, y, width, height = map(round, (box.x, box.y, box.width, box.height))
        print(f"{estimate.label} {estimate.confidence:.0%} at {x},{y} {width}x{height}")


if __name__ == "__main__":
    main(*sys.argv[1:])
