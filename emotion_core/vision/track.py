"""Follow faces from frame to frame by overlap, with ids that stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emotion_core.types import Box, Face
from emotion_core.vision.stamps import Stamps, Step

_BASELINE_S = 0.1
"""Movement is measured over at least this time: a pixel of jitter over a millisecond is no speed."""


@dataclass
class Track:
    """One person.

    Attributes:
        track_id: the person's id.
        face: where the person was at the newest time.
        seen_s: when that was.
        hits: in how many frames the person was found.
        idle_s: seconds that have passed since, in frames whose stamps were not the newest.
        velocity: of the box, in pixels per second.
    """

    track_id: str
    face: Face
    seen_s: float
    hits: int = 1
    idle_s: float = 0.0
    velocity: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        self._from, self._from_s = self.face.box.centre, self.seen_s  # where the movement is measured from
        self.latest_box = self.face.box  # of the frame that came last, which may have been a late one

    def predicted(self, stamp_s: float) -> Box:
        """Where the box should be at a time, moving on as it moved last."""
        elapsed = stamp_s - self.seen_s
        return self.face.box.moved(self.velocity[0] * elapsed, self.velocity[1] * elapsed)

    def unseen_s(self, now_s: float) -> float:
        """For how long the person has been missing, in seconds."""
        return now_s - self.seen_s + self.idle_s

    def advance(self, face: Face, stamp_s: float) -> None:
        """Take the face as the person's at a time; of a late frame, only that the person is there."""
        self.hits, self.idle_s, self.latest_box = self.hits + 1, 0.0, face.box
        if stamp_s < self.seen_s:
            return
        self.face, self.seen_s = face, stamp_s
        elapsed = stamp_s - self._from_s
        if elapsed >= _BASELINE_S:
            (x, y), (from_x, from_y) = face.box.centre, self._from
            # Half of the old velocity: a detector's jitter of a pixel is not a movement.
            self.velocity = (
                0.5 * self.velocity[0] + 0.5 * (x - from_x) / elapsed,
                0.5 * self.velocity[1] + 0.5 * (y - from_y) / elapsed,
            )
            self._from, self._from_s = (x, y), stamp_s


class IouTracker:
    """Greedy matching by intersection over union, against predicted boxes first and then against the last ones.

    Bochinski, Eiselein, Sikora: High-Speed Tracking-by-Detection Without Using Image Information. AVSS 2017; with a
    constant-velocity prediction and a memory for short gaps.

    Args:
        min_iou: least overlap of a track and a detection to be the same person.
        max_gap_s: a person unseen for longer is forgotten, and gets a new id when seen again.
        first_id: number of the next person; later ones count on from it.

    Attributes:
        min_iou, max_gap_s: may be set between two frames.
        next_id: number of the next new person. It only grows: ids are never used twice.
    """

    def __init__(self, min_iou: float = 0.3, max_gap_s: float = 0.5, first_id: int = 1) -> None:
        self.min_iou, self.max_gap_s, self.next_id = min_iou, max_gap_s, first_id
        self._stamps = Stamps()
        self._tracks: dict[str, Track] = {}

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The people who are remembered."""
        return tuple(self._tracks.values())

    def update(self, faces: Sequence[Face], stamp_s: float) -> list[Track]:
        """Match the faces of one frame; returns the track of each face, in the same order.

        Stamps may stand still: people are then matched by place alone. A stamp that lies at most ``max_gap_s`` behind
        the newest is a late frame: its faces get their ids, and nobody's place or time goes back. A larger step back
        (a bag that starts again), or late frames for longer than that, forget everybody; ids go on counting.
        """
        if self._stamps.update(stamp_s, self.max_gap_s) is Step.START:
            self._tracks.clear()
        now_s = self._stamps.newest_s
        self._tracks = {k: t for k, t in self._tracks.items() if t.unseen_s(now_s) <= self.max_gap_s}
        found: dict[int, Track] = {}
        self._match(faces, found, lambda track: track.predicted(stamp_s))
        # Whoever stands still is found where they were last, however wrong the prediction was.
        self._match(faces, found, lambda track: track.face.box)
        # In a late frame people may be where another late frame showed them.
        self._match(faces, found, lambda track: track.latest_box)
        for track in self._tracks.values():
            track.idle_s += self._stamps.idle_s
        for i, track in found.items():
            track.advance(faces[i], stamp_s)
        for i, face in enumerate(faces):
            if i not in found:
                found[i] = Track(str(self.next_id), face, stamp_s)
                self._tracks[found[i].track_id] = found[i]
                self.next_id += 1
        return [found[i] for i in range(len(faces))]

    def _match(self, faces: Sequence[Face], found: dict[int, Track], place: Callable[[Track], Box]) -> None:
        """Add to ``found`` the pairs of people and faces that are still free and overlap, the best first."""
        taken = {track.track_id for track in found.values()}
        overlaps = sorted(
            (
                (overlap, -track.hits, i, track.track_id)
                for track in self._tracks.values()
                if track.track_id not in taken
                for i, face in enumerate(faces)
                if i not in found and (overlap := place(track).iou(face.box)) >= self.min_iou
            ),
            key=lambda match: (-match[0], *match[1:]),
        )
        for _, _, i, track_id in overlaps:
            if i not in found and track_id not in taken:
                taken.add(track_id)
                found[i] = self._tracks[track_id]
