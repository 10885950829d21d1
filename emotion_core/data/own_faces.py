"""Faces of one's own classes: photos in a folder for each class, whose faces are cut out, and parted in two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceSet
from emotion_core.data.folder import FolderDataset, class_names, load_folder, read_picture
from emotion_core.errors import EmotionError
from emotion_core.store.card import Input
from emotion_core.store.files import user_path
from emotion_core.types import Picture
from emotion_core.vision.crop import FER2013, crop_face
from emotion_core.vision.detect import FaceDetector, create_detector

WHOLE = "whole"
"""In place of a detector: each picture shows nothing but the face."""

VALID_SHARE = 0.2
"""Of each class, where the folder has no splits of its own."""

_SPLITS = ("train", "valid")


@dataclass(frozen=True)
class OwnFaces:
    """What was found.

    Attributes:
        train, valid: the faces, as large as the network takes them, with one-hot distributions.
        no_face: paths below the folder of the pictures in which no face was found, which are left out.
        unreadable: path below the folder and reason of what is no picture.
        other_folders: folders that are none of the classes.
    """

    train: FaceSet
    valid: FaceSet
    no_face: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    other_folders: tuple[str, ...]


def load_own_faces(
    root: str | Path,
    classes: Sequence[str],
    face_input: Input,
    faces: str = "auto",
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> OwnFaces:
    """Read FOLDER/CLASS/picture, or FOLDER/train/CLASS/picture and FOLDER/valid/CLASS/picture.

    Without these two folders a fifth of each class, drawn by the seed, is what is validated on. Pictures of one person
    or of one video lie on both sides then, and the accuracy is that on people who are known.

    Args:
        root: the folder.
        classes: names of the folders that count, in the order of the network's output.
        face_input: what the network takes, of kind FACE: size, colour, and how a face is framed.
        faces: a detector, 'auto', 'yunet' or 'haar', which cuts the largest face out of each picture; 'whole' where
            the pictures are cut out already.
        on_progress: called with (pictures done, pictures to do).

    Raises:
        EmotionError: fewer than two classes, one that has no folder, or fewer faces of a class than can be parted.
    """
    root, wanted = user_path(root), _checked(classes)
    parts = [name for name in _SPLITS if (root / name).is_dir()]
    if len(parts) == 1:
        raise EmotionError(
            f"{root} has a folder {parts[0]} alone: add {_SPLITS[1 - _SPLITS.index(parts[0])]} beside it"
        )
    listed = {part: _listed(root / part, wanted) for part in parts or ("",)}
    detector = None if faces == WHOLE else create_detector(faces, detection_size=640)
    cutter = _Cutter(root, face_input, detector)
    total = sum(len(data) for data in listed.values())
    sets: dict[str, FaceSet] = {}
    for part, data in listed.items():
        sets[part] = cutter.cut(part, data, lambda done: on_progress(done, total) if on_progress else None)
        _check_counts(sets[part], root / part, cutter, faces, least=1 if part else 2)
    if parts:
        train, valid = sets["train"], sets["valid"]
    else:
        train, valid = _parted(sets[""], seed)
    others = tuple(sorted({name for part in listed for name in class_names(root / part)} - set(wanted)))
    return OwnFaces(train, valid, tuple(cutter.no_face), tuple(cutter.unreadable), others)


def _checked(classes: Sequence[str]) -> tuple[str, ...]:
    wanted = tuple(classes)
    if isinstance(classes, str) or len(wanted) < 2 or len(set(wanted)) != len(wanted) or not all(wanted):
        raise EmotionError(f"expected two classes or more, each named once, got {classes!r:.80}: such as tired,rested")
    return wanted


def _listed(folder: Path, wanted: tuple[str, ...]) -> FolderDataset:
    there = class_names(folder)
    missing = [name for name in wanted if name not in there]
    if missing:
        raise EmotionError(f"{folder} has no folder {' and '.join(missing)}: it holds {', '.join(there)}")
    data = load_folder(folder, (*wanted, *(name for name in there if name not in wanted)))
    kept = np.flatnonzero(data.targets < len(wanted))
    return FolderDataset(data.root, tuple(data.names[i] for i in kept), data.targets[kept], wanted)


class _Cutter:
    def __init__(self, root: Path, face_input: Input, detector: FaceDetector | None) -> None:
        self.root, self.face_input, self.detector = root, face_input, detector
        self.no_face: list[str] = []
        self.unreadable: list[tuple[str, str]] = []
        self._done = 0

    def cut(self, part: str, data: FolderDataset, tell: Callable[[int], None]) -> FaceSet:
        """The faces of one part, in the order of the files' names."""
        found, classes, names = [], [], []
        for name, target in zip(data.names, data.targets, strict=True):
            where = f"{part}/{name}" if part else name
            try:
                face = self._face(read_picture(data.root / name))
            except EmotionError as error:
                self.unreadable.append((where, str(error)))
            else:
                if face is None:
                    self.no_face.append(where)
                else:
                    found.append(face)
                    classes.append(int(target))
                    names.append(where)
            self._done += 1
            tell(self._done)
        side, channels = self.face_input.size, self.face_input.channels
        pixels = np.stack(found) if found else np.empty((0, *side, 3) if channels == 3 else (0, *side), np.uint8)
        targets = np.array(classes, np.int64)
        return FaceSet(pixels, np.eye(len(data.labels), dtype=np.float32)[targets], targets, tuple(names), data.labels)

    def _face(self, image: Picture) -> NDArray[np.uint8] | None:
        """As large as the network takes it, and in its number of colours; None where there is none."""
        if self.detector is None:
            # A square of the picture's area would cut an oblong one: it is squeezed, as everywhere.
            crop = np.asarray(cv2.resize(image, self.face_input.size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        else:
            seen = self.detector.detect(image)
            if not seen:
                return None
            framing = self.face_input.framing or FER2013
            crop = crop_face(image, seen[0], self.face_input.size, self.detector.framing, framing)
        return crop if self.face_input.channels == 3 else np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), np.uint8)


def _check_counts(data: FaceSet, folder: Path, cutter: _Cutter, faces: str, least: int) -> None:
    """Raise EmotionError where a class has too few faces; says what became of its pictures."""
    counts = np.bincount(data.classes, minlength=len(data.labels))
    for label, count in zip(data.labels, counts.tolist(), strict=True):
        if count >= least:
            continue
        lost = sum(f"/{label}/" in f"/{name}" for name in cutter.no_face)
        why = f"; no face was found in {lost} pictures: if they are cut out already, say --faces whole" if lost else ""
        raise EmotionError(f"{folder / label} gives {count} faces, expected at least {least}{why}")


def _parted(data: FaceSet, seed: int) -> tuple[FaceSet, FaceSet]:
    """What is learned from and what is validated on, VALID_SHARE of each class and at least one face."""
    rng = np.random.default_rng(seed)
    held: list[int] = []
    for label in range(len(data.labels)):
        of_class = rng.permutation(np.flatnonzero(data.classes == label))
        held += of_class[: max(1, round(VALID_SHARE * len(of_class)))].tolist()
    chosen = np.zeros(len(data), bool)
    chosen[held] = True
    return data.taken(np.flatnonzero(~chosen)), data.taken(np.flatnonzero(chosen))
