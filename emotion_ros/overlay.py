"""The picture with what was estimated drawn in, for RViz."""

from __future__ import annotations

from sensor_msgs.msg import Image

from emotion_ros import images, qos
from emotion_ros.managed import ManagedNode
from emotion_ros.views import Seen


class Overlay:
    """``~/overlay``, drawn only while somebody subscribes."""

    def __init__(self, node: ManagedNode) -> None:
        self._publisher = node.output(Image, "~/overlay", qos.IMAGE_OUT)

    def listen(self) -> None:
        """There is nothing to listen to."""

    def show(self, seen: Seen) -> None:
        """Draw and publish."""
        if seen.picture is None or not self._publisher.get_subscription_count():
            return
        from emotion_core.vision.draw import draw_estimates

        self._publisher.publish(images.to_message(draw_estimates(seen.picture, seen.estimates), seen.header))

    def end(self) -> None:
        """There is nothing to finish."""
