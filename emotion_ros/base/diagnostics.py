"""Health of an estimating node, in small parts as those of diagnostic_updater.

Each part reports a level, a sentence and values; ``status`` puts them together. Time is an argument, in seconds of a
steady clock: a simulated clock may stand still while a camera does not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from emotion_ros.base.latest import Counts

OK, WARN, ERROR, STALE = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE
_SEVERITY = (OK, STALE, WARN, ERROR)

WINDOW_S = 10.0
"""Rates, latencies and the share of dropped frames are those of about so many last seconds."""
FEW = 5
"""Of fewer frames than these in the window, no share is judged."""


@dataclass(frozen=True)
class Report:
    """What one part says: a level of DiagnosticStatus, a sentence ("" to say nothing) and values by name."""

    level: bytes = OK
    message: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


class InputHealth:
    """Whether messages still come on a topic.

    Args:
        noun: what comes, as in "no image yet".
        topic: where.
        warn_s, error_s: after so many seconds of silence.
        now_s: since when it is waited for.
        prefix: of the names of the values, for a node with several inputs.
    """

    def __init__(self, noun: str, topic: str, warn_s: float, error_s: float, now_s: float, prefix: str = "") -> None:
        self.noun, self.topic = noun, topic
        self._warn_s, self._error_s, self._since_s, self._prefix = warn_s, error_s, now_s, prefix
        self._heard = False

    def heard(self, now_s: float) -> None:
        """A message has come."""
        self._since_s, self._heard = now_s, True

    def report(self, now_s: float) -> Report:
        """OK, or for how long nothing has come."""
        silent_s = now_s - self._since_s
        values = {f"{self._prefix}age_s": f"{silent_s:.2f}" if self._heard else "never"}
        if silent_s >= self._warn_s:
            level = ERROR if silent_s >= self._error_s else WARN
            return Report(level, f"no {self.noun} on {self.topic} for {silent_s:.1f} s", values)
        return Report(OK if self._heard else STALE, "" if self._heard else f"no {self.noun} yet", values)


class Flow:
    """What becomes of the messages: counts, rates, and whether any are refused or most are dropped.

    Attributes:
        noun: what comes, as in "3 images rejected".
    """

    def __init__(self, noun: str = "message") -> None:
        self.noun = noun
        self._seen: deque[tuple[float, Counts, int]] = deque()

    def report(self, now_s: float, counts: Counts, lost: int | None = None) -> Report:
        """The counts since configure, and what they say about the time since the last report and the last seconds.

        Args:
            now_s: steady time in seconds.
            counts: of the worker.
            lost: messages overwritten or lost on their way here; None where the middleware does not tell.
        """
        before = self._seen[-1][1] if self._seen else Counts()
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - WINDOW_S:
            self._seen.popleft()
        start_s, start, start_lost = self._seen[0] if self._seen else (now_s, counts, lost or 0)
        self._seen.append((now_s, counts, lost or 0))
        elapsed_s = now_s - start_s
        missed = counts.dropped - start.dropped + (lost or 0) - start_lost
        arrived = counts.received - start.received + (lost or 0) - start_lost
        values: dict[str, Any] = {**vars(counts), "lost": "unknown" if lost is None else lost}
        if elapsed_s > 0:
            values["input_rate_hz"] = f"{arrived / elapsed_s:.1f}"
            values["rate_hz"] = f"{(counts.processed - start.processed) / elapsed_s:.1f}"
        complaints = []
        if counts.rejected > before.rejected:
            complaints.append(f"{counts.rejected - before.rejected} {self.noun}s rejected since the last report")
        if arrived >= FEW and missed > arrived / 2:
            complaints.append(f"{missed} of the last {arrived} {self.noun}s dropped: they come too fast")
        return Report(WARN if complaints else OK, "; ".join(complaints), values)


class Latency:
    """From the receipt of a message to the publication of its estimates; fed by one thread, read by another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: deque[tuple[float, float]] = deque(maxlen=1000)

    def add(self, now_s: float, seconds: float) -> None:
        """One message was done at now_s, seconds after it came."""
        with self._lock:
            self._times.append((now_s, seconds))

    def report(self, now_s: float) -> Report:
        """Percentiles of the last seconds in milliseconds; no values without any."""
        with self._lock:
            recent = [seconds for done_s, seconds in self._times if done_s >= now_s - WINDOW_S]
        if not recent:
            return Report()
        values = np.percentile(recent, (50, 95, 99))
        return Report(values={f"latency_p{p}_ms": f"{1000 * v:.1f}" for p, v in zip((50, 95, 99), values, strict=True)})


def status(name: str, hardware_id: str, fine: str, reports: Sequence[Report]) -> DiagnosticStatus:
    """The parts as one message.

    Args:
        name: of the node.
        hardware_id: what the health is about: the camera's frame.
        fine: what to say when no part has anything to say.
        reports: the parts. The worst level counts, and what the parts of this level say.
    """
    worst = max((report.level for report in reports), key=_SEVERITY.index, default=OK)
    said = "; ".join(report.message for report in reports if report.level == worst and report.message)
    values = {key: value for report in reports for key, value in report.values.items()}
    return DiagnosticStatus(
        level=worst,
        name=name,
        hardware_id=hardware_id,
        message=said or fine,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
