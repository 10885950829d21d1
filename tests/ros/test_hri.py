"""Human-robot interaction and detections: with other projects' messages in processes that have them, and without."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.types import Box
from emotion_ros.facial_node import FacialNode
from emotion_ros.views import hri_faces
from emotion_ros.views.detections import refuse_old
from emotion_ros.views.hri import EXPRESSIONS
from emotion_ros.views.hri_faces import HELD_IMAGES, HriFaces, to_face

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_with_the_real_messages(interfaces: Callable[..., dict[str, str]]) -> None:
    environment = interfaces("ros4hri/hri_msgs", "ros_perception/vision_msgs")
    files = [Path(__file__).parent / "humans" / name for name in ("faces_out.py", "faces_in.py", "found.py")]
    options = ["-q", "-x", "-p", "no:cacheprovider", "-o", "timeout=100"]
    command = [sys.executable, "-m", "pytest", *options, *map(str, files)]
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    assert re.search(r"^\d+ passed", result.stdout, re.MULTILINE) and "skipped" not in result.stdout


@pytest.mark.parametrize(
    ("settings", "package"),
    [({"hri": True}, "hri_msgs"), ({"faces": "hri"}, "hri_msgs"), ({"detections": True}, "vision_msgs")],
)
def test_what_is_missing_is_named(spin_with: Any, settings: dict[str, Any], package: str) -> None:
    if find_spec(package):
        pytest.skip(f"{package} is installed")
    node = spin_with(FacialNode, "facial", detector="haar", **settings)
    with pytest.raises(
        EmotionError, match=f"takes the package {package}, .* apt-get install ros-.*{package[:3]}.*-msgs"
    ):
        node.start()
    assert not [p for p in node.publishers if "facial/" in p.topic_name and "transition" not in p.topic_name]


def test_detections_of_an_old_vision_msgs_are_refused() -> None:
    def box(kind: str) -> Any:
        return SimpleNamespace(get_fields_and_field_types=lambda: {"center": kind, "size_x": "double"})

    refuse_old(box("vision_msgs/Pose2D"))
    with pytest.raises(EmotionError, match=r"takes vision_msgs 4\.0 or newer, .* geometry_msgs/Pose2D"):
        refuse_old(box("geometry_msgs/Pose2D"))


def test_the_document_has_the_words() -> None:
    text = (ROOT / "docs" / "nodes.md").read_text().partition("\n## Human-robot interaction")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(\w*)`|none, an empty text) \|", text, re.MULTILINE)
    assert dict(rows) == dict(EXPRESSIONS)


# ---- faces in, without ROS -------------------------------------------------------------------------------------------


def roi(xmin: float = 0.25, ymin: float = 0.0, xmax: float = 0.5, ymax: float = 0.5, c: float = 1.0) -> Any:
    return SimpleNamespace(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax, c=c)


def test_a_region_becomes_a_box_in_pixels() -> None:
    face = to_face(roi(c=0.75), 640, 480)
    assert face is not None and (face.box, face.score) == (Box(160, 0, 160, 240), 0.75)
    beyond = to_face(roi(c=7.0), 640, 480)
    assert beyond is not None and beyond.score == 1.0
    unknown = to_face(roi(c=np.nan), 640, 480)
    assert unknown is not None and unknown.score == 0.0


@pytest.mark.parametrize("bad", [{"xmin": np.nan}, {"ymax": np.inf}, {"xmax": 0.25}, {"ymin": 0.6}, {"xmax": -np.inf}])
def test_a_region_that_encloses_nothing_is_no_face(bad: dict[str, float]) -> None:
    assert to_face(roi(**bad), 640, 480) is None


class Node:
    """What HriFaces needs of a node; ``tell`` has a message arrive."""

    def __init__(self) -> None:
        self.heard: dict[str, Callable[[Any], None]] = {}
        self.warnings: list[str] = []

    def every(
        self, noun: str, kind: Any, topic: str, callback: Callable[[Any], None], profile: Any, vital: bool
    ) -> None:
        assert vital
        self.heard[topic] = callback

    def input(self, kind: Any, topic: str, callback: Callable[[Any], None], profile: Any, optional: bool) -> str:
        assert optional
        self.heard[topic] = callback
        return topic

    def drop(self, topic: str) -> None:
        del self.heard[topic]

    def get_logger(self) -> Any:
        return SimpleNamespace(warning=lambda text, **_: self.warnings.append(text))

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        return []

    def tell(self, topic: str, stamp_s: float, **fields: Any) -> None:
        self.heard[f"/humans/faces/{topic}"](SimpleNamespace(header=header(stamp_s), **fields))

    def list(self, stamp_s: float, *ids: str) -> None:
        self.tell("tracked", stamp_s, ids=ids)

    def region(self, name: str, stamp_s: float) -> None:
        self.tell(f"{name}/roi", stamp_s, **vars(roi()))


def header(stamp_s: float) -> Any:
    whole, rest = divmod(round(stamp_s * 1e9), 10**9)
    return SimpleNamespace(stamp=SimpleNamespace(sec=whole, nanosec=rest))


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def faces(node: Node, monkeypatch: pytest.MonkeyPatch) -> HriFaces:
    monkeypatch.setattr(hri_faces, "message_type", lambda *names: names[1])
    faces = HriFaces(node)  # type: ignore[arg-type]
    faces.listen()
    return faces


@pytest.fixture
def hold(faces: HriFaces) -> Callable[..., list[tuple[float, bool]]]:
    """Call with stamps of images that come; returns the list of what is decided about all images, as it grows."""
    decided: list[tuple[float, bool]] = []

    def come(*stamps_s: float) -> list[tuple[float, bool]]:
        for stamp_s in stamps_s:
            image = SimpleNamespace(header=header(stamp_s))
            faces.hold(image, lambda wanted, stamp_s=stamp_s: decided.append((stamp_s, wanted)))  # type: ignore[misc]
        return decided

    return come


def ids(faces: HriFaces, stamp_s: float) -> list[str]:
    return [name for name, _ in faces.faces_at(stamp_s, 640, 480)]


@pytest.mark.parametrize("order", ["image first", "faces first", "list first"])
def test_an_image_goes_on_when_all_is_known(faces: HriFaces, node: Node, hold: Any, order: str) -> None:
    node.list(0.0, "anna", "bert")  # whom to listen to
    decided = hold(1.0) if order == "image first" else hold()
    if order == "list first":
        node.list(1.0, "anna", "bert")
    for name in ("anna", "bert"):
        node.region(name, 1.0)
    if order != "list first":
        assert decided == []
        node.list(1.0, "anna", "bert")
    hold(*([] if order == "image first" else [1.0]))
    assert decided == [(1.0, True)]
    assert ids(faces, 1.0) == ["anna", "bert"]


def test_an_empty_list_is_an_answer(faces: HriFaces, node: Node, hold: Any) -> None:
    decided = hold(1.0)
    node.list(1.0)
    assert decided == [(1.0, True)] and ids(faces, 1.0) == []


def test_images_before_the_one_that_goes_on_are_left_out(node: Node, hold: Any) -> None:
    decided = hold(1.0, 1.1, 1.2, 1.3)
    node.list(1.2)
    assert decided == [(1.0, False), (1.1, False), (1.2, True)]
    node.list(1.3)
    assert decided[3:] == [(1.3, True)]


def test_stamps_match_to_a_millisecond(faces: HriFaces, node: Node, hold: Any) -> None:
    node.list(0.0, "anna")
    decided = hold(1700000000.123456789)
    node.region("anna", 1700000000.1234)
    node.list(1700000000.1230, "anna")
    assert decided == [(1700000000.123456789, True)]
    assert ids(faces, decided[0][0]) == ["anna"]
    hold(1700000000.2)
    node.list(1700000000.202, "anna")
    assert len(decided) == 1


def test_a_recording_that_starts_again_is_followed(faces: HriFaces, node: Node, hold: Any) -> None:
    node.list(500.0, "anna")
    node.list(500.1, "anna")
    decided = hold(1.0)
    node.list(1.0, "anna")
    assert decided == []  # the list of a later time that came before says nothing
    node.region("anna", 1.0)
    assert decided == [(1.0, True)] and ids(faces, 1.0) == ["anna"]


def test_images_of_one_stamp_are_all_decided_about(node: Node, hold: Any) -> None:
    decided = hold(1.0, 1.0, 1.0)
    node.list(1.0)
    assert decided == [(1.0, False), (1.0, False), (1.0, True)]


def test_what_waits_and_what_is_remembered_is_bounded(faces: HriFaces, node: Node, hold: Any) -> None:
    decided = hold(*(i / 100 for i in range(HELD_IMAGES + 30)))
    assert decided == [(i / 100, False) for i in range(30)]
    assert len(node.warnings) == 30 and "no faces come" in node.warnings[0]
    node.list(0.0, "anna")
    for i in range(2000):
        node.region("anna", 100 + i)
        node.list(100 + i, "anna")
    assert len(faces._told) == 3 * HELD_IMAGES and len(faces._ready) <= HELD_IMAGES
    faces.end()
    assert len(decided) == HELD_IMAGES + 30 and not any(wanted for _, wanted in decided)


def test_an_image_that_nobody_let_go_on_has_no_faces(faces: HriFaces) -> None:
    with pytest.raises(EmotionError, match="nobody has told of faces"):
        faces.faces_at(1.0, 640, 480)
