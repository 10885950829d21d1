"""What the facial node publishes under /humans/faces, with the real messages, over DDS."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hri_msgs.msg import Expression, IdsList, NormalizedRegionOfInterest2D
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from emotion_core.types import Box, EmotionEstimate, Face
from emotion_core.vision.cut import cut_out
from emotion_ros.base import qos
from emotion_ros.messages import images
from emotion_ros.views.hri import CROPPED_PX, EXPRESSIONS, FACES, Hri, expression_of
from emotion_ros.views.view import Seen

pytestmark = pytest.mark.ros


@dataclass
class Told:
    """What came on the topics of one face."""

    roi: list[Any] = field(default_factory=list)
    expression: list[Any] = field(default_factory=list)
    cropped: list[Any] = field(default_factory=list)


class Listener:
    """Does as libhri: follows the list, and subscribes to the topics of who is on it."""

    def __init__(self, node: Any) -> None:
        self.node, self.lists, self.people = node, [], {}  # type: ignore[var-annotated]
        node.create_subscription(IdsList, "/humans/faces/tracked", self.take, qos.ESTIMATES)

    def take(self, message: Any) -> None:
        self.lists.append(message)
        for name in message.ids:
            if name not in self.people:
                told = self.people[name] = Told()
                for kind, topic in ((NormalizedRegionOfInterest2D, "roi"), (Expression, "expression")):
                    self.subscribe(kind, name, topic, getattr(told, topic))

    def subscribe(self, kind: Any, name: str, topic: str, store: list[Any]) -> Any:
        return self.node.create_subscription(kind, f"{FACES}/{name}/{topic}", store.append, qos.ESTIMATES)

    def topics(self) -> set[str]:
        return {name for name, _ in self.node.get_topic_names_and_types() if name.startswith(FACES)}


@pytest.fixture
def listener(ros_node: Any) -> Listener:
    return Listener(ros_node)


def publishers(node: Any) -> list[str]:
    """The topics of faces on which a node publishes."""
    return sorted(p.topic_name for p in node.publishers if p.topic_name.startswith(f"{FACES}/"))


def test_a_face_is_listed_with_its_place_and_expression(
    facial: Any, seen: Any, seen_until: Any, listener: Listener, spin_until: Any, face: np.ndarray
) -> None:
    node = facial(hri=True)
    seen_until(node, face, lambda: any(told.roi and told.expression for told in listener.people.values()))
    answer = seen(node, face)
    (estimate,), ((name, told),) = answer.estimates, listener.people.items()
    assert re.fullmatch(r"[a-z]{5}1", name)
    assert spin_until(lambda: told.roi[-1].header == told.expression[-1].header == answer.header)
    assert spin_until(lambda: listener.lists[-1].header == answer.header)
    assert listener.lists[-1].ids == [name]
    roi, expression = told.roi[-1], told.expression[-1]
    corners = np.array([roi.xmin, roi.ymin, roi.xmax, roi.ymax]) * (512, 480, 512, 480)
    box = estimate.roi  # whole pixels that hold the face
    whole = [box.x_offset, box.y_offset, box.x_offset + box.width, box.y_offset + box.height]
    np.testing.assert_allclose(corners, whole, atol=1)
    assert roi.c == estimate.detection_score
    assert expression.expression == EXPRESSIONS[estimate.label] != ""
    assert expression.confidence == estimate.confidence > 0.3
    np.testing.assert_equal([expression.valence, expression.arousal], [estimate.valence, estimate.arousal])
    # No picture of a face unless it is asked for.
    assert set(publishers(node)) == {f"{FACES}/{name}/expression", f"{FACES}/{name}/roi", f"{FACES}/tracked"}


def test_a_picture_of_the_face_is_published_when_asked_for(
    facial: Any, seen: Any, seen_until: Any, listener: Listener, spin_until: Any, face: np.ndarray
) -> None:
    node = facial(hri=True, hri_cropped=True)
    seen(node, face)
    assert spin_until(lambda: len(publishers(node)) == 4)
    name = next(topic for topic in publishers(node) if topic.endswith("/cropped")).split("/")[3]
    pictures: list[Any] = []
    listener.subscribe(Image, name, "cropped", pictures)
    answer = seen_until(node, face, lambda: pictures)
    roi = answer.estimates[0].roi
    expected = cut_out(face, Box(roi.x_offset, roi.y_offset, roi.width, roi.height), CROPPED_PX)
    np.testing.assert_array_equal(images.to_bgr(pictures[-1]), expected)
    assert pictures[-1].header.frame_id == "lens"


def test_topics_of_who_has_gone_are_gone(
    facial: Any, seen: Any, listener: Listener, spin_until: Any, face: np.ndarray
) -> None:
    node = facial(hri=True)
    seen(node, face)
    assert spin_until(lambda: len(publishers(node)) == 3)
    answer = seen(node, np.zeros_like(face))
    assert not answer.estimates
    # Still remembered: they may be back with the next image.
    assert spin_until(lambda: listener.lists and listener.lists[-1].header == answer.header)
    assert len(listener.lists[-1].ids) == 1 and len(publishers(node)) == 3
    for _ in range(6):  # half a second, max_gap_s
        answer = seen(node, np.zeros_like(face))
    assert spin_until(lambda: listener.lists[-1].header == answer.header)
    assert listener.lists[-1].ids == []
    assert publishers(node) == [f"{FACES}/tracked"]
    assert spin_until(lambda: not any(listener.node.count_publishers(f"{FACES}/{n}/roi") for n in listener.people))


def test_the_list_ends_with_the_node_s_work(
    facial: Any, seen: Any, listener: Listener, spin_until: Any, face: np.ndarray
) -> None:
    node = facial(hri=True)
    answer = seen(node, face)
    node.trigger_deactivate()
    assert spin_until(lambda: listener.lists and not listener.lists[-1].ids)
    assert listener.lists[-1].header == answer.header
    assert publishers(node) == [f"{FACES}/tracked"]
    node.trigger_cleanup()
    assert publishers(node) == []


def test_no_two_nodes_and_no_two_starts_use_one_id(
    facial: Any, seen: Any, seen_until: Any, listener: Listener, face: np.ndarray
) -> None:
    left = facial("left", hri=True)
    right = facial("right", hri=True)
    seen(left, face)
    left.trigger_deactivate()
    left.trigger_cleanup()
    left.start()
    seen_until(right, face, lambda: len(listener.people) == 3)
    assert len({name[:5] for name in listener.people}) == 3


def test_labels_are_words_of_the_message() -> None:
    words = {label: expression_of(label, Expression) for label in EXPRESSIONS}
    assert words == dict(EXPRESSIONS)
    assert all(word == getattr(Expression, word.upper()) for word in words.values() if word)
    # As voices, folders and models of one's own call them.
    more = {"fearful": "scared", "calm": "neutral", "Sadness": "sad", "bored": "bored", "hungry": "", "": ""}
    assert {label: expression_of(label, Expression) for label in more} == more


def stranger(number: int, stamp_s: float, label: str = "contempt") -> Seen:
    """An image of one person whom nobody has seen before."""
    labels = ("happy", "contempt")
    probabilities = tuple(0.75 if name == label else 0.25 for name in labels)
    estimate = EmotionEstimate(stamp_s, labels, probabilities, -0.5, 0.25, Face(Box(-5, 10, 45, 60), 0.5), str(number))
    header = Header(frame_id="lens")
    header.stamp.sec, header.stamp.nanosec = int(stamp_s), round(stamp_s % 1 * 1e9)
    return Seen(header, np.zeros((80, 80, 3), np.uint8), [estimate], None, labels)  # type: ignore[arg-type]


def test_contempt_has_no_word_but_a_place(facial: Any, listener: Listener, spin_until: Any) -> None:
    node = facial(hri=True)
    view = next(view for view in node._views if isinstance(view, Hri))
    at_s = 10.0

    def came() -> bool:
        nonlocal at_s
        at_s += 0.1
        view.show(stranger(1, at_s))
        return any(told.roi and told.expression for told in listener.people.values())

    assert spin_until(came)
    (told,) = listener.people.values()
    said = told.expression[0]
    assert (said.expression, said.valence, said.arousal, said.confidence) == ("", -0.5, 0.25, 0.75)
    # Of a face that is cut by the picture's edge, what lies inside.
    assert (told.roi[0].xmin, told.roi[0].ymin, told.roi[0].xmax, told.roi[0].ymax) == (0.0, 0.125, 0.5, 0.875)


def test_nothing_grows_with_the_people_seen(facial: Any) -> None:
    node = facial(hri=True)
    view = next(view for view in node._views if isinstance(view, Hri))
    outputs = len(node._outputs)
    for number in range(200):
        view.show(stranger(number, 10.0 + number))
        assert len(view._people) <= 4  # a period of a second makes a gap of three
    view.show(Seen(stranger(0, 500.0).header, np.zeros((8, 8, 3), np.uint8), [], None, ()))  # type: ignore[arg-type]
    assert len(node._outputs) == outputs
    assert publishers(node) == [f"{FACES}/tracked"]


def test_where_only_a_voice_goes_on_the_faces_are_forgotten(facial: Any) -> None:
    """The camera has gone: the node audiovisual tells what it hears."""
    node = facial(hri=True)
    view = next(view for view in node._views if isinstance(view, Hri))
    view.show(stranger(1, 10.0))
    voice = EmotionEstimate(10.2, ("happy", "contempt"), (0.5, 0.5))
    for stamp_s, count in ((10.2, 3), (10.4, 3), (10.8, 1)):
        header = stranger(1, stamp_s).header
        view.show(Seen(header, None, [replace(voice, stamp_s=stamp_s)], None, ()))  # type: ignore[arg-type]
        assert len(publishers(node)) == count
