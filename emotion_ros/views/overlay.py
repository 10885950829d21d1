"""The picture with what was estimated drawn in, for RViz, in a thread of its own."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from emotion_core.errors import EmotionError
from emotion_core.parameters import CheckedConfig, parameter
from emotion_core.pipeline.facial import FacialPipeline
from emotion_core.types import Picture
from emotion_core.vision.blur import FaceBlur
from emotion_core.vision.picture import shrink
from emotion_core.vision.trace import TRACE_S, AffectTraces
from emotion_ros.base import qos
from emotion_ros.base.latest import Counts, LatestWorker
from emotion_ros.base.managed import THROTTLE_S, ManagedNode, explain
from emotion_ros.messages import images
from emotion_ros.messages.conversions import to_seconds
from emotion_ros.views.view import Seen

FORMAT = "bgr8; jpeg compressed bgr8"
"""As image_transport names it."""
PATIENCE_S = 0.5
"""So long a picture waits until nothing is estimated: where that never happens, two a second are drawn all the same."""
_EMPTY_PX = (480, 640, 3)
_GROUND = (28, 24, 22)  # BGR
_DARKENED = 0.35  # nobody should take an old picture for a live one


@dataclass(frozen=True)
class OverlayConfig(CheckedConfig):
    """What is drawn; raises EmotionError for a bad value."""

    overlay_size: int = parameter(
        960, "The overlay is shrunk to this many pixels on its longer side; 0 keeps the size.", low=0, high=16384
    )
    overlay_quality: int = parameter(80, "JPEG quality of the compressed overlay.", low=1, high=100)
    overlay_trace_s: float = parameter(
        TRACE_S, "The overlay shows valence and arousal of so many last seconds; 0 shows now alone.", low=0.0, high=60.0
    )
    overlay_blur: str = parameter(
        "none", "faces blurs every head in the overlay, beyond recovery.", choices=("none", "faces")
    )
    saliency: bool = parameter(
        False,
        "Colour in the overlay what of a face speaks for its label (Grad-CAM); takes torch and the model's "
        ".safetensors beside its .onnx.",
    )


class Overlay:
    """``~/overlay``, and ``~/overlay/compressed`` as JPEG: drawn only while somebody subscribes.

    The newest image is drawn by a thread of its own, and as a rule while nothing is estimated: sending a large picture
    takes milliseconds in which no other thread of Python runs. What comes in the meantime is not drawn, and counted. A
    voice that is heard while no pictures come is drawn on the last one, which is darkened.

    Args:
        node: publishes it.
        settings: what is drawn.
        facial: gives what classifies the faces at the moment, for ``saliency``; None while there is nothing.
        rest: waits until nothing is estimated, at most for so many seconds.

    Raises:
        EmotionError: with ``saliency``, torch or the weights are missing.
    """

    def __init__(
        self,
        node: ManagedNode,
        settings: OverlayConfig,
        facial: Callable[[], FacialPipeline | None],
        rest: Callable[[float], None],
    ) -> None:
        self._node, self._settings, self._rest = node, settings, rest
        self._raw = node.output(Image, "~/overlay", qos.IMAGE_OUT)
        self._compressed = node.output(CompressedImage, "~/overlay/compressed", qos.IMAGE_OUT)
        self._heat = Heat(node, facial) if settings.saliency else None
        self._worker: LatestWorker[Seen] | None = None
        self._earlier = Counts()
        self._traces = AffectTraces(settings.overlay_trace_s)
        self._last: tuple[Picture, float] | None = None
        self._blur: FaceBlur | None = None
        if settings.overlay_blur == "faces":
            pipeline = facial()
            self._blur = FaceBlur("auto" if pipeline is None else pipeline.config.detector)

    @property
    def counts(self) -> Counts:
        """What became of what was to be drawn, since the node was configured."""
        worker = self._worker
        return self._earlier + worker.counts() if worker is not None else self._earlier

    def listen(self) -> None:
        """Begin to draw."""
        self._traces = AffectTraces(self._settings.overlay_trace_s)
        self._worker = LatestWorker(self._draw, self._failed, "overlay", lambda: self._rest(PATIENCE_S))

    def show(self, seen: Seen) -> None:
        """Have it drawn; paths are remembered also while nobody looks."""
        self._traces.add(seen.estimates, to_seconds(seen.header.stamp))
        if self._worker is None or not self._wanted():
            self._last = None  # a picture is kept only for those who look at it
            return
        self._worker.put(seen)

    def end(self) -> None:
        """Let the picture at work be finished; raises EmotionError when it takes too long."""
        worker, self._worker = self._worker, None
        if worker is not None:
            ended = worker.stop()
            self._earlier += worker.counts()
            if not ended:
                raise EmotionError("the overlay at work has not been finished within 5 s")
        self._last = None

    def _wanted(self) -> bool:
        """Whether somebody subscribes."""
        return bool(self._raw.get_subscription_count() or self._compressed.get_subscription_count())

    def _draw(self, seen: Seen) -> bool:
        drawn = self._picture(seen)
        if self._raw.get_subscription_count():
            self._raw.publish(images.to_message(drawn, seen.header))
        if self._compressed.get_subscription_count():
            self._compressed.publish(to_compressed(drawn, seen.header, self._settings.overlay_quality))
        return True

    def _picture(self, seen: Seen) -> Picture:
        stamp_s, size = to_seconds(seen.header.stamp), self._settings.overlay_size
        picture, status = self._ground(seen, stamp_s)
        canvas, factor = shrink(picture, size) if size else (picture, 1.0)
        if self._heat is not None:
            canvas = self._heat(canvas, factor, seen)
        traces = self._traces.points(seen.estimates, stamp_s)
        from emotion_core.vision.draw import draw_estimates, placed  # only for those who look

        return draw_estimates(canvas, placed(seen.estimates, factor, (0, 0)), status, traces=traces)

    def _ground(self, seen: Seen, stamp_s: float) -> tuple[Picture, str]:
        """What is drawn on, and what is to be said about it."""
        if seen.picture is not None:
            shown = seen.picture if self._blur is None else self._blur(seen.picture, seen.estimates, stamp_s)
            self._last = shown, stamp_s
            return shown, ""
        if self._last is None:
            return np.full(_EMPTY_PX, _GROUND, np.uint8), "no picture"
        picture, last_s = self._last
        dark = np.asarray(cv2.convertScaleAbs(picture, alpha=_DARKENED), np.uint8)
        return dark, f"no picture for {max(0.0, stamp_s - last_s):.1f} s"

    def _failed(self, error: Exception) -> None:
        logger = self._node.get_logger()
        logger.error(f"could not draw the overlay: {explain(error)}", throttle_duration_sec=THROTTLE_S)


class Heat:
    """Colours the faces by what speaks for their labels, with the network that classifies them at the moment."""

    def __init__(self, node: ManagedNode, facial: Callable[[], FacialPipeline | None]) -> None:
        self._node, self._facial = node, facial
        self._classifier: Any = None
        self._explainer: Any = None
        pipeline = facial()
        assert pipeline is not None, "expected to be made when the pipeline is there"
        self._load(pipeline)

    def __call__(self, canvas: Picture, factor: float, seen: Seen) -> Picture:
        """The canvas, which is the picture ``factor`` times as large, with its faces coloured."""
        pipeline = self._facial()
        if pipeline is None or seen.picture is None:
            return canvas
        if pipeline.classifier is not self._classifier:
            self._reload(pipeline)
        if self._explainer is None:
            return canvas
        coloured = canvas.copy()
        self._explainer.draw(coloured, seen.picture, factor, seen.estimates, pipeline.detector.framing)
        return coloured

    def _load(self, pipeline: FacialPipeline) -> None:
        from emotion_core.plots.explainer import Explainer, one_thread

        one_thread()  # the cores are for the estimates
        self._classifier, self._explainer = pipeline.classifier, None
        self._explainer = Explainer(pipeline.config.model, pipeline.classifier.card)

    def _reload(self, pipeline: FacialPipeline) -> None:
        """The node goes on with another network; without colours where that cannot be explained."""
        try:
            self._load(pipeline)
        except EmotionError as error:
            self._node.get_logger().error(f"the overlay goes on without saliency: {error}")


def to_compressed(picture: Picture, header: Header, quality: int) -> CompressedImage:
    """A sensor_msgs/CompressedImage with the picture as JPEG.

    Args:
        picture: (height, width, 3) uint8, BGR.
        header: of the message; not copied.
        quality: from 1 to 100.
    """
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise EmotionError(f"the overlay of {picture.shape[1]} x {picture.shape[0]} could not be compressed as JPEG")
    packed = array("B")
    packed.frombytes(data.reshape(-1).data)
    return CompressedImage(header=header, format=FORMAT, data=packed)
