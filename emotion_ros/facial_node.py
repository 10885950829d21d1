"""The node ``facial``: camera images in, emotion estimates out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from emotion_perception.msg import EmotionEstimate, EmotionEstimates
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from emotion_core.parameters import parameter
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.types import EmotionEstimate as Estimate
from emotion_core.types import Picture
from emotion_ros import images, native_output, qos
from emotion_ros.conversions import to_messages, to_seconds
from emotion_ros.estimator import THROTTLE_S, EstimatorNode, EstimatorNodeConfig
from emotion_ros.markers import to_markers
from emotion_ros.runner import run
from emotion_ros.topics import camera_info_topic, image_topic

NAME = "facial"


@dataclass(frozen=True)
class FacialNodeConfig(EstimatorNodeConfig):
    """What concerns the node and not the estimation; raises EmotionError for a bad value."""

    image_transport: str = parameter(
        "raw",
        "raw subscribes to sensor_msgs/Image, compressed to CompressedImage.",
        choices=("raw", "compressed"),
    )


CONFIGS = (FacialConfig, FacialNodeConfig)


class FacialNode(EstimatorNode[FacialPipeline]):
    """Faces in ``image``, their emotions on ``~/estimates``; for the rest see EstimatorNode."""

    config_class, settings_class = FacialConfig, FacialNodeConfig
    settings: FacialNodeConfig

    def make_pipeline(self, config: FacialConfig, first_id: int) -> FacialPipeline:
        """Detector and network."""
        return FacialPipeline(config, first_id=first_id)

    def describe(self, pipeline: FacialPipeline) -> Mapping[str, str]:
        """What was loaded."""
        classifier = pipeline.classifier
        return {
            "model": classifier.card.name,
            "provider": classifier.provider,
            "detector": pipeline.detector.name,
        }

    def advertise(self) -> None:
        """Estimates, and what RViz shows."""
        self._estimates = self.output(EmotionEstimates, "~/estimates", qos.ESTIMATES)
        self._estimate = self.output(EmotionEstimate, "~/estimate", qos.ESTIMATES)
        self._overlay = self.output(Image, "~/overlay", qos.IMAGE_OUT)
        self._markers = self.output(MarkerArray, "~/markers", qos.ESTIMATES)

    def subscribe(self) -> None:
        """The camera's images and its calibration."""
        self._camera: CameraInfo | None = None
        kind = CompressedImage if self.settings.image_transport == "compressed" else Image
        topic = image_topic(self, "image", self.settings.image_transport)
        for profile in (qos.LATEST_IMAGE, qos.LATCHED):  # sent with every image, or once
            self.input(CameraInfo, camera_info_topic(self, "image"), self._set_camera, profile, optional=True)
        self.get_logger().info(f"ready, waiting for images on {self.newest('image', kind, topic, qos.LATEST_IMAGE)}")

    def estimate(self, pipeline: FacialPipeline, message: Image | CompressedImage) -> None:
        """One image."""
        picture = self._picture(message)
        estimates = pipeline.process(picture, to_seconds(message.header.stamp))
        self._publish(picture, message, estimates)

    def _picture(self, message: Image | CompressedImage) -> Picture:
        if isinstance(message, Image):
            return images.to_bgr(message)
        with native_output.collected() as said:
            picture = images.compressed_to_bgr(message)
        if said:
            self.get_logger().warning(f"a decoder complains: {said[0]}", throttle_duration_sec=THROTTLE_S)
        return picture

    def _publish(self, picture: Picture, source: Image | CompressedImage, estimates: list[Estimate]) -> None:
        height, width = picture.shape[:2]
        result = to_messages(estimates, source.header, width, height)
        self._estimates.publish(result)
        if result.estimates:
            self._estimate.publish(result.estimates[0])  # the largest face comes first
        camera = self._camera
        if camera is not None and self._markers.get_subscription_count():
            self._markers.publish(to_markers(result, camera))
        if self._overlay.get_subscription_count():
            from emotion_core.vision.draw import draw_estimates

            self._overlay.publish(images.to_message(draw_estimates(picture, estimates), source.header))

    def _set_camera(self, message: CameraInfo) -> None:
        self._camera = message


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; returns the exit code."""
    return run(NAME, lambda: FacialNode(NAME), args, start=FacialNode.autostart)


if __name__ == "__main__":
    sys.exit(main())
