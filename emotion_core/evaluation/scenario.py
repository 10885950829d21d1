"""What a recording should show, as a YAML file, and whether estimates do show it. Nothing here runs a network.

The idea of driving_log_replayer (TIER IV): a recorded scene, what is expected of it in which span of time, and in which
share of the frames that must hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.types import VOICE, EmotionEstimate

T = TypeVar("T")


@dataclass(frozen=True)
class Expectation:
    """What holds in a span of time; of the person with the largest face, where it is about one.

    Attributes:
        from_s, to_s: seconds from the first frame; a frame at ``to_s`` itself is not meant.
        label: one that is expected, or several of which one is.
        people: how many faces there are.
        valence, arousal: (lowest, highest).
        voice: whether the estimate rests on a voice, too.
        pass_rate: share of the frames in which it must hold.
    """

    from_s: float
    to_s: float
    label: str | Sequence[str] = ()
    people: int | None = None
    valence: Sequence[float] = ()
    arousal: Sequence[float] = ()
    voice: bool | None = None
    pass_rate: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.from_s < self.to_s:
            raise EmotionError(f"expected a span 0 ≤ from_s < to_s, got {self.from_s} and {self.to_s}")
        if not 0 < self.pass_rate <= 1:
            raise EmotionError(f"expected a pass_rate above 0 and at most 1, got {self.pass_rate}")
        for name in ("valence", "arousal"):
            value = getattr(self, name)
            if value and not (len(value) == 2 and -1 <= value[0] <= value[1] <= 1):
                raise EmotionError(f"expected {name} as [lowest, highest] in [-1, 1], got {value}")
        if self.people is None and not self._of_the_first:
            raise EmotionError("expected label, people, valence, arousal or voice, got a span with none of them")

    @property
    def labels(self) -> tuple[str, ...]:
        """Those that are expected, also where it is one."""
        return (self.label,) if isinstance(self.label, str) else tuple(self.label)

    @property
    def _of_the_first(self) -> bool:
        """Whether anything is expected of the person with the largest face."""
        return bool(self.labels or self.valence or self.arousal or self.voice is not None)

    def holds(self, estimates: Sequence[EmotionEstimate]) -> bool:
        """Whether it does in one frame, whose estimates have the largest face first."""
        if self.people is not None and sum(estimate.face is not None for estimate in estimates) != self.people:
            return False
        if not self._of_the_first:
            return True
        if not estimates:
            return False
        first = estimates[0]
        spans = ((self.valence, first.valence), (self.arousal, first.arousal))
        return (
            (not self.labels or first.label in self.labels)
            and all(not span or span[0] <= value <= span[1] for span, value in spans)
            and self.voice in (None, bool(first.modalities & VOICE))
        )

    def __str__(self) -> str:
        parts = [" or ".join(self.labels)] if self.labels else []
        parts += [f"{self.people} people"] if self.people is not None else []
        for name in ("valence", "arousal"):
            if span := getattr(self, name):
                parts.append(f"{name} {span[0]:g} to {span[1]:g}")
        parts += [] if self.voice is None else ["with a voice" if self.voice else "without a voice"]
        return f"{self.from_s:g} to {self.to_s:g} s: {', '.join(parts)}"


@dataclass(frozen=True)
class Bounds:
    """What a run may cost.

    Attributes:
        max_lost: frames that may have no estimates, for they are damaged or were dropped.
        latency_p95_ms: from a frame to its estimates, in 95 % of the frames; None for any time.
    """

    max_lost: int = 0
    latency_p95_ms: float | None = None


@dataclass(frozen=True)
class Scenario:
    """A recording and what is expected of it.

    Attributes:
        name: for people.
        source: a bag or a video.
        expect: what it should show.
        topics: of a bag; empty for the only ones of their kind.
        sound: whether to hear, too.
        estimates: topic of estimates in the bag, which are judged in place of new ones; empty to estimate.
        pipeline: parameters of the pipeline that differ from their defaults.
        bounds: what it may cost.
    """

    name: str
    source: Path
    expect: tuple[Expectation, ...]
    topics: tuple[str, ...] = ()
    sound: bool = False
    estimates: str = ""
    pipeline: Mapping[str, Any] = field(default_factory=dict)
    bounds: Bounds = field(default_factory=Bounds)

    @classmethod
    def load(cls, path: str | Path, data: str | Path | None = None) -> Scenario:
        """Read a scenario from YAML.

        Args:
            path: the file.
            data: folder in which its source is looked for; by default that of the file.

        Raises:
            EmotionError: it is not there, no YAML, or not a scenario.
        """
        path = Path(path)
        try:
            import yaml

            about = yaml.safe_load(path.read_text(encoding="utf-8"))
        except ImportError:
            raise EmotionError("scenarios take PyYAML: pip install 'emotion-perception[bags]'") from None
        except OSError as error:
            raise EmotionError(f"{path}: expected a scenario, but it cannot be read: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise EmotionError(f"{path}: expected YAML: {' '.join(str(error).split())}") from None
        try:
            said = _make(cls, about, "a scenario")  # of what YAML has: lists and mappings
            expect = tuple(_make(Expectation, item, "expect") for item in said.expect)
            if not expect:
                raise EmotionError("expected at least one span below expect, got none")
            return replace(
                said,
                source=Path(data or path.parent, said.source),
                expect=expect,
                topics=(said.topics,) if isinstance(said.topics, str) else tuple(said.topics),
                pipeline=dict(said.pipeline),
                bounds=said.bounds if isinstance(said.bounds, Bounds) else _make(Bounds, said.bounds, "bounds"),
            )
        except (EmotionError, TypeError, ValueError) as error:
            raise EmotionError(f"{path}: {error}") from None


def _make(kind: type[T], values: Any, what: str) -> T:
    """A dataclass of what YAML says; raises EmotionError or TypeError."""
    if not isinstance(values, Mapping):
        raise EmotionError(f"expected lines such as `name: value` of {what}, got {values!r:.60}")
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    if unknown := [str(name) for name in values if name not in known]:
        raise EmotionError(f"{what} has no {', '.join(unknown)}: expected some of {', '.join(known)}")
    return kind(**values)


@dataclass(frozen=True)
class Frame:
    """What came of one frame: seconds from the first, estimates, and how long they took, NaN where that is unknown."""

    time_s: float
    estimates: Sequence[EmotionEstimate]
    latency_ms: float = math.nan


@dataclass(frozen=True)
class Verdict:
    """One expectation or bound, and how it was met.

    Attributes:
        text: what was expected.
        passed: whether it was met.
        got: what came.
    """

    text: str
    passed: bool
    got: str


def judge(scenario: Scenario, frames: Sequence[Frame], lost: int) -> list[Verdict]:
    """Whether frames show what is expected, one verdict for each expectation and bound.

    Args:
        scenario: what is expected.
        frames: those of which there are estimates.
        lost: how many there are without.
    """
    verdicts = [_judge(expectation, frames) for expectation in scenario.expect]
    bounds = scenario.bounds
    verdicts.append(Verdict(f"at most {bounds.max_lost} frames lost", lost <= bounds.max_lost, f"{lost} lost"))
    if bounds.latency_p95_ms is not None:
        p95 = latency_ms(frames).get("p95", math.nan)
        text = f"at most {bounds.latency_p95_ms:g} ms in 95 % of the frames"
        verdicts.append(Verdict(text, p95 <= bounds.latency_p95_ms, f"{p95:.1f} ms"))
    return verdicts


def latency_ms(frames: Sequence[Frame]) -> dict[str, float]:
    """Percentiles 50, 95 and 99 of what is known of it."""
    known = [frame.latency_ms for frame in frames if not math.isnan(frame.latency_ms)]
    return {f"p{p}": float(np.percentile(known, p)) for p in (50, 95, 99)} if known else {}


def _judge(expectation: Expectation, frames: Sequence[Frame]) -> Verdict:
    meant = [frame for frame in frames if expectation.from_s <= frame.time_s < expectation.to_s]
    text = f"{expectation} in {100 * expectation.pass_rate:g} % of the frames"
    if not meant:
        return Verdict(text, False, "no frames")
    wrong = [frame for frame in meant if not expectation.holds(frame.estimates)]
    got = f"{len(meant) - len(wrong)} of {len(meant)}"
    if wrong:
        got += f", not at {wrong[0].time_s:.2f} s: {_seen(wrong[0].estimates)}"
    return Verdict(text, len(meant) - len(wrong) >= expectation.pass_rate * len(meant), got)


def _seen(estimates: Sequence[EmotionEstimate]) -> str:
    if not estimates:
        return "nobody"
    first = estimates[0]
    return (
        f"{first.label} {100 * first.confidence:.0f} %, valence {first.valence:+.2f}, arousal {first.arousal:+.2f}"
        + (f", {len(estimates)} people" if len(estimates) > 1 else "")
    )
