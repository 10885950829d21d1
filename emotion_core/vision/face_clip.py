"""One face in successive frames: which frames, whose face, cut out alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from emotion_core.store.card import Framing
from emotion_core.types import Face, Picture
from emotion_core.vision.crop import crop_face
from emotion_core.vision.detect import FaceDetector

GRID_HZ = 30.0
"""Rate of the videos from whose frames the published audiovisual network was made."""

BOX = Framing("box")


def frame_offsets(window_s: float, frames: int, rate_hz: float = GRID_HZ) -> NDArray[np.float64]:
    """(frames,) seconds from the beginning of a window: the middle of each of its equal parts, on the grid of a rate.

    3.6 s, 15 frames and 30 Hz give the published frames 3, 10, 17, 24, 31, 39, … 103.
    """
    total = round(window_s * rate_hz)
    return np.array([(i * total // frames + total // (2 * frames)) / rate_hz for i in range(frames)])


def pick_frames(
    timed: Iterable[tuple[Picture, float]], wanted_s: Sequence[float] | NDArray[np.float64], tolerance_s: float
) -> list[Picture | None]:
    """The frame nearest in time to each wanted moment, whatever rate the frames come at.

    Args:
        timed: pictures with their times in seconds, which increase; read no further than necessary.
        wanted_s: moments in seconds, which do not decrease.
        tolerance_s: so long a frame stands for the time before the first and after the last one. Beyond it there is
            no picture. Between two frames the picture stands still, however far they are apart.

    Returns:
        A picture, or None, for each moment.
    """
    picked: list[Picture | None] = []
    before: tuple[Picture, float] | None = None
    for image, time_s in timed:
        while len(picked) < len(wanted_s) and wanted_s[len(picked)] <= time_s:
            moment = wanted_s[len(picked)]
            if before is not None and moment - before[1] <= time_s - moment:
                picked.append(before[0])
            else:
                picked.append(image if before is not None or time_s - moment <= tolerance_s else None)
        before = image, time_s
        if len(picked) == len(wanted_s):
            break
    for moment in wanted_s[len(picked) :]:
        picked.append(before[0] if before is not None and moment - before[1] <= tolerance_s else None)
    return picked


def follow_face(images: Sequence[Picture | None], detector: FaceDetector) -> list[Face | None]:
    """The same person's face in every picture: first the largest, then whichever overlaps most with the last one.

    Where the face is not found, it is taken to be where the nearest picture shows it. None without a picture, and
    everywhere when no picture shows a face.
    """
    found: dict[int, Face] = {}
    last: Face | None = None
    for i, image in enumerate(images):
        faces = [] if image is None else detector.detect(image)
        if faces:
            overlaps = [0.0 if last is None else last.box.iou(face.box) for face in faces]
            last = found[i] = faces[int(np.argmax(overlaps))]  # the largest comes first, and wins where none overlaps
    if not found:
        return [None] * len(images)
    near = [min(found, key=lambda k, i=i: abs(k - i)) for i in range(len(images))]  # type: ignore[misc]
    return [None if image is None else found[k] for image, k in zip(images, near, strict=True)]


def cut_clip(
    images: Sequence[Picture | None], faces: Sequence[Face | None], size: int, unit: float, framing: Framing = BOX
) -> NDArray[np.uint8]:
    """The face in every picture, as the audiovisual network takes it.

    Args:
        images, faces: of equal length.
        size: side of each frame in pixels.
        unit: of the detector that found the faces, see ``FaceDetector.framing``.
        framing: how a face is cut out.

    Returns:
        (3, frames, size, size) uint8, BGR; black where there is no picture or no face.
    """
    clip = np.zeros((3, len(images), size, size), np.uint8)
    for i, (image, face) in enumerate(zip(images, faces, strict=True)):
        if image is not None and face is not None:
            clip[:, i] = crop_face(image, face, size, unit, framing).transpose(2, 0, 1)
    return clip
