"""Estimates sorted by person, and the stretches of time in which a person was there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emotion_core.types import EmotionEstimate

_PAUSE = 2.5
"""A distance of more than this many usual ones is a pause, not jitter."""


@dataclass(frozen=True)
class Person:
    """Everything about one track, N estimates in the order of time.

    Attributes:
        name: for people to read.
        labels: C labels that occur, in the order of the first estimate.
        times: (N,) seconds, increasing strictly.
        probabilities: (N, C).
        winners: (N,) index of the predicted label.
        affect: (N, 2) valence and arousal, NaN where there is none.
    """

    name: str
    labels: tuple[str, ...]
    times: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    winners: NDArray[np.int64]
    affect: NDArray[np.float64]


@dataclass(frozen=True)
class Span:
    """An unbroken stretch: the person's estimates ``first`` to ``last``, inclusive, at ``times``."""

    first: int
    last: int
    times: NDArray[np.float64]


def people(rows: Sequence[EmotionEstimate]) -> list[Person]:
    """Estimates by track, the person with the most of them first, then the one who came first."""
    tracks: dict[str, dict[float, EmotionEstimate]] = {}
    for row in rows:
        track = tracks.setdefault(row.track_id, {})
        # Without tracking several people share the empty id: the largest face stands for them.
        if row.stamp_s not in track or _area(row) > _area(track[row.stamp_s]):
            track[row.stamp_s] = row
    order = sorted(tracks.items(), key=lambda item: (-len(item[1]), min(item[1])))
    return [_person(track_id, [track[t] for t in sorted(track)]) for track_id, track in order]


def _area(row: EmotionEstimate) -> float:
    return 0.0 if row.face is None else row.face.box.area


def _person(track_id: str, rows: Sequence[EmotionEstimate]) -> Person:
    labels = tuple(dict.fromkeys(label for row in rows for label in row.labels))
    probabilities = np.zeros((len(rows), len(labels)))
    for i, row in enumerate(rows):
        probabilities[i, [labels.index(label) for label in row.labels]] = row.probabilities
    return Person(
        name=f"person {track_id}" if track_id else "untracked",
        labels=labels,
        times=np.array([row.stamp_s for row in rows]),
        probabilities=probabilities,
        winners=np.array([labels.index(row.label) for row in rows]),
        affect=np.array([(row.valence, row.arousal) for row in rows], float),
    )


def period_s(stamps: NDArray[np.float64]) -> float:
    """The usual distance of sorted stamps in seconds; 0.1 when there are fewer than two."""
    return float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.1


def spans(person: Person, stamps: NDArray[np.float64], period: float) -> list[Span]:
    """Where the person was there without a break.

    Args:
        person: who.
        stamps: (F,) seconds, sorted: all frames. One without the person is a break, and so is a long pause.
        period: the usual distance of the frames in seconds.
    """
    index = np.searchsorted(stamps, person.times)
    broken = (np.diff(index) > 1) | (np.diff(person.times) > _PAUSE * period)
    cuts = [0, *(np.flatnonzero(broken) + 1).tolist(), len(person.times)]
    return [Span(a, b - 1, person.times[a:b]) for a, b in pairwise(cuts)]
