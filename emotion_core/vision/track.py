"""Follow faces from frame to frame by overlap, with ids that stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emotion_core.types import Box, Face


@dataclass
class Track:
    """One person. ``face`` is where it was last seen, at ``seen_s``; ``velocity`` is in pixels per second."""

    track_id: str
    face: Face
    seen_s: float
    hits: int = 1
    velocity: tuple[float, float] = (0.0, 0.0)

    def predicted(self, stamp_s: float) -> Box:
        """Where the box should be at a time, moving on as it moved last."""
        elapsed = stamp_s - self.seen_s
        return self.face.box.moved(self.velocity[0] * elapsed, self.velocity[1] * elapsed)


class IouTracker:
    """Greedy matching by intersection over union against predicted boxes.

    Bochinski, Eiselein, Sikora: High-Speed Tracking-by-Detection Without Using Image Information. AVSS 2017; with a
    constant-velocity prediction and a memory for short gaps.

    Args:
        min_iou: least overlap of a track and a detection to be the same person.
        max_gap_s: a person unseen for longer is forgotten, and gets a new id when seen again.
    """

    def __init__(self, min_iou: float = 0.3, max_gap_s: float = 0.5) -> None:
        self._min_iou, self._max_gap_s = min_iou, max_gap_s
        self._tracks: dict[str, Track] = {}
        self._next, self._last_s = 1, float("-inf")

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The people who are remembered."""
        return tuple(self._tracks.values())

    def update(self, faces: Sequence[Face], stamp_s: float) -> list[Track]:
        """Match the faces of one frame; returns the track of each face, in the same order.

        Time that runs backwards (a bag that starts again) forgets everybody; ids go on counting.
        """
        if stamp_s < self._last_s:
            self._tracks.clear()
        self._last_s = stamp_s
        self._tracks = {k: t for k, t in self._tracks.items() if stamp_s - t.seen_s <= self._max_gap_s}
        overlaps = sorted(
            (
                (overlap, track_id, i)
                for track_id, track in self._tracks.items()
                for i, face in enumerate(faces)
                if (overlap := track.predicted(stamp_s).iou(face.box)) >= self._min_iou
            ),
            key=lambda match: (-match[0], match[1], match[2]),
        )
        found: dict[int, Track] = {}
        taken: set[str] = set()
        for _, track_id, i in overlaps:
            if i not in found and track_id not in taken:
                taken.add(track_id)
                found[i] = self._advance(self._tracks[track_id], faces[i], stamp_s)
        for i, face in enumerate(faces):
            if i not in found:
                found[i] = Track(str(self._next), face, stamp_s)
                self._tracks[found[i].track_id] = found[i]
                self._next += 1
        return [found[i] for i in range(len(faces))]

    @staticmethod
    def _advance(track: Track, face: Face, stamp_s: float) -> Track:
        elapsed = stamp_s - track.seen_s
        if elapsed > 0:
            (x0, y0), (x1, y1) = track.face.box.centre, face.box.centre
            # Half of the old velocity: a detector's jitter of a pixel is not a movement.
            track.velocity = tuple(  # type: ignore[assignment]
                0.5 * old + 0.5 * (new - was) / elapsed
                for old, new, was in zip(track.velocity, (x1, y1), (x0, y0), strict=True)
            )
        track.face, track.seen_s, track.hits = face, stamp_s, track.hits + 1
        return track
