"""The node ``facial``: camera images in, emotion estimates out."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from emotion_perception.msg import EmotionEstimate, EmotionEstimates
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from emotion_core.errors import EmotionError
from emotion_core.parameters import CheckedConfig, parameter
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.types import EmotionEstimate as Estimate
from emotion_core.types import Picture
from emotion_ros import images, parameters, qos
from emotion_ros.conversions import to_messages, to_seconds
from emotion_ros.latest import Counts, LatestWorker
from emotion_ros.markers import to_markers
from emotion_ros.runner import run

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@dataclass(frozen=True)
class FacialNodeConfig(CheckedConfig):
    """What concerns the node and not the estimation."""

    image_transport: str = parameter(
        "raw",
        "raw subscribes to sensor_msgs/Image, compressed to CompressedImage.",
        choices=("raw", "compressed"),
    )
    autostart: bool = parameter(True, "Configure and activate at start, without a lifecycle manager.")
    diagnostics_period_s: float = parameter(1.0, "Seconds between two messages on /diagnostics.", low=0.1, high=60.0)


class FacialNode(LifecycleNode):
    """Managed node: the model is loaded in configure, the image is subscribed to in activate.

    A thread of its own works on the newest frame; frames that come in the meantime are dropped and counted.
    """

    def __init__(self) -> None:
        super().__init__("facial")
        parameters.declare(self, FacialNodeConfig)
        parameters.declare(self, FacialConfig, self._change)
        self.settings = parameters.read(self, FacialNodeConfig)
        self._pipeline: FacialPipeline | None = None
        self._worker: LatestWorker[Image | CompressedImage] | None = None
        self._changed: FacialConfig | None = None
        self._camera: CameraInfo | None = None
        self._reported = Counts()
        self._last_rejected = 0

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load detector and network, advertise the topics."""
        try:
            self._pipeline = FacialPipeline(parameters.read(self, FacialConfig))
        except EmotionError as error:
            self.get_logger().error(str(error))
            return FAILURE
        self._estimates = self.create_lifecycle_publisher(EmotionEstimates, "~/estimates", qos.ESTIMATES)
        self._estimate = self.create_lifecycle_publisher(EmotionEstimate, "~/estimate", qos.ESTIMATES)
        self._overlay = self.create_lifecycle_publisher(Image, "~/overlay", qos.IMAGE_OUT)
        self._markers = self.create_lifecycle_publisher(MarkerArray, "~/markers", qos.ESTIMATES)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.ESTIMATES)
        self._timer = self.create_timer(self.settings.diagnostics_period_s, self._publish_diagnostics)
        classifier, detector = self._pipeline.classifier, self._pipeline.detector
        self.get_logger().info(f"model {classifier.card.name} on {classifier.provider}, detector {detector.name}")
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe."""
        result = super().on_activate(state)
        assert self._pipeline is not None
        self._pipeline.reset()
        self._worker = LatestWorker(self._process, self._failed)
        kind, topic = (CompressedImage, "image/compressed") if self._compressed else (Image, "image")
        self._subscription = self.create_subscription(kind, topic, self._worker.put, qos.LATEST_IMAGE)
        self._camera_subscription = self.create_subscription(
            CameraInfo, "camera_info", self._set_camera, qos.LATEST_IMAGE
        )
        self.get_logger().info(f"ready, waiting for images on {self._subscription.topic_name}")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and let the frame at work finish."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give up network and topics."""
        self.destroy_timer(self._timer)
        for publisher in (self._estimates, self._estimate, self._overlay, self._markers, self._diagnostics):
            self.destroy_publisher(publisher)
        self._pipeline, self._changed = None, None
        self._reported, self._last_rejected = Counts(), 0
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working, from any state."""
        self._stop()
        return SUCCESS

    def destroy_node(self) -> None:
        """Stop the worker before its publishers go away."""
        self._stop()
        super().destroy_node()

    @property
    def _compressed(self) -> bool:
        return self.settings.image_transport == "compressed"

    def _stop(self) -> None:
        if self._worker is None:
            return
        self.destroy_subscription(self._subscription)
        self.destroy_subscription(self._camera_subscription)
        self._worker.stop()
        self._reported = self._add(self._worker.counts())
        self._worker = None

    def _add(self, counts: Counts) -> Counts:
        """Counts since configure: those of earlier activations and the given ones."""
        return Counts(**{name: value + getattr(counts, name) for name, value in vars(self._reported).items()})

    def _set_camera(self, message: CameraInfo) -> None:
        self._camera = message

    def _change(self, config: FacialConfig) -> None:
        """Remember new parameters; the worker applies them before its next frame."""
        self._changed = config

    def _process(self, message: Image | CompressedImage) -> bool:
        """Work on one image, in the worker's thread; False when it is unusable."""
        pipeline = self._pipeline
        assert pipeline is not None
        if self._changed is not None and self._changed is not pipeline.config:
            pipeline.reconfigure(self._changed)
        try:
            picture = images.compressed_to_bgr(message) if self._compressed else images.to_bgr(message)
        except EmotionError as error:
            self.get_logger().warning(
                f"rejected an image on {self._subscription.topic_name}: {error}", throttle_duration_sec=5.0
            )
            return False
        estimates = pipeline.process(picture, to_seconds(message.header.stamp))
        self._publish(picture, message, estimates)
        return True

    def _publish(self, picture: Picture, source: Image | CompressedImage, estimates: list[Estimate]) -> None:
        height, width = picture.shape[:2]
        result = to_messages(estimates, source.header, width, height)
        self._estimates.publish(result)
        if result.estimates:
            self._estimate.publish(result.estimates[0])  # the largest face comes first
        if self._camera is not None and self._markers.get_subscription_count():
            self._markers.publish(to_markers(result, self._camera))
        if self._overlay.get_subscription_count():
            from emotion_core.vision.draw import draw_estimates

            self._overlay.publish(images.to_message(draw_estimates(picture, estimates), source.header))

    def _failed(self, error: Exception) -> None:
        """A defect of ours, not of the image: say everything once in a while, and go on."""
        self.get_logger().error(
            f"could not process an image: {type(error).__name__}: {error}", throttle_duration_sec=5.0
        )

    def _publish_diagnostics(self) -> None:
        pipeline, worker = self._pipeline, self._worker
        if pipeline is None:
            return
        counts = self._add(worker.counts()) if worker is not None else self._reported
        status = DiagnosticStatus(name=self.get_fully_qualified_name().lstrip("/"), hardware_id=pipeline.detector.name)
        if worker is None:
            status.level, status.message = DiagnosticStatus.OK, "inactive"
        elif counts.rejected > self._last_rejected:
            status.level = DiagnosticStatus.WARN
            status.message = f"{counts.rejected - self._last_rejected} images rejected since the last report"
        elif not counts.received:
            status.level, status.message = DiagnosticStatus.STALE, "no image yet"
        else:
            status.level, status.message = DiagnosticStatus.OK, "estimating"
        self._last_rejected = counts.rejected
        values = {
            **vars(counts),
            "detector": pipeline.detector.name,
            "model": pipeline.classifier.card.name,
            "provider": pipeline.classifier.provider,
        }
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def create() -> FacialNode:
    """The node, active unless a lifecycle manager is to take care of that."""
    node = FacialNode()
    if not node.settings.autostart:
        node.get_logger().info("waiting for a lifecycle manager")
    elif node.trigger_configure() != SUCCESS:
        node.destroy_node()
        raise EmotionError("could not be configured, for the reason above")
    else:
        node.trigger_activate()
    return node


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; returns the exit code."""
    return run("facial", create, args)


if __name__ == "__main__":
    sys.exit(main())
