"""Faces and voices of the same class, brought together at random.

No data here shows and sounds the same person at the same moment. So what is measured on pairs is how two independent
opinions about one class go together, and not how people really look and sound at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.data.clip_files import ClipSpec, load_sound
from emotion_core.data.clips import PER_VOICE, ClipDataset
from emotion_core.data.dataset import FaceDataset
from emotion_core.data.voices import Voices
from emotion_core.errors import EmotionError
from emotion_core.labels import canonical, meaning


@dataclass(frozen=True)
class Pairs:
    """Which face goes with which voice.

    Attributes:
        faces, voices: (N,) int64 indices into the two datasets.
        face_classes, voice_classes: (N,) int64 indices of ``labels``; they differ where senses contradict each other.
        labels: the classes that both have, in the order of the faces'.
    """

    faces: NDArray[np.int64]
    voices: NDArray[np.int64]
    face_classes: NDArray[np.int64]
    voice_classes: NDArray[np.int64]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.faces)


def draw_pairs(
    faces: FaceDataset, voices: Voices, per_voice: int = PER_VOICE, seed: int = 0, conflicting: bool = False
) -> Pairs:
    """Every voice with some faces, drawn at random without regard to anything but the class.

    Args:
        faces, voices: what to draw from.
        per_voice: faces for each voice.
        seed: decides all.
        conflicting: faces of another class, drawn class first, in place of the same.

    Raises:
        EmotionError: there is no class that both have.
    """
    face_words = [canonical(name) for name in faces.labels]
    voice_words = [meaning(name) for name in voices.labels]
    labels = tuple(name for name, word in zip(faces.labels, face_words, strict=True) if word in voice_words)
    words = [canonical(name) for name in labels]
    place = {i: words.index(word) for i, word in enumerate(face_words) if word in words}
    by_class = [np.flatnonzero(np.asarray(faces.targets) == i) for i in sorted(place, key=lambda k: place[k])]
    if len(labels) < 2 or any(not len(found) for found in by_class):
        raise EmotionError(
            f"faces ({', '.join(faces.labels)}) and voices ({', '.join(voices.labels)}) need two classes in common"
        )
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, int, int, int]] = []
    for index, voice_class in enumerate(voices.targets):
        if voice_words[voice_class] not in words:
            continue
        own = words.index(voice_words[voice_class])
        for _ in range(per_voice):
            chosen = own
            if conflicting:
                chosen = int(rng.choice([k for k in range(len(words)) if k != own]))
            rows.append((int(rng.choice(by_class[chosen])), index, chosen, own))
    columns = np.array(rows, np.int64).reshape(-1, 4)
    return Pairs(columns[:, 0], columns[:, 1], columns[:, 2], columns[:, 3], labels)


class PairClips(ClipDataset):
    """Pairs as clips: the face, which hardly moves, in every frame, and the features of the voice.

    Args:
        faces, voices: see ``draw_pairs``.
        pairs: which go together.
        spec: what a clip holds.
        sway: how far the face moves during the clip, as a share of its side; as a detector's boxes do.
        seed: decides the movements.
    """

    def __init__(
        self, faces: FaceDataset, voices: Voices, pairs: Pairs, spec: ClipSpec, sway: float = 0.03, seed: int = 0
    ) -> None:
        self.faces, self.voices, self.pairs, self.spec = faces, voices, pairs, spec
        self.sway, self.seed = sway, seed
        self.labels = pairs.labels
        self._sounds: dict[int, NDArray[np.float32]] = {}

    @property
    def targets(self) -> NDArray[np.int64]:
        """(N,) int64, the face's class, which is the voice's but in conflicting pairs."""
        return self.pairs.face_classes

    def sound(self, index: int) -> NDArray[np.float32]:
        """Of one; kept, for a voice has many faces."""
        voice = int(self.pairs.voices[index])
        if voice not in self._sounds:
            self._sounds[voice] = load_sound(self.voices.path(voice), self.spec)
        return self._sounds[voice]

    def clip(self, index: int) -> NDArray[Any]:
        """Of one."""
        face = self.faces.face(int(self.pairs.faces[index]))
        colour = cv2.cvtColor(face, cv2.COLOR_GRAY2BGR) if face.ndim == 2 else face
        return still_clip(np.asarray(colour, np.uint8), self.spec, self.sway, np.random.default_rng([self.seed, index]))

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[Any], int]:
        """Sound, clip and class."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        index %= len(self)
        return self.sound(index), self.clip(index), int(self.targets[index])


def still_clip(face: NDArray[np.uint8], spec: ClipSpec, sway: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 -> (3, frames, size, size): the face on a slow path of its own."""
    times = np.linspace(0, 1, spec.frames)
    turns, phases = rng.uniform(0.5, 1.5, 3), rng.uniform(0, 2 * np.pi, 3)
    x, y, zoom = sway * np.sin(2 * np.pi * turns[:, None] * times + phases[:, None])
    size, height, width = spec.size, *face.shape[:2]
    clip = np.empty((3, spec.frames, size, size), np.uint8)
    for i in range(spec.frames):
        scale = size * (1 + zoom[i])
        matrix = np.array(
            [
                [scale / width, 0, size * (0.5 + x[i]) - scale / 2 + scale / width / 2 - 0.5],
                [0, scale / height, size * (0.5 + y[i]) - scale / 2 + scale / height / 2 - 0.5],
            ]
        )
        frame = cv2.warpAffine(face, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        clip[:, i] = frame.transpose(2, 0, 1)
    return clip
