"""What a node counts about its inputs and its work, and what it says of itself on /diagnostics."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus

from emotion_ros.base.diagnostics import ERROR, OK, WARN, Flow, InputHealth, Latency, Report, status
from emotion_ros.base.latest import Counts


class NodeHealth:
    """From configure to cleanup of one node.

    Attributes:
        about: what is worked on, for messages: "image on /camera/image_raw".
        frame_id: of the last message.
        earlier: counts of the workers that have ended.
        limited: messages left out by the rate limit.
        unstamped: messages that came without a stamp.
        last_rejection: why the last unusable message was refused.
        latency: from receipt to publication.
    """

    def __init__(self) -> None:
        self.about = self.frame_id = self.last_rejection = ""
        self.earlier = Counts()
        self.limited = self.unstamped = 0
        self.latency = Latency()
        self._inputs: list[InputHealth] = []
        self._vital: set[InputHealth] = set()
        self._flow = Flow()
        self._lost: int | None = None
        self._last_number: int | None = None

    def watch(self, noun: str, topic: str, warn_s: float, error_s: float, vital: bool = False) -> InputHealth:
        """From now on, messages are awaited on a topic; see InputHealth. Without vital ones, others are of no use."""
        prefix = f"{noun}_" if self._inputs else ""
        self._inputs.append(InputHealth(noun, topic, warn_s, error_s, time.monotonic(), prefix))
        if vital:
            self._vital.add(self._inputs[-1])
        return self._inputs[-1]

    def work_on(self, noun: str, topic: str) -> None:
        """The messages of this topic are those whose counts are told."""
        self._flow.noun, self.about, self._last_number = noun, f"{noun} on {topic}", None

    def listen_no_more(self) -> None:
        """Nothing is awaited until the next ``watch``."""
        self._inputs.clear()
        self._vital.clear()

    def number(self, number: int | None, alone: Callable[[], bool]) -> None:
        """Count what was overwritten or lost before it came here, by the numbers that the publisher gives.

        Args:
            number: of the message; None where the middleware tells none.
            alone: whether there is one publisher: what several number cannot be told apart.
        """
        if number is None:
            return
        last, self._last_number, self._lost = self._last_number, number, self._lost or 0
        if last is not None and number > last + 1 and alone():
            self._lost += number - last - 1

    def status(self, name: str, fine: str, counts: Counts, others: Sequence[Report]) -> DiagnosticStatus:
        """Everything as one message.

        Args:
            name: of the node.
            fine: what to say when nothing is wrong.
            counts: of the worker that runs.
            others: what else the node has to say.
        """
        now_s = time.monotonic()
        own: dict[str, Any] = {"limited": self.limited, "unstamped": self.unstamped}
        if self.last_rejection:
            own["last_rejection"] = self.last_rejection
        reports = [
            *self._together([(health, health.report(now_s)) for health in self._inputs]),
            self._flow.report(now_s, self.earlier + counts, self._lost),
            self.latency.report(now_s),
            Report(values=own),
            *others,
        ]
        return status(name, self.frame_id or name, fine, reports)

    def _together(self, inputs: Sequence[tuple[InputHealth, Report]]) -> Sequence[Report]:
        """A silent input is no more than a warning while another one is heard: the node goes on with that one."""
        heard = any(report.level == OK for health, report in inputs if health not in self._vital)
        return [
            replace(report, level=WARN) if heard and report.level == ERROR and health not in self._vital else report
            for health, report in inputs
        ]
