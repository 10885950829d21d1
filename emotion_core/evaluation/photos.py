"""A folder of labelled photos: the largest face of each, as any network takes it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.labels import canonical
from emotion_core.media.pictures import read_picture
from emotion_core.store.card import Input
from emotion_core.types import Face, Picture
from emotion_core.vision.crop import crop_inputs
from emotion_core.vision.detect import FaceDetector

TABLE = "labels.csv"


@dataclass(frozen=True)
class Photos:
    """Photos in which a face was found.

    Attributes:
        images: (H, W, 3) uint8 each.
        faces: the largest of each.
        emotions: as the table has them, in this library's words.
        without_face: number of photos in which none was found.
        unit: of the detector, see ``FaceDetector.framing``.
    """

    images: Sequence[Picture]
    faces: Sequence[Face]
    emotions: Sequence[str]
    without_face: int
    unit: float

    def __len__(self) -> int:
        return len(self.faces)

    def sample(self, index: int, inputs: Sequence[Input]) -> tuple[NDArray[np.float32], ...]:
        """One face for each of a network's inputs, without a batch's dimension."""
        return tuple(batch[0] for batch in crop_inputs(self.images[index], [self.faces[index]], inputs, self.unit))

    def classes(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """(N,) class of each photo; raises EmotionError when a model has no such label."""
        words = [canonical(label) for label in labels]
        if lacking := sorted(set(self.emotions) - set(words)):
            raise EmotionError(f"the photos show {', '.join(lacking)}, which the model does not know")
        return np.array([words.index(emotion) for emotion in self.emotions], np.int64)


def load_photos(
    folder: str | Path, detector: FaceDetector, on_progress: Callable[[int, int], None] | None = None
) -> Photos:
    """Read a folder with a ``labels.csv`` of the columns file and emotion, and find the faces.

    Args:
        on_progress: called with the photos done, and all.

    Raises:
        EmotionError: the table or a photo is missing or malformed, or no photo shows a face.
    """
    folder = Path(folder)
    try:
        with (folder / TABLE).open(newline="", encoding="utf-8-sig") as file:
            rows = [(row["file"], canonical(row["emotion"])) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, KeyError, AttributeError, csv.Error) as error:
        raise EmotionError(f"{folder / TABLE}: expected a table with the columns file and emotion ({error})") from None
    images, faces, emotions = [], [], []
    for done, (name, emotion) in enumerate(rows, 1):
        image = read_picture(folder / name).image
        if found := detector.detect(image):
            images.append(image)
            faces.append(found[0])
            emotions.append(emotion)
        if on_progress is not None:
            on_progress(done, len(rows))
    if not faces:
        raise EmotionError(f"{folder}: no face was found in any of the {len(rows)} photos of {TABLE}")
    return Photos(images, faces, emotions, len(rows) - len(faces), detector.framing)
