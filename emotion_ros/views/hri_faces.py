"""Faces that another node finds, such as hri_face_detect: taken from /humans/faces (REP-155) instead of a detector."""

from __future__ import annotations

import math
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.parameters import CheckedConfig, parameter
from emotion_core.pipeline.finding import GivenFaces
from emotion_core.types import Box, Face
from emotion_core.vision.yunet import YunetDetector
from emotion_ros.base import qos
from emotion_ros.base.estimator import THROTTLE_S, EstimatorNode
from emotion_ros.base.handover import Inlet
from emotion_ros.messages.conversions import to_seconds
from emotion_ros.messages.others import message_type
from emotion_ros.views.hri import FACES, TRACKED

HELD_IMAGES = 20
"""So many images wait for their faces, 0.67 s at 30 Hz, before the oldest is left out."""
MAX_FACES = 64
"""Of a longer list, only the first so many are listened to: a broken detector makes up thousands."""

_MATCH_S = 1e-3  # Detectors copy the image's stamp; some pass it through a float of seconds.
_KEPT = 3 * HELD_IMAGES  # stamps for which faces are remembered: they may come before their image
_SILENT = 10  # hri_face_detect lists somebody for four images after the last sight
_ID = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True)
class HriFacesConfig(CheckedConfig):
    """Where faces come from; raises EmotionError for a bad value."""

    faces: str = parameter(
        "detector",
        "detector searches for faces; hri takes those of another node, hri_face_detect, from /humans/faces (REP-155).",
        choices=("detector", "hri"),
    )


def given_faces() -> GivenFaces:
    """What stands in the pipeline where its detector would."""
    # hri_face_detect finds its boxes with YuNet, too: their side is 1.02 times YunetDetector's, median of 599 photos.
    return GivenFaces("hri", YunetDetector.framing)


@dataclass
class _Told:
    """What came for one stamp."""

    ids: Sequence[str] | None = None
    rois: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Followed:
    """Somebody on the list, with the number of lists since their last region."""

    subscription: Inlet
    silent: int = 0


class HriFaces:
    """Brings images together with the faces that another node finds in them.

    A detector needs its time, so images come before their faces, and wait. The newest image for which the list of
    faces has come, and the region of everybody on it, is worked on; what waits before it is left out. Who is on the
    list without a region was not seen in that image: that is known when the next list comes.

    Callbacks come one at a time, in any thread, and another thread may ask for the faces.

    Args:
        node: whose images wait; it subscribes.

    Raises:
        EmotionError: hri_msgs is not installed.
    """

    def __init__(self, node: EstimatorNode[Any]) -> None:
        self._node, self._lock = node, threading.Lock()
        self._list_type, self._roi_type = (
            message_type("hri_msgs", name, "faces: hri") for name in ("IdsList", "NormalizedRegionOfInterest2D")
        )
        self._forget()

    def _forget(self) -> None:
        self._images: OrderedDict[float, Callable[[bool], None]] = OrderedDict()
        self._told: OrderedDict[float, _Told] = OrderedDict()
        self._last_list: _Told | None = None
        self._ready: OrderedDict[float, dict[str, Any]] = OrderedDict()
        self._followed: dict[str, _Followed] = {}

    def listen(self) -> None:
        """Begin: the node is being activated."""
        self._forget()
        self._node.every("faces", self._list_type, TRACKED, self._take_list, qos.ESTIMATES, vital=True)

    def end(self) -> None:
        """The node is being deactivated: the images that wait are left out, and the one at work keeps its faces."""
        with self._lock:
            waiting = list(self._images.values())
            self._images.clear()
        for decide in waiting:
            decide(False)

    def hold(self, image: Any, decide: Callable[[bool], None]) -> None:
        """Have an image wait; ``decide`` is called with whether it is to be worked on."""
        with self._lock:
            stamp_s = to_seconds(image.header.stamp)
            left_out = [self._images.pop(stamp_s)] if stamp_s in self._images else []
            self._images[stamp_s] = decide
            crowded = len(self._images) > HELD_IMAGES
            if crowded:
                left_out.append(self._images.popitem(last=False)[1])
        if crowded:
            self._node.get_logger().warning(
                f"no faces come on {TRACKED} for the images, by their stamps: does the detector get the same?",
                throttle_duration_sec=THROTTLE_S,
            )
        for decision in left_out:
            decision(False)
        self._match()

    def faces_at(self, stamp_s: float, width: int, height: int) -> list[tuple[str, Face]]:
        """The faces in an image that is worked on, with their ids; raises EmotionError for any other.

        Args:
            stamp_s: of the image.
            width, height: its size in pixels.
        """
        with self._lock:
            rois = self._ready.get(stamp_s)
        if rois is None:
            raise EmotionError(f"nobody has told of faces in the image of {stamp_s:.3f} s")
        found = [(name, to_face(roi, width, height)) for name, roi in rois.items()]
        return [(name, face) for name, face in found if face is not None]

    # ---- what comes ----------------------------------------------------------------------------------------------

    def _take_list(self, message: Any) -> None:
        ids = [name for name in dict.fromkeys(message.ids) if _ID.fullmatch(name)]
        if len(ids) < len(message.ids):
            self._node.get_logger().warning(
                f"ids that cannot be part of a topic's name, or come twice, in {list(message.ids)[:8]!r:.200}",
                throttle_duration_sec=THROTTLE_S,
            )
        if len(ids) > MAX_FACES:
            self._node.get_logger().warning(
                f"{len(ids)} faces on {TRACKED}: only the first {MAX_FACES} count", throttle_duration_sec=THROTTLE_S
            )
            del ids[MAX_FACES:]
        with self._lock:
            gone = [self._followed.pop(name) for name in list(self._followed) if name not in ids]
            new = [name for name in ids if name not in self._followed]
            for followed in self._followed.values():
                followed.silent += 1
            silent = next((name for name, followed in self._followed.items() if followed.silent > _SILENT), None)
            self._last_list = self._note(message.header)
            self._last_list.ids = ids
        for followed in gone:
            self._node.drop(followed.subscription)
        for name in new:
            self._follow(name)
        if silent is not None:
            self._tell_silent(silent)
        self._match()

    def _follow(self, name: str) -> None:
        def take(message: Any) -> None:
            with self._lock:
                if name not in self._followed:
                    return
                self._followed[name].silent = 0
                self._note(message.header).rois[name] = message
            self._match()

        # Not overridable: parameters for every name that ever comes would never end.
        subscription = self._node.input(self._roi_type, f"{FACES}/{name}/roi", take, qos.ESTIMATES, optional=True)
        with self._lock:
            self._followed[name] = _Followed(subscription)

    def _note(self, header: Any) -> _Told:
        """What came for a stamp, to be added to."""
        stamp_s = to_seconds(header.stamp)
        told = self._told_of(stamp_s)
        if told is None:
            told = self._told[stamp_s] = _Told()
            if len(self._told) > _KEPT:
                self._told.popitem(last=False)
        return told

    def _told_of(self, stamp_s: float) -> _Told | None:
        exact = self._told.get(stamp_s)
        return exact or next((t for other_s, t in self._told.items() if abs(other_s - stamp_s) <= _MATCH_S), None)

    # ---- what goes on --------------------------------------------------------------------------------------------

    def _match(self) -> None:
        """Let the newest image of which everything is known go on, and leave out those that came before it."""
        decisions = []
        with self._lock:
            chosen_s = next((stamp_s for stamp_s in reversed(self._images) if self._complete(stamp_s)), None)
            if chosen_s is None:
                return
            told = self._told_of(chosen_s)
            assert told is not None and told.ids is not None
            self._ready[chosen_s] = {name: told.rois[name] for name in told.ids if name in told.rois}
            if len(self._ready) > HELD_IMAGES:  # of which one is at work and one waits
                self._ready.popitem(last=False)
            while chosen_s in self._images:
                stamp_s, decide = self._images.popitem(last=False)
                decisions.append((decide, stamp_s == chosen_s))
        for decide, wanted in decisions:
            decide(wanted)

    def _complete(self, stamp_s: float) -> bool:
        """Whether no more can come for the image."""
        told = self._told_of(stamp_s)
        if told is None or told.ids is None:
            return False
        return told is not self._last_list or all(name in told.rois for name in told.ids)

    def _tell_silent(self, name: str) -> None:
        topic = f"{FACES}/{name}/roi"
        kinds = {info.topic_type for info in self._node.get_publishers_info_by_topic(topic)}
        self._node.get_logger().warning(
            f"{name} is on the list of faces, but nothing comes on {topic}: expected "
            f"hri_msgs/msg/NormalizedRegionOfInterest2D, found {', '.join(sorted(kinds)) or 'no publisher'}",
            throttle_duration_sec=THROTTLE_S,
        )


def to_face(roi: Any, width: int, height: int) -> Face | None:
    """A hri_msgs/NormalizedRegionOfInterest2D in an image of so many pixels; None for one that encloses nothing."""
    left, top, right, bottom = (float(v) for v in (roi.xmin, roi.ymin, roi.xmax, roi.ymax))
    if not (math.isfinite(left + top + right + bottom) and left < right and top < bottom):
        return None
    score = min(1.0, max(0.0, float(roi.c))) if math.isfinite(roi.c) else 0.0
    return Face(Box(left * width, top * height, (right - left) * width, (bottom - top) * height), score)
