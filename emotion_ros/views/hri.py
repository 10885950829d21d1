"""Faces and their expressions under /humans/faces, in the words and messages of human-robot interaction.

REP-155, Conventions, Topics, Interfaces for Perception in Human-Robot Interaction: https://reps.openrobotics.org/rep-0155
The messages are those of hri_msgs 2 (https://github.com/ros4hri/hri_msgs).
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from emotion_core.labels import meaning
from emotion_core.parameters import CheckedConfig, parameter
from emotion_core.pipeline.cadence import Cadence
from emotion_core.types import EmotionEstimate, Face, Picture
from emotion_core.vision.cut import cut_out
from emotion_ros.base import qos
from emotion_ros.base.handover import Outlet
from emotion_ros.base.managed import ManagedNode
from emotion_ros.messages import images
from emotion_ros.messages.conversions import to_seconds
from emotion_ros.messages.others import message_type
from emotion_ros.views.view import Seen

FACES = "/humans/faces"
TRACKED = f"{FACES}/tracked"
CROPPED_PX = 128
"""Side of a cropped face: REP-155's default, and what hri_face_detect publishes."""

EXPRESSIONS = MappingProxyType(
    {
        "neutral": "neutral",
        "happy": "happy",
        "sad": "sad",
        "surprise": "surprised",
        "fear": "scared",
        "disgust": "disgusted",
        "anger": "angry",
        "contempt": "",
    }
)
"""Our labels in the words of hri_msgs/Expression, which has none for contempt."""


@dataclass(frozen=True)
class HriConfig(CheckedConfig):
    """What is published for human-robot interaction; raises EmotionError for a bad value."""

    hri: bool = parameter(False, "Publish faces and expressions under /humans/faces (REP-155); takes hri_msgs.")
    hri_cropped: bool = parameter(
        False, "With hri, publish a picture of each face as well, while somebody subscribes: it shows who that is."
    )


@dataclass
class _Person:
    """The publishers of one face."""

    seen_s: float
    expression: Outlet
    roi: Outlet | None = None
    cropped: Outlet | None = None


class Hri:
    """``/humans/faces/tracked``, and for each face ``roi``, ``expression`` and, if wanted, ``cropped``.

    A face is listed, and its topics are there, for as long as a tracker would remember it.

    Args:
        node: has a parameter ``max_gap_s``.
        cropped: whether pictures of faces may be published.
        known: the faces are those of another node, which publishes everything but the expressions, and their ids are
            that node's. Otherwise an id is that of the track after some random letters: no other node, and not the
            same one after a restart, gives somebody else the same id.

    Raises:
        EmotionError: hri_msgs is not installed.
    """

    def __init__(self, node: ManagedNode, cropped: bool = False, known: bool = False) -> None:
        self._node, self._with_cropped, self._known = node, cropped and not known, known
        self._expression_type, self._list_type, self._roi_type = (
            message_type("hri_msgs", name, "hri: true")
            for name in ("Expression", "IdsList", "NormalizedRegionOfInterest2D")
        )
        self._prefix = "" if known else "".join(secrets.choice(string.ascii_lowercase) for _ in range(5))
        self._tracked = None if known else node.output(self._list_type, TRACKED, qos.ESTIMATES)
        self._people: dict[str, _Person] = {}
        self._cadence = Cadence(0.0)
        self._header = Header()

    def listen(self) -> None:
        """There is nothing to listen to."""

    def show(self, seen: Seen) -> None:
        """Publish the faces of an image, then their list; a voice alone tells only that time has gone on."""
        self._header, stamp_s = seen.header, to_seconds(seen.header.stamp)
        if seen.picture is not None:
            for estimate in seen.estimates:
                if estimate.face is not None and estimate.track_id:
                    self._publish(estimate, estimate.face, seen.picture, stamp_s)
            self._cadence.max_gap_s = self._node.get_parameter("max_gap_s").value
            self._cadence.update(stamp_s)
        # Also whom a clock has left in the future.
        gone = [name for name, p in self._people.items() if abs(stamp_s - p.seen_s) > self._cadence.gap_s]
        self._forget(gone)
        if gone or seen.picture is not None:
            self._list()

    def end(self) -> None:
        """Nobody is seen any more."""
        if self._people:
            self._forget(list(self._people))
            self._list()
        self._cadence = Cadence(0.0)

    def _list(self) -> None:
        if self._tracked is not None:
            self._tracked.publish(self._list_type(header=self._header, ids=list(self._people)))

    def _publish(self, estimate: EmotionEstimate, face: Face, picture: Picture, stamp_s: float) -> None:
        name = self._prefix + estimate.track_id
        person = self._people.get(name)
        if person is None:
            person = self._people[name] = self._advertise(name, stamp_s)
        person.seen_s = stamp_s
        if person.roi is not None:
            person.roi.publish(self._to_roi(face, picture))
        if person.cropped is not None and person.cropped.get_subscription_count():
            square = cut_out(picture, face.box, CROPPED_PX)
            if square is not None:
                person.cropped.publish(images.to_message(square, self._header))
        person.expression.publish(
            self._expression_type(
                header=self._header,
                expression=expression_of(estimate.label, self._expression_type),
                valence=estimate.valence,
                arousal=estimate.arousal,
                confidence=estimate.confidence,
            )
        )

    def _advertise(self, name: str, stamp_s: float) -> _Person:
        def output(kind: Any, topic: str, profile: Any = qos.ESTIMATES) -> Outlet:
            return self._node.output(kind, f"{FACES}/{name}/{topic}", profile, brief=True)

        person = _Person(stamp_s, output(self._expression_type, "expression"))
        if not self._known:
            person.roi = output(self._roi_type, "roi")
        if self._with_cropped:
            person.cropped = output(Image, "cropped", qos.IMAGE_OUT)
        return person

    def _forget(self, names: list[str]) -> None:
        for name in names:
            person = self._people.pop(name)
            for publisher in (person.expression, person.roi, person.cropped):
                if publisher is not None:
                    self._node.drop(publisher)

    def _to_roi(self, face: Face, picture: Picture) -> Any:
        """Shares of the picture's size, of what lies inside."""
        height, width = picture.shape[:2]
        box = face.box
        return self._roi_type(
            header=self._header,
            xmin=_share(box.x, width),
            ymin=_share(box.y, height),
            xmax=_share(box.x + box.width, width),
            ymax=_share(box.y + box.height, height),
            c=face.score,
        )


def expression_of(label: str, kind: Any) -> str:
    """A label in the words of a message type hri_msgs/Expression; empty where it has none for it."""
    word = EXPRESSIONS.get(meaning(label), label.lower())
    known = getattr(kind, word.upper(), "")
    return word if word == known else ""


def _share(position_px: float, size_px: int) -> float:
    return min(1.0, max(0.0, position_px / size_px))
