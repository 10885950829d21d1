"""What has happened so far in a run over frames."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emotion_core.cli.video_table import SENSES
from emotion_core.errors import EmotionError

if TYPE_CHECKING:
    from emotion_core.types import EmotionEstimate

_LOG = logging.getLogger(__name__)


class Tally:
    """What has happened so far.

    Attributes:
        frames: that came; counted by the caller.
        processed: of which there are estimates.
    """

    def __init__(self) -> None:
        self.frames = self.processed = self._failed = self._faces = 0
        self._stamp_s, self._first = 0.0, ""
        self._tracks: set[str] = set()
        self._labels: Counter[str] = Counter()
        self._senses: Counter[int] = Counter()

    def add(self, estimates: Sequence[EmotionEstimate], stamp_s: float) -> None:
        """Count a frame's estimates; its time is seconds from the start."""
        seen = sum(estimate.face is not None for estimate in estimates)
        self.processed, self._faces, self._stamp_s = self.processed + 1, self._faces + seen, stamp_s
        self._tracks |= {estimate.track_id for estimate in estimates if estimate.track_id}
        self.hear(estimates)

    def hear(self, estimates: Sequence[EmotionEstimate]) -> None:
        """Count estimates that belong to no frame."""
        self._labels.update(estimate.label for estimate in estimates)
        self._senses.update(estimate.modalities for estimate in estimates)

    def senses(self) -> dict[str, int]:
        """Estimates by the senses that they come from."""
        return {name: self._senses[bits] for bits, name in SENSES.items()}

    def fail(self, error: Exception) -> None:
        """Count a frame that could not be read or processed, and tell of the first."""
        if not self._failed:
            self._first = f"{error}" if isinstance(error, EmotionError) else f"{type(error).__name__}: {error}"
            _LOG.warning("a frame is left out: %s", self._first)
        self._failed += 1

    def check(self, source: str, interrupted: bool) -> None:
        """Raise EmotionError where nothing at all could be processed."""
        if not self.processed and not interrupted:
            raise EmotionError(f"{source}: expected frames, but all {self._failed} failed: {self._first}")

    def report(self, skipped: int) -> dict[str, Any]:
        """The counts, for JSON; ``skipped`` frames did not even come."""
        return {
            "frames": self.frames,
            "processed": self.processed,
            "bad": self._failed + skipped,
            "seconds": round(self._stamp_s, 6),
            "faces": self._faces,
            "tracks": len(self._tracks),
            "labels": dict(self._labels.most_common()),
        }


def sentence(report: dict[str, Any], outputs: Sequence[str]) -> str:
    """The report for people.

    Args:
        report: of ``Tally.report``, with the ``source``, and ``senses`` where something was heard.
        outputs: keys of it that name what was written, if it was.
    """
    labels = ", ".join(f"{label} {count}" for label, count in report["labels"].items()) or "nobody"
    bad = f", {report['bad']} bad" if report["bad"] else ""
    if "senses" in report:
        labels += f" (from {', '.join(f'{name} {count}' for name, count in report['senses'].items())})"
    written = ", ".join(str(report[name]) for name in outputs if report[name])
    return f"{report['source']}: {report['processed']} of {report['frames']} frames processed{bad}; seen: {labels}" + (
        f"; wrote {written}" if written else ""
    )
