"""What a run gave: rows for a table, statistics, files. Time is an argument."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.store.files import atomic_write
from emotion_core.types import EmotionEstimate

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS_BEFORE = (
    "stamp_s",
    "track_id",
    "x",
    "y",
    "width",
    "height",
    "detection_score",
    "face_quality",
    "label",
    "confidence",
)
COLUMNS_AFTER = ("valence", "arousal", "latency_ms", "model")
PERCENTILES = (50, 95, 99)
_BOX = ("x", "y", "width", "height")


@dataclass(frozen=True)
class NodeReport:
    """What the estimating node says about itself; None and "" where it did not say it.

    Attributes:
        received: images that came in; each is processed, dropped because a newer one came, or rejected.
        processed, dropped, rejected: see there.
        detector, model, provider: what it runs.
        lost: images that were overwritten or lost before they came in.
    """

    received: int | None = None
    processed: int | None = None
    dropped: int | None = None
    rejected: int | None = None
    detector: str = ""
    model: str = ""
    provider: str = ""
    lost: int | None = None

    @classmethod
    def parse(cls, values: Iterable[tuple[str, str]]) -> NodeReport:
        """From the key-value pairs of its diagnostics; what is unknown or no number is left out."""
        known: dict[str, Any] = {}
        for key, value in values:
            if key in ("received", "processed", "dropped", "rejected", "lost"):
                if value.isascii() and value.isdigit():
                    known[key] = int(value)
            elif key in ("detector", "model", "provider"):
                known[key] = value
        return cls(**known)


@dataclass(frozen=True)
class Summary:
    """Figures of a run; None where there is nothing to compute them from.

    Attributes:
        frames: frames of which estimates came.
        seconds: from the first stamp to the last.
        rate_hz: frames a second, by the stamps.
        people: distinct tracks.
        emotions: for each label that was predicted, the share of the frames in which somebody showed it, the
            most frequent first. People differ, so the shares may sum to more than 1.
        nobody: share of the frames without anybody.
        latency_ms: percentiles "p50", "p95", "p99" of the time from a frame's stamp to the receipt of its
            estimates, in milliseconds.
        node: the estimating node's own report.
        video_frames, video_dropped: frames written to the video, and frames left out because the disk or the
            encoder did not keep up.
        files: names of what was written.
    """

    frames: int = 0
    seconds: float = 0.0
    rate_hz: float | None = None
    people: int = 0
    emotions: Mapping[str, float] = field(default_factory=dict)
    nobody: float | None = None
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    node: NodeReport = field(default_factory=NodeReport)
    video_frames: int = 0
    video_dropped: int = 0
    files: Sequence[str] = ()

    def write(self, path: str | Path) -> None:
        """Write as JSON; the file is whole or absent."""
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Summary:
        """Read what ``write`` wrote; raises EmotionError for anything else."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(**{**values, "node": NodeReport(**values["node"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise EmotionError(f"{path}: expected a summary written by the recorder, got {error!r}") from None


@dataclass(frozen=True)
class _Frame:
    stamp_s: float
    latency_ms: float
    estimates: tuple[EmotionEstimate, ...]


class Recording:
    """Collects the estimates of frame after frame. They stay in memory: about 100 MB for an hour at 30 Hz."""

    def __init__(self) -> None:
        self._frames: list[_Frame] = []
        self._earliest_s, self._latest_s = math.inf, -math.inf

    def add(self, stamp_s: float, estimates: Sequence[EmotionEstimate], received_s: float) -> None:
        """Take one frame.

        Args:
            stamp_s: when it was taken.
            estimates: of everybody in it, none for an empty one.
            received_s: when the estimates arrived, by the clock that the stamp is from; NaN where nobody waited.
        """
        self._frames.append(_Frame(stamp_s, 1e3 * (received_s - stamp_s), tuple(estimates)))
        self._earliest_s, self._latest_s = min(self._earliest_s, stamp_s), max(self._latest_s, stamp_s)

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def seconds(self) -> float:
        """From the earliest stamp to the latest."""
        return self._latest_s - self._earliest_s if self._frames else 0.0

    @property
    def rows(self) -> list[EmotionEstimate]:
        """All estimates, in the order in which they came."""
        return [estimate for frame in self._frames for estimate in frame.estimates]

    @property
    def stamps_s(self) -> list[float]:
        """The stamp of every frame, in the order in which they came."""
        return [frame.stamp_s for frame in self._frames]

    @property
    def latency_ms(self) -> list[tuple[float, float]]:
        """(stamp in seconds, latency in milliseconds) of every frame of which it is known."""
        return [(frame.stamp_s, frame.latency_ms) for frame in self._frames if not math.isnan(frame.latency_ms)]

    def summary(
        self, node: NodeReport | None = None, video: tuple[int, int] = (0, 0), files: Sequence[str] = ()
    ) -> Summary:
        """The figures.

        Args:
            node: the estimating node's own report.
            video: frames written to the video, frames left out.
            files: names of what was written.
        """
        frames, seconds = len(self._frames), self.seconds
        shown: dict[str, int] = {}
        for frame in self._frames:
            for label in dict.fromkeys(estimate.label for estimate in frame.estimates):
                shown[label] = shown.get(label, 0) + 1
        order = sorted(shown.items(), key=lambda item: -item[1])
        latency = [latency_ms for _, latency_ms in self.latency_ms]
        values = np.percentile(latency, PERCENTILES).tolist() if latency else []
        return Summary(
            frames=frames,
            seconds=seconds,
            rate_hz=(frames - 1) / seconds if seconds > 0 else None,
            people=len({estimate.track_id for frame in self._frames for estimate in frame.estimates}),
            emotions={label: count / frames for label, count in order},
            nobody=sum(not frame.estimates for frame in self._frames) / frames if frames else None,
            latency_ms={f"p{p}": float(value) for p, value in zip(PERCENTILES, values, strict=False)},
            node=node or NodeReport(),
            video_frames=video[0],
            video_dropped=video[1],
            files=list(files),
        )

    def write_csv(self, path: str | Path) -> None:
        """Write a row for each estimate, and one of stamp and latency for each frame without people.

        Columns: COLUMNS_BEFORE, then ``p_<label>`` for every label that occurs, then COLUMNS_AFTER. Boxes are in
        pixels; a field is empty where there is no value. The file is whole or absent; raises OSError when it
        cannot be written.
        """
        labels = tuple(dict.fromkeys(label for row in self.rows for label in row.labels))
        columns = (*COLUMNS_BEFORE, *(f"p_{label}" for label in labels), *COLUMNS_AFTER)
        with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            for frame in self._frames:
                common = {"stamp_s": f"{frame.stamp_s:.6f}"}
                if not math.isnan(frame.latency_ms):
                    common["latency_ms"] = f"{frame.latency_ms:.3f}"
                for estimate in frame.estimates:
                    writer.writerow(common | _fields(estimate))
                if not frame.estimates:
                    writer.writerow(common)


def values_of(estimate: EmotionEstimate) -> dict[str, str | float]:
    """An estimate by the columns of a table: COLUMNS_BEFORE without the stamp, ``p_<label>``, COLUMNS_AFTER without the
    latency; what it has no value for is left out."""
    result: dict[str, str | float] = {
        "track_id": estimate.track_id,
        "label": estimate.label,
        "confidence": estimate.confidence,
        "valence": estimate.valence,
        "arousal": estimate.arousal,
        "model": estimate.model,
    }
    if estimate.face is not None:
        box = estimate.face.box
        result |= {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
        result["detection_score"], result["face_quality"] = estimate.face.score, estimate.face.quality
    result |= {f"p_{label}": p for label, p in zip(estimate.labels, estimate.probabilities, strict=True)}
    return {name: value for name, value in result.items() if value == value}  # NaN is no value


def _fields(estimate: EmotionEstimate) -> dict[str, str]:
    return {name: _text(name, value) for name, value in values_of(estimate).items()}


def _text(name: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.10g}" if name in _BOX else f"{value:.6f}"


def summary_table(summary: Summary) -> Table:
    """The figures as a table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    from emotion_core.vision.palette import hex_colour

    table = Table(show_header=False, title="What was recorded", title_justify="left", pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    node = summary.node

    def count(value: int | None) -> str:
        return "unknown" if value is None else str(value)

    table.add_row("model", node.model + (f" on {node.provider}" if node.provider else "") or "unknown")
    table.add_row("face detector", node.detector or "unknown")
    counts = f"{count(node.received)} in, {count(node.processed)} processed, {count(node.dropped)} dropped"
    counts += f", {node.rejected} rejected" if node.rejected else ""
    table.add_row("frames at the node", counts + (f", {node.lost} lost" if node.lost else ""))
    table.add_row("recorded", f"{summary.frames} frames in {summary.seconds:.1f} s")
    table.add_row("frames/s", "unknown" if summary.rate_hz is None else f"{summary.rate_hz:.1f}")
    latency = "   ".join(f"{name} {value:.1f} ms" for name, value in summary.latency_ms.items())
    table.add_row("latency, image to estimate", latency or "unknown")
    table.add_row("people", str(summary.people))
    emotions = Text()
    for label, share in summary.emotions.items():
        emotions.append("■ ", style=hex_colour(label)).append(f"{label} {100 * share:.0f} %   ")
    if summary.nobody:
        emotions.append(f"nobody {100 * summary.nobody:.0f} %")
    table.add_row("seen in % of frames", emotions if emotions.plain else "nothing")
    if summary.video_frames or summary.video_dropped:
        table.add_row("video", f"{summary.video_frames} frames, {summary.video_dropped} left out")
    return table
