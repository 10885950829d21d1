"""The base of every node that estimates: its worker, its parameters and its health, on top of its life.

A node on this base says which topics it has and converts messages; nothing else. See ``EstimatorNode``.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from emotion_core.errors import EmotionError
from emotion_core.parameters import CheckedConfig, parameter
from emotion_ros import diagnostics, parameters, qos
from emotion_ros.latest import Counts, LatestWorker
from emotion_ros.managed import THROTTLE_S, ManagedNode, explain


class Pipeline(Protocol):
    """What a node needs of the core: something that remembers people from one sample to the next."""

    @property
    def next_id(self) -> int:
        """Number of the next new person."""

    def reconfigure(self, config: Any) -> None:
        """Take over new settings."""

    def reset(self) -> None:
        """Forget everybody."""


PipelineT = TypeVar("PipelineT", bound=Pipeline)


@dataclass(frozen=True)
class EstimatorNodeConfig(CheckedConfig):
    """What concerns a node and not the estimation; raises EmotionError for a bad value."""

    autostart: bool = parameter(True, "Configure and activate at start, without a lifecycle manager.")
    diagnostics_period_s: float = parameter(1.0, "Seconds between two messages on /diagnostics.", low=0.1, high=60.0)
    stale_warn_s: float = parameter(2.0, "Diagnostics warn after so many seconds without input.", low=0.1, high=3600.0)
    stale_error_s: float = parameter(
        10.0, "Diagnostics report an error after so many seconds without input.", low=0.1, high=3600.0
    )


class EstimatorNode(ManagedNode, Generic[PipelineT]):
    """Managed node: what estimates is loaded in configure, topics are subscribed to in activate.

    A thread of its own works on the newest message; those that come in the meantime are dropped and counted. A
    subclass names its configurations and supplies the five methods that are abstract below. Any executor may spin it,
    together with other nodes.

    Args:
        name: of the node, unless it is remapped.
        options: of ``rclpy.node.Node``.

    Raises:
        EmotionError: a parameter has a bad value.
    """

    config_class: ClassVar[type[CheckedConfig]]
    """The core's configuration; what of it is not read_only counts from the next message on when it is set."""
    settings_class: ClassVar[type[EstimatorNodeConfig]] = EstimatorNodeConfig

    def __init__(self, name: str, **options: Any) -> None:
        self.pipeline: PipelineT | None = None
        self._first_id = 1
        self._worker: LatestWorker[tuple[Any, float]] | None = None
        self._health: list[diagnostics.InputHealth] = []
        self._lost: int | None
        self._last_number: int | None
        self._about: str
        self._frame_id: str
        self._flow: diagnostics.Flow
        self._forget_counts()
        super().__init__(name, **options)
        classes = (self.config_class, self.settings_class)
        try:
            parameters.declare(self, *classes, locked=lambda: self.pipeline is not None, on_change=self._change)
            self.settings = parameters.read(self, self.settings_class)
        except Exception:
            self.destroy_node()
            raise

    # ---- what a node supplies ------------------------------------------------------------------------------------

    @abstractmethod
    def make_pipeline(self, config: Any, first_id: int) -> PipelineT:
        """Load what estimates, the first person to be called first_id; raises EmotionError when that cannot be."""

    @abstractmethod
    def describe(self, pipeline: PipelineT) -> Mapping[str, str]:
        """What was loaded, for log and diagnostics: model, provider, detector."""

    @abstractmethod
    def advertise(self) -> None:
        """Make the publishers, with ``output``."""

    @abstractmethod
    def subscribe(self) -> None:
        """Make the subscriptions: one with ``newest``, any others with ``every`` or ``input``."""

    @abstractmethod
    def estimate(self, pipeline: PipelineT, message: Any) -> None:
        """Work on one message and publish, in the worker's thread; raises EmotionError for an unusable message."""

    # ---- what it is made of --------------------------------------------------------------------------------------

    def newest(
        self,
        noun: str,
        kind: type,
        topic: str,
        profile: QoSProfile,
        hold: Callable[[Any, Callable[[bool], None]], None] | None = None,
    ) -> str:
        """Subscribe to what is worked on, messages with a header; returns the topic's whole name.

        Args:
            noun: what comes, for log and diagnostics.
            kind, topic, profile: as ``create_subscription``.
            hold: gets each message, and calls what it gets with it as soon as it is known whether to work on it.
        """
        worker = self._worker
        assert worker is not None, "expected to be called in subscribe()"
        topic = self.resolve_topic_name(topic)
        health = self._watch(noun, topic)
        self._flow.noun, self._about, self._last_number = noun, f"{noun} on {topic}", None

        def take(message: Any, info: Mapping[str, Any]) -> None:
            health.heard(time.monotonic())
            self._count_lost(info.get("publication_sequence_number"), topic)
            self._frame_id = message.header.frame_id or self._frame_id
            self._stamp_if_unset(message)
            item = (message, time.monotonic())
            if hold is None:
                worker.put(item)
            else:
                hold(message, lambda wanted: worker.put(item) if wanted else worker.leave_out())

        # Humble tells nothing about a message, and takes callbacks with one argument only.
        numbered = hasattr(Subscription, "CallbackType")
        self.input(kind, topic, take if numbered else lambda message: take(message, {}), profile)
        return topic

    def every(self, noun: str, kind: type, topic: str, callback: Callable[[Any], None], profile: QoSProfile) -> None:
        """Subscribe to messages of which none is left out, such as sound; diagnostics tell when they stop coming."""
        topic = self.resolve_topic_name(topic)
        health = self._watch(noun, topic)

        def take(message: Any) -> None:
            health.heard(time.monotonic())
            callback(message)

        self.input(kind, topic, take, profile)

    def _watch(self, noun: str, topic: str) -> diagnostics.InputHealth:
        settings, prefix = self.settings, f"{noun}_" if self._health else ""
        now_s = time.monotonic()
        health = diagnostics.InputHealth(noun, topic, settings.stale_warn_s, settings.stale_error_s, now_s, prefix)
        self._health.append(health)
        return health

    # ---- life ----------------------------------------------------------------------------------------------------

    def autostart(self) -> None:
        """Configure and activate, unless the parameter leaves that to a lifecycle manager; raises as ``start``."""
        if self.settings.autostart:
            self.start()
        else:
            self.get_logger().info("waiting for a lifecycle manager")

    def configure(self) -> None:
        """Load what estimates, advertise the topics, begin to report."""
        self.settings = parameters.read(self, self.settings_class)
        self.pipeline = self.make_pipeline(parameters.read(self, self.config_class), self._first_id)
        about = self.describe(self.pipeline)
        self.advertise()
        self._diagnostics = self.output(DiagnosticArray, "/diagnostics", qos.ESTIMATES, always=True)
        self.timer(self.settings.diagnostics_period_s, self._publish_diagnostics)
        self.get_logger().info(", ".join(f"{name} {value}" for name, value in about.items()))

    def activate(self) -> None:
        """Start the worker and subscribe."""
        assert self.pipeline is not None
        self.pipeline.reset()
        self._worker = LatestWorker(self._work, self._failed)
        self.subscribe()

    def deactivate(self) -> None:
        """Let the message at work finish; raises EmotionError when it takes too long."""
        self._health.clear()
        worker, self._worker = self._worker, None
        if worker is not None:
            ended = worker.stop()
            self._earlier += worker.counts()
            if not ended:
                raise EmotionError("the message at work has not been finished within 5 s")

    def forget(self) -> None:
        """Give up what estimates; the next one goes on with the ids."""
        if self.pipeline is not None:
            self._first_id, self.pipeline = self.pipeline.next_id, None
        self._forget_counts()

    def _forget_counts(self) -> None:
        self._earlier = Counts()
        self._lost = self._last_number = None
        self._unstamped = 0
        self._about = self._frame_id = self._last_rejection = ""
        self._flow, self._latency = diagnostics.Flow(), diagnostics.Latency()

    # ---- work ----------------------------------------------------------------------------------------------------

    def _work(self, item: tuple[Any, float]) -> bool:
        """Work on one message, in the worker's thread; False when it is unusable."""
        message, received_s = item
        pipeline = self.pipeline
        assert pipeline is not None
        try:
            self.estimate(pipeline, message)
        except EmotionError as error:
            self._last_rejection = str(error)
            self.get_logger().warning(f"rejected the {self._about}: {error}", throttle_duration_sec=THROTTLE_S)
            return False
        now_s = time.monotonic()
        self._latency.add(now_s, now_s - received_s)
        return True

    def _failed(self, error: Exception) -> None:
        """A defect of ours, not of the message: say everything once in a while, and go on."""
        self._last_rejection = f"{type(error).__name__}: {error}"
        self.get_logger().error(
            f"could not process the {self._about}: {explain(error)}", throttle_duration_sec=THROTTLE_S
        )

    def _count_lost(self, number: int | None, topic: str) -> None:
        """Count what was overwritten or lost before it came here, by the numbers that the publisher gives."""
        if number is None:
            return
        last, self._last_number, self._lost = self._last_number, number, self._lost or 0
        # What several publishers number cannot be told apart.
        if last is not None and number > last + 1 and self.count_publishers(topic) == 1:
            self._lost += number - last - 1

    def _stamp_if_unset(self, message: Any) -> None:
        stamp = message.header.stamp
        if stamp.sec or stamp.nanosec:
            return
        message.header.stamp = self.get_clock().now().to_msg()
        if not self._unstamped:
            self.get_logger().warning(f"the {self._about} has no stamp: its time of arrival is taken from now on")
        self._unstamped += 1

    def _change(self, config: Any) -> None:
        """Hand new parameters over: to the worker, which applies them between two messages, where there is one."""
        pipeline = self.pipeline
        if pipeline is None or not isinstance(config, self.config_class):
            return
        if self._worker is None:
            pipeline.reconfigure(config)
        else:
            self._worker.soon(lambda: self._apply(pipeline, config))

    def _apply(self, pipeline: PipelineT, config: Any) -> None:
        try:
            pipeline.reconfigure(config)
        except EmotionError as error:
            self.get_logger().error(f"the parameters that were set are not applied: {error}")

    def _publish_diagnostics(self) -> None:
        pipeline, worker = self.pipeline, self._worker
        if pipeline is None:
            return
        now_s = time.monotonic()
        counts = self._earlier + worker.counts() if worker is not None else self._earlier
        notes: dict[str, Any] = {"unstamped": self._unstamped}
        if self._last_rejection:
            notes["last_rejection"] = self._last_rejection
        reports = [
            *(health.report(now_s) for health in self._health),
            self._flow.report(now_s, counts, self._lost),
            self._latency.report(now_s),
            diagnostics.Report(values=notes | dict(self.describe(pipeline))),
        ]
        name = self.get_fully_qualified_name().lstrip("/")
        fine = "inactive" if worker is None else "estimating"
        message = DiagnosticArray(status=[diagnostics.status(name, self._frame_id or name, fine, reports)])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)
