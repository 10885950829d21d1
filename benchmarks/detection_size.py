"""How many faces of photos, and of groups put together from them, a detector finds at which size, and in what time."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from emotion_core.cores import bound_opencv
from emotion_core.media.frames import pictures_in
from emotion_core.media.pictures import read_picture
from emotion_core.types import Box, Picture
from emotion_core.vision.detect import create_detector

GROUP_PX = (1920, 1280)
GROUPS = ((6, 4), (9, 6), (12, 8))
"""Columns and rows of people in a group picture."""


def main() -> None:
    """Print a table: a row for each kind of picture and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", help="folder of photos, each of one person")
    parser.add_argument("--detector", default="yunet")
    parser.add_argument("--sizes", type=int, nargs="+", default=[320, 480, 640])
    parser.add_argument("--limit", type=int, help="use only so many photos")
    args = parser.parse_args()
    bound_opencv()
    photos = [read_picture(path).image for path in pictures_in(Path(args.photos))[: args.limit]]
    detectors = [create_detector(args.detector, size) for size in args.sizes]
    print("| pictures | faces | size | found | ms a picture | time |\n| --- | --- | --- | --- | --- | --- |")
    _measure("photos of one person", [(photo, [_whole(photo)]) for photo in photos], args.sizes, detectors)
    for columns, rows in GROUPS:
        groups = [
            _group(photos[start : start + columns * rows], columns, rows)
            for start in range(0, len(photos) - columns * rows + 1, columns * rows)
        ]
        width = GROUP_PX[0] // columns
        _measure(f"groups of {columns * rows}, {width} px a person", groups, args.sizes, detectors)


def _measure(
    name: str, pictures: Sequence[tuple[Picture, list[Box]]], sizes: Sequence[int], detectors: Sequence
) -> None:
    """Each size in turn on each picture, so that whatever else the machine does meets all of them alike."""
    found, took_s = np.zeros(len(sizes), int), np.zeros((len(pictures), len(sizes)))
    for i, (picture, places) in enumerate(pictures):
        for j, detector in enumerate(detectors):
            began_s = time.perf_counter()
            faces = detector.detect(picture)
            took_s[i, j] = time.perf_counter() - began_s
            middles = [face.box.centre for face in faces]
            found[j] += sum(any(_holds(place, *middle) for middle in middles) for place in places)
    total, median_ms = sum(len(places) for _, places in pictures), np.median(took_s, axis=0) * 1e3
    for size, count, ms in zip(sizes, found, median_ms, strict=True):
        print(f"| {name} | {total} | {size} | {count / total:.1%} | {ms:.1f} | {ms / median_ms[0]:.1f} |", flush=True)


def _group(photos: Sequence[Picture], columns: int, rows: int) -> tuple[Picture, list[Box]]:
    """People in rows, and the place of each, in the middle of which the face is."""
    width, height = GROUP_PX[0] // columns, GROUP_PX[1] // rows
    canvas, places = np.zeros((GROUP_PX[1], GROUP_PX[0], 3), np.uint8), []
    for i, photo in enumerate(photos):
        x, y = i % columns * width, i // columns * height
        canvas[y : y + height, x : x + width] = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        places.append(Box(x, y, width, height))
    return canvas, places


def _whole(photo: Picture) -> Box:
    return Box(0, 0, photo.shape[1], photo.shape[0])


def _holds(place: Box, x: float, y: float) -> bool:
    return place.x <= x < place.x + place.width and place.y <= y < place.y + place.height


if __name__ == "__main__":
    main()
