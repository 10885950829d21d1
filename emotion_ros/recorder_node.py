"""Node `recorder`: writes down what an estimating node publishes, as a video, tables and a picture.

It ends by itself after duration_s, also where nothing comes any more, or on SIGINT or SIGTERM, and then writes its
files: each is whole or absent, and replaces that of an earlier run. A video that this run has no picture for is neither
written nor named in the summary; that of an earlier run stays.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from emotion_perception.msg import EmotionEstimates
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from emotion_core.errors import EmotionError
from emotion_core.media.video import VideoWriter
from emotion_core.parameters import CheckedConfig, parameter
from emotion_core.plots.timeline import plot_timeline
from emotion_core.recording.recording import NodeReport, Recording, Summary, summary_table
from emotion_core.store.files import prepare_folder
from emotion_ros.base import parameters, qos
from emotion_ros.base.handover import Inlet
from emotion_ros.messages import images
from emotion_ros.messages.conversions import from_message, to_seconds
from emotion_ros.process.runner import Program

NAME = "recorder"
VIDEO, TABLE, TIMELINE, SUMMARY = "demo.mp4", "demo.csv", "timeline.png", "summary.json"
LINGER_S = 1.5
"""At most so long after duration_s for the last overlay and the node's last count, which comes once a second."""

# Best effort, so that a slow disk never holds the estimating node back; a few deep, since drawing comes in bursts.
_OVERLAY = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass(frozen=True)
class RecorderConfig(CheckedConfig):
    """What the node ``recorder`` writes; raises EmotionError for a bad value."""

    out: str = parameter("out", "Folder for the files, made when it is not there; older files are replaced.")
    duration_s: float = parameter(
        0.0, "Ends after this many seconds, by the stamps; 0 goes on until stopped.", low=0.0, high=86400.0
    )
    video: bool = parameter(True, f"Write the overlay into {VIDEO}; takes PyAV.")
    title: str = parameter("Emotions over time", f"Headline of {TIMELINE}.")


CONFIGS = (RecorderConfig,)


class RecorderNode(Node):
    """Collects until ``done``; ``finish`` then writes the files.

    Args:
        name: of the node, unless it is remapped.
        options: of ``rclpy.node.Node``.

    Raises:
        EmotionError: the folder cannot be written, PyAV is missing or a parameter is wrong.
    """

    def __init__(self, name: str = NAME, **options: Any) -> None:
        super().__init__(name, **options)
        parameters.declare(self, RecorderConfig)
        self.config = parameters.read(self, RecorderConfig)
        self.out = _folder(self.config.out)
        self.recording = Recording()
        self.report = NodeReport()
        self.invalid = 0
        self._video = VideoWriter(self.out / VIDEO) if self.config.video else None
        self._complete_at_s: float | None = None  # steady clock
        self._reported = False  # since then
        self._named = False  # whether diagnostics have come from the very node that publishes the estimates
        self._moved_s = 0.0  # steady clock, when the stamps last went on
        self._last_stamp_s = float("inf")  # of the video
        self._inlets = [Inlet(self, EmotionEstimates, "estimates", self._add, qos.ESTIMATES)]
        self.topic = self._inlets[0].subscription.topic_name
        if self._video is not None:
            self._inlets.append(Inlet(self, Image, "overlay", self._draw, _OVERLAY))
        self.create_subscription(DiagnosticArray, "/diagnostics", self._count, qos.ESTIMATES)
        # The node's clock may be simulated and stand still.
        self.create_timer(1.0, self._progress, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.get_logger().info(f"ready, waiting for estimates on {self.topic}")

    def destroy_node(self) -> None:
        """End listening first."""
        for inlet in self._inlets:
            inlet.destroy()
        super().destroy_node()

    @property
    def done(self) -> bool:
        """Whether duration_s is over, and the last messages about it have come or had their time."""
        return self._complete_at_s is not None and (self._reported or time.monotonic() > self._complete_at_s + LINGER_S)

    def finish(self) -> tuple[Summary, list[str]]:
        """Write all files; returns the figures, and what went wrong in a line each."""
        failures: list[str] = []
        written: list[str] = []

        def attempt(name: str, write: Callable[[], object]) -> None:
            try:
                if write() is not False:
                    written.append(name)
            except (OSError, ImportError, EmotionError) as error:
                failures.append(f"{self.out / name} could not be written: {error}")

        counts = (0, 0)
        if self._video is not None:
            attempt(VIDEO, self._close_video)
            counts = (self._video.written, self._video.dropped)
        attempt(TABLE, lambda: self.recording.write_csv(self.out / TABLE))
        attempt(TIMELINE, self._plot)
        summary = self.recording.summary(self.report, counts, [*written, SUMMARY])
        attempt(SUMMARY, lambda: summary.write(self.out / SUMMARY))
        return summary, failures

    def _close_video(self) -> bool:
        assert self._video is not None
        complete = self._video.close()
        if self._video.error is not None:
            raise EmotionError(str(self._video.error))
        return complete

    def _plot(self) -> None:
        recording = self.recording
        plot_timeline(
            recording.rows,
            self.out / TIMELINE,
            self.config.title,
            stamps_s=recording.stamps_s,
            latency_ms=recording.latency_ms,
        )

    def _add(self, message: EmotionEstimates) -> None:
        received_s = self.get_clock().now().nanoseconds / 1e9
        if self._complete_at_s is not None:
            return
        estimates = []
        for item in message.estimates:
            try:
                estimates.append(from_message(item))
            except ValueError as error:
                self.invalid += 1
                self.get_logger().warning(f"left out an estimate: {error}", throttle_duration_sec=5.0)
        stamp_s = to_seconds(message.header.stamp)
        before_s = self.recording.seconds
        self.recording.add(stamp_s, estimates, received_s)
        if len(self.recording) == 1 or self.recording.seconds > before_s:
            self._moved_s = time.monotonic()
        self._end_if_over()

    def _end_if_over(self) -> None:
        """End when duration_s has passed, by the stamps or, where they go on no more, since they last did."""
        limit_s = self.config.duration_s
        if not limit_s or self._complete_at_s is not None or not len(self.recording):
            return
        if self.recording.seconds < limit_s:
            if time.monotonic() < self._moved_s + limit_s:
                return
            self.get_logger().warning(
                f"the stamps on {self.topic} stand still at {self.recording.seconds:.1f} s, or nothing comes any more: "
                "ending by the time of arrival"
            )
        self._complete_at_s, self._last_stamp_s = time.monotonic(), self.recording.stamps_s[-1]

    def _draw(self, message: Image) -> None:
        stamp_s = to_seconds(message.header.stamp)
        if self._video is None or stamp_s > self._last_stamp_s:
            return
        try:
            self._video.put(images.to_bgr(message), stamp_s)
        except EmotionError as error:
            self.get_logger().warning(f"left out an overlay: {error}", throttle_duration_sec=5.0)

    def _count(self, message: DiagnosticArray) -> None:
        publishers = {
            f"{info.node_namespace}/{info.node_name}".strip("/")
            for info in self.get_publishers_info_by_topic(self.topic)
        }
        # Where somebody else publishes, as when a bag is played, the topic's own name tells.
        parent = self.topic.strip("/").rpartition("/")[0]
        for status in message.status:
            name = status.name.strip("/")
            self._named = self._named or name in publishers
            if name in publishers or (not self._named and parent and f"/{name}".endswith(f"/{parent}")):
                self.report = NodeReport.parse((item.key, item.value) for item in status.values)
                self._reported = self._complete_at_s is not None

    def _progress(self) -> None:
        if len(self.recording):
            self.get_logger().info(f"recorded {self.recording.seconds:.1f} s, {len(self.recording)} frames")
        self._end_if_over()  # the node may have died, or its camera stopped


def _folder(out: str) -> Path:
    try:
        return prepare_folder(out)
    except EmotionError as error:
        raise EmotionError(f"parameter out: {error}") from None


def print_results(summary: Summary, out: Path) -> None:
    """The table, and where the files lie."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(summary_table(summary))
    for name in summary.files:
        console.print(f"  {out / name}", markup=False, soft_wrap=True)


def finish(node: RecorderNode) -> int:
    """Write the files and print what they hold; 1 when there was nothing to write, or something could not be."""
    summary, failures = node.finish()
    print_results(summary, node.out)
    if not summary.frames:
        failures.append(f"no estimates came on {node.topic}: is the node active, and does it get images?")
    for failure in failures:
        print(f"{NAME}: error: {failure}", file=sys.stderr)
    return 1 if failures else 0


PROGRAM = Program(NAME, RecorderNode, done=lambda node: node.done, finish=finish)


def main(args: list[str] | None = None) -> int:
    """Record until the end or until SIGINT or SIGTERM.

    Returns:
        0; 1 when no frame was recorded or a file could not be written; 2 for bad parameters.
    """
    return PROGRAM.run(args)


if __name__ == "__main__":
    sys.exit(main())
