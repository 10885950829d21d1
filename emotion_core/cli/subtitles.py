"""Subtitles of a video: what each person shows, in spans that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.plots.spans import period_s
from emotion_core.store.files import atomic_write, cannot_write
from emotion_core.types import EmotionEstimate

MIN_S = 0.7
"""Whatever lasts shorter belongs to what was shown before: nobody reads a word in less."""
MAX_GAP_S = 0.5
"""A person who is away for longer begins a new cue."""


@dataclass
class Cue:
    """One person with one label from ``start_s`` to ``end_s``, and the confidences of the frames that showed it."""

    who: str
    label: str
    start_s: float
    end_s: float
    confidences: list[float] = field(default_factory=list)


class Subtitles:
    """Collects the estimates of frame after frame, in the order of time."""

    def __init__(self) -> None:
        self._stamps: list[float] = []
        self._rows: dict[str, list[tuple[float, str, float]]] = {}

    def add(self, stamp_s: float, estimates: Sequence[EmotionEstimate]) -> None:
        """Take the estimates of a frame at a time in seconds from the start."""
        self._stamps.append(stamp_s)
        for estimate in estimates:
            who = f"person {estimate.track_id}" if estimate.face is not None else "voice"
            self._rows.setdefault(who, []).append((stamp_s, estimate.label, estimate.confidence))

    def cues(self) -> list[Cue]:
        """All cues, those that begin first first; those of one person never overlap."""
        period = period_s(np.array(self._stamps))
        found = [cue for who, rows in self._rows.items() for cue in _cues(who, rows, period)]
        return sorted(found, key=lambda cue: (cue.start_s, cue.who))

    def write(self, path: Path) -> None:
        """Write as SubRip (.srt), UTF-8; the file is whole or absent."""
        cues = self.cues()
        alone = len({cue.who for cue in cues}) == 1
        blocks = []
        for number, cue in enumerate(cues, 1):
            text = f"{cue.label} {np.mean(cue.confidences):.0%}"
            spans = f"{_clock(cue.start_s)} --> {_clock(cue.end_s)}"
            blocks.append(f"{number}\n{spans}\n{text if alone else f'{cue.who}: {text}'}\n")
        try:
            with atomic_write(path) as temporary:
                temporary.write_text("\n".join(blocks), encoding="utf-8")
        except OSError as error:
            raise EmotionError(cannot_write(path, error)) from None


def _cues(who: str, rows: Sequence[tuple[float, str, float]], period: float) -> list[Cue]:
    """One person's cues; a frame's estimate holds until the next frame."""
    stretches: list[list[Cue]] = []
    for stamp_s, label, confidence in rows:
        if not stretches or stamp_s - stretches[-1][-1].end_s > MAX_GAP_S:
            stretches.append([])
        runs = stretches[-1]
        if runs:
            runs[-1].end_s = stamp_s
        if not runs or runs[-1].label != label:
            runs.append(Cue(who, label, stamp_s, stamp_s))
        runs[-1].end_s = stamp_s + period
        runs[-1].confidences.append(confidence)
    return [cue for runs in stretches for cue in _calmed(runs)]


def _calmed(runs: list[Cue]) -> list[Cue]:
    """Runs that follow each other without those too short to read; none where the person was gone before."""
    long_ones = [run for run in runs if run.end_s - run.start_s >= MIN_S]
    if not long_ones:
        if runs[-1].end_s - runs[0].start_s < MIN_S:
            return []
        long_ones = [max(runs, key=lambda run: len(run.confidences))]
    calm = [long_ones[0]]
    for run in long_ones[1:]:
        if run.label == calm[-1].label:
            calm[-1].confidences += run.confidences
        else:
            calm[-1].end_s = run.start_s
            calm.append(run)
    calm[0].start_s, calm[-1].end_s = runs[0].start_s, runs[-1].end_s
    return calm


def _clock(time_s: float) -> str:
    """As SubRip writes times: 01:02:03,456."""
    ms = round(1e3 * max(0.0, time_s))
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"
