"""What every node with a camera has: its images in, estimates out, and the views of them."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from emotion_perception.msg import EmotionEstimate, EmotionEstimates, ModelInfo
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from emotion_core.parameters import parameter
from emotion_core.pipeline.facial import FacialPipeline
from emotion_core.types import EmotionEstimate as Estimate
from emotion_core.types import Face, Picture
from emotion_ros.base import qos
from emotion_ros.base.diagnostics import Report
from emotion_ros.base.estimator import THROTTLE_S, EstimatorNode, EstimatorNodeConfig, Pipeline
from emotion_ros.base.topics import image_topic
from emotion_ros.messages import images
from emotion_ros.messages.conversions import to_messages, to_seconds
from emotion_ros.process import native_output
from emotion_ros.views.detections import Detections, DetectionsConfig
from emotion_ros.views.hri import Hri, HriConfig
from emotion_ros.views.hri_faces import HriFaces, HriFacesConfig
from emotion_ros.views.markers import MarkerConfig, Markers
from emotion_ros.views.overlay import Overlay, OverlayConfig
from emotion_ros.views.view import Seen, View

PipelineT = TypeVar("PipelineT", bound=Pipeline)


@dataclass(frozen=True)
class SeeingNodeConfig(EstimatorNodeConfig, OverlayConfig, MarkerConfig, HriFacesConfig, HriConfig, DetectionsConfig):
    """What concerns the images and not the estimation; raises EmotionError for a bad value."""

    image_transport: str = parameter(
        "raw",
        "raw subscribes to sensor_msgs/Image, compressed to CompressedImage.",
        choices=("raw", "compressed"),
    )


class Card(Protocol):
    """What a model's card and a fusion's have in common."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def licence(self) -> str: ...

    def to_json(self) -> str: ...


class SeeingNode(EstimatorNode[PipelineT]):
    """Images on ``image``, estimates on ``~/estimates``; for the rest see EstimatorNode."""

    settings_class = SeeingNodeConfig
    settings: SeeingNodeConfig
    _views: Sequence[View] = ()
    _faces = 0
    _given: HriFaces | None = None

    @abstractmethod
    def see(self, pipeline: PipelineT, picture: Picture, stamp_s: float) -> Sequence[Estimate]:
        """Estimates of one image; raises EmotionError for an unusable one."""

    @abstractmethod
    def card(self, pipeline: PipelineT) -> Card:
        """Of what its estimates come from."""

    @abstractmethod
    def facial(self, pipeline: PipelineT) -> FacialPipeline:
        """The part of it that finds and classifies faces."""

    def advertise(self) -> None:
        """Estimates, and the views."""
        self._estimates = self.output(EmotionEstimates, "~/estimates", qos.ESTIMATES)
        self._estimate = self.output(EmotionEstimate, "~/estimate", qos.ESTIMATES)
        self._model_info = self.output(ModelInfo, "~/model_info", qos.LATCHED, always=True)
        settings, given = self.settings, self.settings.faces == "hri"
        self.overlay, self.markers = Overlay(self, settings, self._facial_now, self.rest), Markers(self, settings)
        views: list[View] = [self.overlay, self.markers]
        if settings.hri:
            views.append(Hri(self, settings.hri_cropped, known=given))
        if settings.detections:
            views.append(Detections(self))
        self._views, self._given = views, HriFaces(self) if given else None

    def loaded(self, pipeline: PipelineT) -> None:
        """Tell it to whoever subscribes, too."""
        super().loaded(pipeline)
        card, about = self.card(pipeline), self.describe(pipeline)
        info = ModelInfo(
            model=card.name,
            labels=list(card.labels),
            provider=about["provider"],
            detector=about["detector"],
            licence=card.licence,
            card=card.to_json(),
        )
        info.header.stamp = self.get_clock().now().to_msg()
        self._model_info.publish(info)

    def reports(self) -> Sequence[Report]:
        """How many faces there were in the last image, and what became of overlays and calibrations."""
        drawn, markers = self.overlay.counts, self.markers
        values = {
            "faces": self._faces,
            "overlay_drawn": drawn.processed,
            "overlay_dropped": drawn.dropped,
            "camera_infos": markers.heard,
            "camera_infos_unusable": markers.unusable,
        }
        return [Report(values=values)]

    def subscribe(self) -> None:
        """The camera's images, and what the views need."""
        for view in self._views:
            view.listen()
        kind = CompressedImage if self.settings.image_transport == "compressed" else Image
        topic = image_topic(self, "image", self.settings.image_transport)
        given = self._given
        topic = self.newest("image", kind, topic, qos.LATEST_IMAGE, hold=given.hold if given else None)
        if given is not None:
            given.listen()
        self.get_logger().info(f"ready, waiting for images on {topic}")

    def deactivate(self) -> None:
        """Finish the image at work, then its views."""
        if self._given is not None:
            self._given.end()
        with contextlib.ExitStack() as stack:
            for view in reversed(self._views):
                stack.callback(view.end)  # also where the image takes too long
            super().deactivate()

    def estimate(self, pipeline: PipelineT, message: Image | CompressedImage) -> None:
        """One image."""
        picture = self._picture(message)
        estimates = self.see(pipeline, picture, to_seconds(message.header.stamp))
        self.tell(pipeline, estimates, message.header, picture)

    def given(self, picture: Picture, stamp_s: float) -> Sequence[tuple[str, Face]] | None:
        """The faces in an image where somebody else finds them, for the pipeline; None where it does so itself."""
        return None if self._given is None else self._given.faces_at(stamp_s, picture.shape[1], picture.shape[0])

    def tell(
        self, pipeline: PipelineT, estimates: Sequence[Estimate], header: Header, picture: Picture | None = None
    ) -> None:
        """Publish the estimates of an image, or of a voice alone, and show them."""
        height, width = (0, 0) if picture is None else picture.shape[:2]
        message = to_messages(estimates, header, width, height)
        self._faces = sum(estimate.face is not None for estimate in estimates)
        self._estimates.publish(message)
        if message.estimates:
            self._estimate.publish(message.estimates[0])  # the largest face comes first
        seen = Seen(header, picture, estimates, message, self.card(pipeline).labels)
        for view in self._views:
            view.show(seen)

    def _facial_now(self) -> FacialPipeline | None:
        return None if self.pipeline is None else self.facial(self.pipeline)

    def _picture(self, message: Image | CompressedImage) -> Picture:
        if isinstance(message, Image):
            return images.to_bgr(message)
        with native_output.collected() as said:
            picture = images.compressed_to_bgr(message)
        if said:
            self.get_logger().warning(f"a decoder complains: {said[0]}", throttle_duration_sec=THROTTLE_S)
        return picture
