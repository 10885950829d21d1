"""A scenario, run: its bag or video through the pipeline, or the estimates in its bag, and the verdict on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.evaluation.scenario import Frame, Scenario, Verdict, judge, latency_ms
from emotion_core.media.bag_files import RawBag
from emotion_core.media.bag_messages import ESTIMATES, estimates_of
from emotion_core.media.bag_types import make_typestore
from emotion_core.media.bag_writer import STORAGES
from emotion_core.media.bags import IMAGE_TYPES, BagPicture, BagReader, BagSound, Sample
from emotion_core.media.frames import open_frames
from emotion_core.media.in_step import SoundInStep
from emotion_core.pipeline.audiovisual import AudiovisualConfig
from emotion_core.pipeline.facial import FacialConfig
from emotion_core.recording.replay import make_pipeline, replay


@dataclass(frozen=True)
class Outcome:
    """How a scenario went.

    Attributes:
        name, source: the scenario's.
        verdicts: on each expectation and bound.
        frames, lost: with and without estimates.
        latency_ms: percentiles of the time from a frame to its estimates: offline, of the work alone.
        labels: how many frames show which label first, the most frequent one first.
    """

    name: str
    source: str
    verdicts: list[Verdict]
    frames: int
    lost: int
    latency_ms: dict[str, float]
    labels: dict[str, int]

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return all(verdict.passed for verdict in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"passed": self.passed, **asdict(self)}


def run_scenario(scenario: Scenario) -> Outcome:
    """Run it; raises EmotionError where its source cannot be read, or its pipeline not be made."""
    if scenario.estimates:
        frames, lost = _recorded(scenario)
    else:
        frames, lost = _estimated(scenario)
    shown: dict[str, int] = {}
    for frame in frames:
        label = frame.estimates[0].label if frame.estimates else "nobody"
        shown[label] = shown.get(label, 0) + 1
    labels = dict(sorted(shown.items(), key=lambda item: (-item[1], item[0])))
    verdicts = judge(scenario, frames, lost)
    return Outcome(scenario.name, str(scenario.source), verdicts, len(frames), lost, latency_ms(frames), labels)


def clip_samples(path: str | Path, sound: bool) -> Iterator[Sample]:
    """A video's pictures and sound, as if they were a bag's that begins at time 0; raises EmotionError."""
    heard = SoundInStep(path) if sound else None
    with open_frames(str(path)) as source:
        for image, stamp_s in source:
            for chunk in heard.until(stamp_s) if heard is not None else ():
                at_ns = round(chunk.stamp_s * 1e9)
                yield BagSound("", at_ns, chunk.stamp_s, "", chunk.sound, chunk.rate_hz)
            at_ns = round(stamp_s * 1e9)
            yield BagPicture("", at_ns, stamp_s, "", at_ns, image)


def _estimated(scenario: Scenario) -> tuple[list[Frame], int]:
    """The frames of the source through a pipeline, and how many were lost."""
    config_class = AudiovisualConfig if scenario.sound else FacialConfig
    known = [item.name for item in fields(config_class)]
    if unknown := [name for name in scenario.pipeline if name not in known]:
        raise EmotionError(
            f"{scenario.name}: pipeline has no {', '.join(unknown)}: expected some of {', '.join(known)}"
        )
    pipeline = make_pipeline(config_class(**scenario.pipeline))
    if not _is_bag(scenario.source):
        return _through(clip_samples(scenario.source, scenario.sound), pipeline)
    with BagReader(scenario.source, scenario.topics, scenario.sound) as reader:
        frames, failed = _through(iter(reader), pipeline)
        return frames, failed + reader.counts.bad


def _through(samples: Iterator[Sample], pipeline: Any) -> tuple[list[Frame], int]:
    frames: list[Frame] = []
    failed, first_s = 0, None
    for step in replay(samples, pipeline, look_ahead=False):
        if isinstance(step.sample, BagPicture):
            first_s = step.sample.stamp_s if first_s is None else first_s
            if step.failure is None:
                frames.append(Frame(step.sample.stamp_s - first_s, step.estimates, 1e3 * step.took_s))
            else:
                failed += 1
    return frames, failed


def _recorded(scenario: Scenario) -> tuple[list[Frame], int]:
    """The estimates that a node has published, with the time at which they were recorded as that of their arrival."""
    with RawBag(scenario.source) as bag:
        names = [topic.name for topic in bag.topics if topic.name == scenario.estimates and topic.type == ESTIMATES]
        if not names:
            there = ", ".join(topic.name for topic in bag.topics if topic.type == ESTIMATES) or "none"
            raise EmotionError(f"{bag.path}: there are no estimates on {scenario.estimates}, expected one of {there}")
        store = make_typestore(bag.definitions)
        frames: list[Frame] = []
        first_s = None
        for message in bag.messages(names):
            content = store.deserialize_cdr(message.data, message.type)
            stamp_s = content.header.stamp.sec + content.header.stamp.nanosec / 1e9
            first_s = stamp_s if first_s is None else first_s
            frames.append(Frame(stamp_s - first_s, estimates_of(content), message.time_ns / 1e6 - 1e3 * stamp_s))
        images = [t for t in bag.topics if t.type in IMAGE_TYPES and (not scenario.topics or t.name in scenario.topics)]
        if len(images) != 1:
            raise EmotionError(
                f"{bag.path}: expected one topic with the pictures that were looked at, got {len(images)}: name it "
                "below topics"
            )
        return frames, max(0, images[0].count - len(frames))


def _is_bag(path: Path) -> bool:
    return path.is_dir() or path.suffix in STORAGES or (path.suffix in (".zstd", ".zst"))
