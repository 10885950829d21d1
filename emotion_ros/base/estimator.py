"""The base of every node that estimates: its worker, its parameters and its health, on top of its life.

A node on this base says which topics it has and converts messages; nothing else. See ``EstimatorNode``.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from std_srvs.srv import SetBool, Trigger

from emotion_core.errors import EmotionError
from emotion_core.parameters import CheckedConfig, parameter
from emotion_ros.base import parameters, qos
from emotion_ros.base.diagnostics import InputHealth, Report
from emotion_ros.base.health import NodeHealth
from emotion_ros.base.latest import Counts, LatestWorker
from emotion_ros.base.limit import RateLimit
from emotion_ros.base.managed import THROTTLE_S, ManagedNode, explain
from emotion_ros.base.settings import SettingsLoader
from emotion_ros.messages.conversions import to_seconds


class Pipeline(Protocol):
    """What a node needs of the core: something that remembers people from one sample to the next."""

    @property
    def next_id(self) -> int:
        """Number of the next new person."""

    @property
    def config(self) -> Any:
        """The settings that count."""

    def check(self, config: Any) -> bool:
        """Whether new settings make it load something; raises EmotionError where they clearly cannot be."""

    def prepare(self, config: Any) -> Callable[[], None]:
        """Load what new settings need, in any thread; returns what takes them over, between two samples."""

    def reset(self) -> None:
        """Forget everybody."""


PipelineT = TypeVar("PipelineT", bound=Pipeline)


@dataclass(frozen=True)
class EstimatorNodeConfig(CheckedConfig):
    """What concerns a node and not the estimation; raises EmotionError for a bad value."""

    autostart: bool = parameter(True, "Configure and activate at start, without a lifecycle manager.")
    max_rate_hz: float = parameter(
        0.0, "At most so many messages a second are worked on, by their stamps; 0 for all.", low=0.0, high=1000.0
    )
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
        self.health = NodeHealth()
        self._first_id = 1
        self._worker: LatestWorker[tuple[Any, float]] | None = None
        self._loader: SettingsLoader | None = None
        self._enabled = True
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
        health, limit = self._watch(noun, topic), RateLimit(self.settings.max_rate_hz)
        self.health.work_on(noun, topic)

        def take(message: Any, info: Mapping[str, Any]) -> None:
            health.heard(time.monotonic())
            self.health.number(info.get("publication_sequence_number"), lambda: self.count_publishers(topic) == 1)
            self.health.frame_id = message.header.frame_id or self.health.frame_id
            self._stamp_if_unset(message)
            if not limit.passes(to_seconds(message.header.stamp)):
                self.health.limited += 1
                return
            item = (message, time.monotonic())
            if hold is None:
                worker.put(item)
            else:
                hold(message, lambda wanted: worker.put(item) if wanted else worker.leave_out())

        # Humble tells nothing about a message, and takes callbacks with one argument only.
        numbered = hasattr(Subscription, "CallbackType")
        self.input(kind, topic, take if numbered else lambda message: take(message, {}), profile)
        return topic

    def rest(self, timeout_s: float) -> None:
        """Wait until no message is worked on, but no longer than this: for what is not to delay an estimate."""
        worker = self._worker
        if worker is not None:
            worker.wait_idle(timeout_s)

    def every(
        self,
        noun: str,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        profile: QoSProfile,
        vital: bool = False,
    ) -> None:
        """Subscribe to messages of which none is left out, such as sound; diagnostics tell when they stop coming.

        Without vital ones, the others are of no use.
        """
        topic = self.resolve_topic_name(topic)
        health = self._watch(noun, topic, vital)

        def take(message: Any) -> None:
            health.heard(time.monotonic())
            callback(message)

        self.input(kind, topic, take, profile)

    def _watch(self, noun: str, topic: str, vital: bool = False) -> InputHealth:
        return self.health.watch(noun, topic, self.settings.stale_warn_s, self.settings.stale_error_s, vital)

    # ---- life ----------------------------------------------------------------------------------------------------

    def autostart(self) -> None:
        """Configure and activate, unless the parameter leaves that to a lifecycle manager; raises as ``start``."""
        if self.settings.autostart:
            self.start()
        else:
            self.get_logger().info("waiting for a lifecycle manager")

    def configure(self) -> None:
        """Load what estimates, advertise topics and services, begin to report."""
        self.settings, self._enabled = parameters.read(self, self.settings_class), True
        self.pipeline = self.make_pipeline(parameters.read(self, self.config_class), self._first_id)
        self.advertise()
        self._diagnostics = self.output(DiagnosticArray, "/diagnostics", qos.ESTIMATES, always=True)
        self.timer(self.settings.diagnostics_period_s, self._publish_diagnostics)
        self.service(SetBool, "~/set_enabled", self._set_enabled)
        self.service(Trigger, "~/reset", self._reset)
        self.loaded(self.pipeline)

    def activate(self) -> None:
        """Start the worker and subscribe."""
        pipeline = self.pipeline
        assert pipeline is not None
        wanted = parameters.read(self, self.config_class)
        if wanted != pipeline.config:  # set while they could not be taken over any more
            pipeline.prepare(wanted)()
            self.loaded(pipeline)
        pipeline.reset()
        self._worker = LatestWorker(self._work, self._failed)
        self._loader = SettingsLoader(self, pipeline, self._worker, lambda: self.loaded(pipeline))
        self._enabled = True
        self.subscribe()

    def deactivate(self) -> None:
        """Let the message at work finish; raises EmotionError when it takes too long."""
        self.health.listen_no_more()
        loader, self._loader = self._loader, None
        if loader is not None:
            loader.stop()
        worker, self._worker = self._worker, None
        if worker is not None:
            ended = worker.stop()
            self.health.earlier += worker.counts()
            if not ended:
                raise EmotionError("the message at work has not been finished within 5 s")

    def forget(self) -> None:
        """Give up what estimates; the next one goes on with the ids."""
        if self.pipeline is not None:
            self._first_id, self.pipeline = self.pipeline.next_id, None
        self.health = NodeHealth()

    def loaded(self, pipeline: PipelineT) -> None:
        """Tell what estimates from now on: it was loaded, or something else was."""
        self.get_logger().info(", ".join(f"{name} {value}" for name, value in self.describe(pipeline).items()))

    def _set_enabled(self, request: SetBool.Request) -> str:
        """Rest, or go on: as inactive as after ``deactivate``, without a change of state."""
        if self.state != "active":
            raise EmotionError(f"the node is {self.state}: only an active one can be enabled or disabled")
        if request.data != self._enabled:
            if request.data:
                self.activate()
            else:
                self._end_work()
            self._enabled = request.data
        return "enabled" if self._enabled else "disabled: it listens to nothing"

    def _reset(self, _: Trigger.Request) -> str:
        pipeline, worker = self.pipeline, self._worker
        assert pipeline is not None
        if worker is None:
            pipeline.reset()
        else:
            worker.soon(pipeline.reset, "reset")
        return "everybody is forgotten"

    # ---- work ----------------------------------------------------------------------------------------------------

    def _work(self, item: tuple[Any, float]) -> bool:
        """Work on one message, in the worker's thread; False when it is unusable."""
        message, received_s = item
        pipeline = self.pipeline
        assert pipeline is not None
        try:
            self.estimate(pipeline, message)
        except EmotionError as error:
            self.health.last_rejection = str(error)
            self.get_logger().warning(f"rejected the {self.health.about}: {error}", throttle_duration_sec=THROTTLE_S)
            return False
        now_s = time.monotonic()
        self.health.latency.add(now_s, now_s - received_s)
        return True

    def _failed(self, error: Exception) -> None:
        """A defect of ours, not of the message: say everything once in a while, and go on."""
        self.health.last_rejection = f"{type(error).__name__}: {error}"
        self.get_logger().error(
            f"could not process the {self.health.about}: {explain(error)}", throttle_duration_sec=THROTTLE_S
        )

    def _stamp_if_unset(self, message: Any) -> None:
        stamp = message.header.stamp
        if stamp.sec or stamp.nanosec:
            return
        message.header.stamp = self.get_clock().now().to_msg()
        if not self.health.unstamped:
            self.get_logger().warning(f"the {self.health.about} has no stamp: its time of arrival is taken from now on")
        self.health.unstamped += 1

    def _change(self, config: Any) -> None:
        """Hand new parameters over, to be taken over between two messages; raises EmotionError to refuse them."""
        pipeline = self.pipeline
        if pipeline is None or not isinstance(config, self.config_class):
            return
        if self._loader is not None:
            self._loader.change(config)
            return
        loads = pipeline.check(config)
        pipeline.prepare(config)()
        if loads:
            self.loaded(pipeline)

    def reports(self) -> Sequence[Report]:
        """What else to tell on /diagnostics."""
        return ()

    def _publish_diagnostics(self) -> None:
        pipeline, worker = self.pipeline, self._worker
        if pipeline is None:
            return
        name = self.get_fully_qualified_name().lstrip("/")
        fine = "estimating" if worker is not None else "inactive" if self._enabled else "disabled"
        counts = worker.counts() if worker is not None else Counts()
        reports = [*self.reports(), Report(values=self.describe(pipeline))]
        status = self.health.status(name, fine, counts, reports)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)
