"""What follows from the estimates of an image: pictures, markers, other packages' messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from emotion_perception.msg import EmotionEstimates
from std_msgs.msg import Header

from emotion_core.types import EmotionEstimate, Picture


@dataclass(frozen=True)
class Seen:
    """What is known of one image.

    Attributes:
        header: of the image.
        picture: (height, width, 3) uint8 BGR, which nobody may change; None where only a voice was heard.
        estimates: of everybody, the largest face first.
        message: the same as it was published.
        labels: all classes that the estimates may name.
    """

    header: Header
    picture: Picture | None
    estimates: Sequence[EmotionEstimate]
    message: EmotionEstimates
    labels: Sequence[str]


class View(Protocol):
    """Publishes something that follows from the estimates.

    A node makes it in ``advertise``, and it makes its publishers then, with the node's ``output``. Its settings are
    fields of the node's.
    """

    def listen(self) -> None:
        """Begin: the node is being activated. Subscriptions are made here, with the node's ``input``."""

    def show(self, seen: Seen) -> None:
        """Publish what follows, or have a thread of its own do so; called after the estimates were published."""

    def end(self) -> None:
        """Finish what is at work: the node is being deactivated, and no ``show`` comes until ``listen``."""
