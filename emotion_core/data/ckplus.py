"""CK+, the extended Cohn-Kanade dataset: posed expressions from neutral to their peak, filmed in a laboratory.

    Lucey, Cohn, Kanade, Saragih, Ambadar, Matthews: The Extended Cohn-Kanade Dataset (CK+): A complete dataset for
    action unit and emotion-specified expression. CVPR Workshops 2010.

Reads the official layout: ``cohn-kanade-images/S005/001/S005_001_00000011.png`` and, for a third of the sequences,
``Emotion/S005/001/S005_001_00000011_emotion.txt`` with one number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceSet
from emotion_core.data.folder import read_picture, resize_square
from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET
from emotion_core.store.files import user_path

CODES = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sad", "surprise")
"""What the numbers of CK+ stand for, from 0."""

IMAGES, EMOTIONS = "cohn-kanade-images", "Emotion"
SIDE_PX = 96
PEAK_FRAMES = 3

Crop = Callable[[NDArray[np.uint8]], "NDArray[np.uint8] | None"]
"""From a frame, (H, W, 3) uint8 BGR, to its face, (h, w) or (h, w, 3) uint8, or None where there is none."""


@dataclass(frozen=True)
class CkPlus(FaceSet):
    """The faces of CK+ in memory: (N, 96, 96) uint8 grey, one-hot distributions in AffectNet order.

    Attributes:
        subjects: who each face is, such as S005.
        without_face: frames in which no face was found, and which are therefore not among the faces.
    """

    subjects: tuple[str, ...] = ()
    without_face: tuple[str, ...] = ()

    def folds(self, k: int = 10) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Split for cross-validation so that nobody is in both parts of a fold.

        The protocol of the literature: subjects in the order of their ids are dealt to the folds in steps of k.
        Each face is in the test part of exactly one fold. Nothing is random.

        Returns:
            k pairs (train indices, test indices), int64, ascending.

        Raises:
            EmotionError: k below 2 or above the number of subjects.
        """
        people = sorted(set(self.subjects))
        if not 2 <= k <= len(people):
            raise EmotionError(f"expected 2 to {len(people)} folds for {len(people)} subjects, got {k}")
        fold_of = {person: i % k for i, person in enumerate(people)}
        fold = np.array([fold_of[person] for person in self.subjects])
        return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(k)]


def load_ckplus(root: str | Path, crop: Crop | None = None) -> CkPlus:
    """Read all labelled sequences.

    As is common, the last three frames of a sequence carry its label and the first one is neutral; frames between
    them and sequences without a label are not used.

    Args:
        root: the folder that holds cohn-kanade-images and Emotion.
        crop: finds the face of a frame; by default OpenCV's Haar cascade and this library's framing. What it
            returns is made grey and resized to 96 x 96.

    Raises:
        EmotionError: a folder is missing, a label or a frame malformed, or no labelled face is there.
    """
    root = user_path(root)
    for name in (IMAGES, EMOTIONS):
        if not (root / name).is_dir():
            raise EmotionError(f"no CK+ data: {root / name} is missing (expected {IMAGES} and {EMOTIONS} in {root})")
    crop = crop or haar_crop()
    faces, classes, names, subjects, without = [], [], [], [], []
    for table in sorted((root / EMOTIONS).glob("S*/*/*_emotion.txt")):
        subject, sequence = table.parts[-3:-1]
        frames = _frames(root / IMAGES / subject / sequence)
        neutral, label = AFFECTNET.index("neutral"), _label(table)
        for path, target in [(frames[0], neutral), *((path, label) for path in frames[1:][-PEAK_FRAMES:])]:
            face = crop(read_picture(path))
            if face is None:
                without.append(path.name)
                continue
            grey = face if face.ndim == 2 else np.asarray(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), np.uint8)
            faces.append(resize_square(grey, SIDE_PX))
            classes.append(target)
            names.append(path.name)
            subjects.append(subject)
    if not faces:
        found = f"no face in {len(without)} frames" if without else "no labelled sequence"
        raise EmotionError(f"{root} is no usable CK+ data: {found} (expected {EMOTIONS}/S005/001/*_emotion.txt)")
    majority = np.array(classes, np.int64)
    distributions = np.eye(len(AFFECTNET), dtype=np.float32)[majority]
    return CkPlus(
        np.stack(faces), distributions, majority, tuple(names), subjects=tuple(subjects), without_face=tuple(without)
    )


def haar_crop() -> Crop:
    """The largest face that the Haar cascade finds, framed as the networks of this library expect it."""
    from emotion_core.vision.crop import crop_face
    from emotion_core.vision.detect import create_detector

    detector = create_detector("haar", detection_size=640)

    def crop(image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        found = detector.detect(image)
        return crop_face(image, found[0], SIDE_PX, detector.framing) if found else None

    return crop


def _frames(folder: Path) -> list[Path]:
    """All frames of a sequence in their order; at least two."""
    frames = sorted(path for path in folder.glob("*.png") if re.fullmatch(r"S\d+_\d+_\d+", path.stem))
    if len(frames) < 2:
        raise EmotionError(f"{folder}: expected the frames of a labelled sequence, found {len(frames)}")
    return frames


def _label(table: Path) -> int:
    """Index in AffectNet order of the number in a label file."""
    text = table.read_text(errors="replace").strip()
    try:
        code = float(text)
    except ValueError:
        code = math.nan
    if code not in range(len(CODES)):
        raise EmotionError(f"{table}: expected a label of 0 to {len(CODES) - 1}, got {text[:40]!r}")
    return AFFECTNET.index(CODES[int(code)])
