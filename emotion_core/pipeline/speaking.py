"""Whose voice it is: the face whose mouth moves with the sound."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.types import Box, EmotionEstimate, Picture

MEMORY_S = 1.0
"""How far back movements count."""

_MOUTH, _EYES = (0.2, 0.62, 0.6, 0.38), (0.2, 0.15, 0.6, 0.35)  # x, y, width, height as shares of the box
_PATCH = (32, 16)
_STAY = 1.2  # somebody else must move so many times as much to take the voice over

Loudness = Callable[[float, float], float]
"""Root mean square of the sound between two times in seconds; 0 where none is known."""


@dataclass
class _Person:
    patches: tuple[NDArray[np.float32], NDArray[np.float32]]
    stamp_s: float
    moves: deque[tuple[float, float, float]] = field(default_factory=deque)  # from, to, movement


class SpeakingFace:
    """Follows how mouths move.

    The movement of a mouth is the mean change of its pixels from one frame to the next, less that of the eyes' region,
    which a moving head changes too. It counts by how loud the sound was meanwhile. Of the last second the sum decides,
    and who has the voice keeps it until somebody moves clearly more.
    """

    def __init__(self) -> None:
        self._people: dict[str, _Person] = {}
        self._speaker = ""
        self._here: tuple[str, ...] = ()

    def reset(self) -> None:
        """Forget everybody."""
        self._people.clear()
        self._speaker, self._here = "", ()

    def update(self, image: Picture, stamp_s: float, estimates: Sequence[EmotionEstimate]) -> None:
        """See the next frame.

        Args:
            image: (H, W, 3) uint8 BGR.
            stamp_s: its time in seconds.
            estimates: of everybody in it, with their tracks.
        """
        here = {estimate.track_id: estimate.face.box for estimate in estimates if estimate.face is not None}
        self._here = tuple(here)
        self._people = {
            track: person
            for track, person in self._people.items()
            if track in here or abs(stamp_s - person.stamp_s) <= MEMORY_S
        }
        for track, box in here.items():
            patches = _patch(image, box, _MOUTH), _patch(image, box, _EYES)
            person = self._people.get(track)
            if person is None or abs(stamp_s - person.stamp_s) > MEMORY_S:
                self._people[track] = _Person(patches, stamp_s)
                continue
            if stamp_s <= person.stamp_s:
                continue  # it comes late, and changes nothing
            mouth, eyes = (float(np.abs(a - b).mean()) for a, b in zip(patches, person.patches, strict=True))
            person.moves.append((person.stamp_s, stamp_s, max(0.0, mouth - eyes)))
            while person.moves and person.moves[0][1] < stamp_s - MEMORY_S:
                person.moves.popleft()
            person.patches, person.stamp_s = patches, stamp_s

    def speaker(self, loudness: Loudness) -> str:
        """Who in the last frame seems to speak, by track; "" where no mouth moved and nobody spoke before."""
        scores = {
            track: sum(moved * loudness(start_s, end_s) for start_s, end_s, moved in self._people[track].moves)
            for track in self._here
        }
        held = self._speaker if self._speaker in scores else ""
        best = max(scores, key=lambda track: scores[track], default="")
        if not best or scores[best] <= _STAY * scores.get(held, 0.0):
            return held
        self._speaker = best
        return best


def _patch(image: Picture, box: Box, part: tuple[float, float, float, float]) -> NDArray[np.float32]:
    """(16, 32) float32: a part of a face in grey, of mean 0 and of a contrast that light does not change."""
    x, y, width, height = part
    left, top, wide, high = Box(
        box.x + x * box.width, box.y + y * box.height, width * box.width, height * box.height
    ).clamped(image.shape[1], image.shape[0])
    if wide < 2 or high < 2:
        return np.zeros(_PATCH[::-1], np.float32)
    grey = cv2.cvtColor(image[top : top + high, left : left + wide], cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, _PATCH, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray((small - small.mean()) / (small.std() + 8.0), np.float32)
