"""The overlay: what is drawn, when, by whom, and that nobody waits for it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from emotion_core.errors import EmotionError
from emotion_core.plots import explainer
from emotion_core.vision import draw
from emotion_core.vision.palette import bgr
from emotion_ros.base import qos
from emotion_ros.facial_node import FacialNode
from emotion_ros.messages import images
from emotion_ros.views import overlay
from emotion_ros.views.overlay import Overlay, OverlayConfig
from emotion_ros.views.view import Seen

pytestmark = pytest.mark.ros


@pytest.fixture
def make(stage: Any) -> Callable[..., Any]:
    """Call with settings for an active node with an overlay."""
    return lambda **settings: stage(
        lambda node: Overlay(node, OverlayConfig(**settings), lambda: None, lambda timeout_s: None)
    )


class Viewer:
    """Subscribes to overlays and keeps what comes."""

    def __init__(self, ros_node: Any, spin_until: Any) -> None:
        self.ros, self.spin = ros_node, spin_until
        self.raw: list[Image] = []
        self.compressed: list[CompressedImage] = []

    def look(self, node: Any, raw: bool = True, compressed: bool = False) -> None:
        kinds = ([(Image, "overlay", self.raw)] if raw else []) + (
            [(CompressedImage, "overlay/compressed", self.compressed)] if compressed else []
        )
        for kind, topic, found in kinds:
            self.ros.create_subscription(kind, f"stage/{topic}", found.append, qos.IMAGE_OUT)
        publishers = {id(node.view._raw): raw, id(node.view._compressed): compressed}
        assert self.spin(
            lambda: all(
                bool(publisher.get_subscription_count()) == publishers[id(publisher)]
                for publisher in (node.view._raw, node.view._compressed)
            )
        )

    def picture(self, count: int = 1) -> np.ndarray:
        assert self.spin(lambda: len(self.raw) >= count)
        return images.to_bgr(self.raw[-1])


@pytest.fixture
def viewer(ros_node: Any, spin_until: Any) -> Viewer:
    return Viewer(ros_node, spin_until)


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Every call of draw_estimates, which waits while ``gate`` is closed."""

    class Drawings:
        def __init__(self) -> None:
            self.gate, self.begun = threading.Event(), threading.Semaphore(0)
            self.gate.set()
            self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    found, original = Drawings(), draw.draw_estimates

    def spy(*args: Any, **kwargs: Any) -> Any:
        found.calls.append((args, kwargs))
        found.begun.release()
        assert found.gate.wait(60)
        return original(*args, **kwargs)

    monkeypatch.setattr(draw, "draw_estimates", spy)
    yield found
    found.gate.set()


def test_the_picture_comes_back_with_what_was_seen(make: Any, viewer: Viewer, grey: Any, estimate: Any) -> None:
    node = make()
    viewer.look(node)
    message = images.to_message(grey, Image().header)
    picture = images.to_bgr(message)  # a view of the message
    node.see(picture, [estimate()], 2.5)
    drawn = viewer.picture()
    header = viewer.raw[0].header
    assert (header.stamp.sec, header.stamp.nanosec, header.frame_id) == (2, 500_000_000, "lens")
    assert drawn.shape == grey.shape
    assert (drawn[:120] == np.array(bgr("happy"))).all(axis=2).sum() > 500  # the chip above the face
    assert bytes(message.data) == grey.tobytes()


def test_nothing_is_drawn_while_nobody_looks(
    make: Any, viewer: Viewer, grey: Any, estimate: Any, drawings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    monkeypatch.setattr(cv2, "imencode", lambda *args, f=cv2.imencode: encoded.append(args[0]) or f(*args))
    node = make()
    for second in range(5):
        node.see(grey, [estimate(stamp_s=second)], second)
    assert node.view.counts.received == 0
    viewer.look(node)
    node.see(grey, [estimate(stamp_s=6)], 6)
    viewer.picture()
    assert len(drawings.calls) == 1
    assert not encoded  # nobody wants the JPEG


def test_the_path_is_remembered_while_nobody_looks(
    make: Any, viewer: Viewer, grey: Any, estimate: Any, drawings: Any
) -> None:
    node = make(overlay_trace_s=2.0)
    for i in range(50):
        node.see(grey, [estimate(stamp_s=i / 10, valence=i / 100), estimate(None)], i / 10)
    viewer.look(node)
    node.see(grey, [estimate(stamp_s=5.0, valence=0.5)], 5.0)
    viewer.picture()
    (_, kwargs) = drawings.calls[-1]
    points = kwargs["traces"]["1"]
    assert [point.valence for point in points] == pytest.approx([i / 100 for i in range(31, 51)])
    assert all(point.joined for point in points[1:])


def test_an_estimate_does_not_wait_and_the_newest_is_drawn(
    make: Any, viewer: Viewer, grey: Any, estimate: Any, drawings: Any
) -> None:
    node = make()
    viewer.look(node)
    drawings.gate.clear()
    node.see(grey, [estimate()], 1)
    assert drawings.begun.acquire(timeout=60)
    for second in range(2, 6):
        node.see(grey, [estimate()], second)  # returns while the first is still being drawn
    assert len(drawings.calls) == 1
    drawings.gate.set()
    viewer.picture(2)
    assert [message.header.stamp.sec for message in viewer.raw] == [1, 5]
    assert viewer.spin(lambda: node.view.counts.processed == 2)
    assert (node.view.counts.received, node.view.counts.dropped) == (5, 3)


def test_it_is_drawn_when_nothing_is_estimated(
    stage: Any, viewer: Viewer, grey: Any, estimate: Any, drawings: Any
) -> None:
    asked: list[float] = []
    gate = threading.Event()
    node = stage(lambda node: Overlay(node, OverlayConfig(), lambda: None, lambda s: (asked.append(s), gate.wait(60))))
    viewer.look(node)
    node.see(grey, [estimate()], 1)
    assert viewer.spin(lambda: bool(asked))
    node.see(grey, [estimate()], 2)
    assert not drawings.calls
    gate.set()
    viewer.picture()
    assert viewer.raw[0].header.stamp.sec == 2
    assert asked == [overlay.PATIENCE_S]
    assert (node.view.counts.processed, node.view.counts.dropped) == (1, 1)


def test_jpeg_is_the_same_picture(make: Any, viewer: Viewer, grey: Any, estimate: Any) -> None:
    node = make(overlay_quality=95)
    viewer.look(node, compressed=True)
    node.see(grey, [estimate()], 1)
    drawn = viewer.picture()
    assert viewer.spin(lambda: bool(viewer.compressed))
    message = viewer.compressed[0]
    assert message.header == viewer.raw[0].header
    assert message.format == "bgr8; jpeg compressed bgr8"
    assert bytes(message.data[:2]) == b"\xff\xd8"
    decoded = images.compressed_to_bgr(message)
    assert np.abs(decoded.astype(int) - drawn).mean() < 1.5
    small = overlay.to_compressed(drawn, message.header, 20)
    assert len(small.data) < len(message.data) / 2


def test_jpeg_alone_is_sent_alone(make: Any, viewer: Viewer, grey: Any, estimate: Any) -> None:
    node = make()
    viewer.look(node, raw=False, compressed=True)
    node.see(grey, [estimate()], 1)
    assert viewer.spin(lambda: bool(viewer.compressed))
    assert not viewer.raw


def test_a_small_overlay_has_everything_in_its_place(
    make: Any, viewer: Viewer, grey: Any, estimate: Any, drawings: Any
) -> None:
    node = make(overlay_size=320)
    viewer.look(node)
    node.see(grey, [estimate()], 1)
    assert viewer.picture().shape == (240, 320, 3)
    (_, (drawn, *_), *_), _ = drawings.calls[-1]
    box = drawn.face.box
    assert (box.x, box.y, box.width, box.height) == (100, 60, 60, 80)


def test_a_voice_alone_is_drawn_on_what_there_is(
    make: Any, viewer: Viewer, grey: Any, estimate: Any, drawings: Any
) -> None:
    node = make()
    viewer.look(node)
    node.see(None, [estimate(None, "anger")], 1)
    panel = viewer.picture()
    assert panel.shape == (480, 640, 3)
    assert (panel[:40] == np.array(bgr("anger"))).all(axis=2).sum() > 500
    assert drawings.calls[-1][0][2] == "no picture"
    node.see(grey[:200], [], 2)
    assert (viewer.picture(2) == 128).all()
    node.see(None, [estimate(None, "anger")], 3.5)
    dark = viewer.picture(3)
    assert dark.shape == (200, 640, 3)
    assert drawings.calls[-1][0][2] == "no picture for 1.5 s"
    assert (dark[100:180, 300:] == 45).all()  # nobody takes the old picture for a new one


def test_a_defect_is_told_and_the_next_picture_is_drawn(
    make: Any, viewer: Viewer, grey: Any, estimate: Any, drawings: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    node = make()
    viewer.look(node)
    with monkeypatch.context() as patch:
        patch.setattr(draw, "draw_estimates", lambda *args, **kwargs: 1 / 0)
        node.see(grey, [estimate()], 1)
        assert viewer.spin(lambda: node.view.counts.rejected == 1)
    node.see(grey, [estimate()], 2)
    viewer.picture()
    assert "could not draw the overlay: " in capfd.readouterr().err


def test_what_is_at_work_is_finished_at_the_end(
    make: Any, viewer: Viewer, grey: Any, estimate: Any, drawings: Any
) -> None:
    node = make()
    viewer.look(node)
    drawings.gate.clear()
    node.see(grey, [estimate()], 1)
    assert drawings.begun.acquire(timeout=60)
    node.see(grey, [estimate()], 2)
    threading.Timer(0.05, drawings.gate.set).start()
    node.view.end()
    assert (node.view.counts.processed, node.view.counts.dropped) == (1, 1)
    viewer.picture()
    node.see(grey, [estimate()], 3)  # after the end: nothing happens
    assert node.view.counts.received == 2


def test_a_thousand_activations_leave_nothing_behind(make: Any, grey: Any, estimate: Any) -> None:
    view = make().view
    before = threading.active_count()
    for _ in range(1000):
        view.end()
        view.end()
        view.listen()
    assert threading.active_count() == before


# ---- saliency ------------------------------------------------------------------------------------------------------


def test_saliency_colours_faces_only(
    spin_with: Any, portrait: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    pytest.importorskip("torch", reason="Grad-CAM takes torch")
    pytest.importorskip("safetensors", reason="Grad-CAM takes the weights")
    picture = np.ascontiguousarray(portrait[:480])
    node = spin_with(FacialNode, "facial", detector="haar", saliency=True)
    node.start()
    (estimate,) = node.pipeline.process(picture, 1.0)
    heat = node.overlay._heat
    seen = Seen(None, picture, [estimate], None, estimate.labels)
    coloured = heat(picture, 1.0, seen)
    x, y, w, h = estimate.face.box.clamped(512, 480)
    rows, columns = np.nonzero((coloured != picture).any(axis=2))
    assert len(rows) > 0.2 * w * h
    reach = 0.1 * w
    assert y - reach < rows.min() and rows.max() < y + h + reach
    assert x - reach < columns.min() and columns.max() < x + w + reach
    assert not np.shares_memory(coloured, picture)
    half = heat(np.ascontiguousarray(picture[::2, ::2]), 0.5, seen)
    changed = (half != picture[::2, ::2]).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert y - reach < 2 * rows.min() and 2 * rows.max() < y + h + reach

    def refuse(*args: Any) -> None:
        raise EmotionError("there are no weights")

    monkeypatch.setattr(explainer, "load_explained", refuse)
    node.pipeline.classifier = copy.copy(node.pipeline.classifier)  # another model, switched to while it runs
    for _ in range(2):
        assert heat(picture, 1.0, seen) is picture
    assert capfd.readouterr().err.count("the overlay goes on without saliency: there are no weights") == 1


@pytest.mark.parametrize("missing", ["torch", "weights"])
def test_what_saliency_lacks_is_named(
    spin_with: Any, missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    if missing == "torch":
        error = ModuleNotFoundError("No module named 'torch'", name="torch")

        def load(*args: Any) -> None:
            raise error

        monkeypatch.setattr(explainer, "load_explained", load)
    else:
        pytest.importorskip("torch", reason="Grad-CAM takes torch")
        monkeypatch.setattr("emotion_core.plots.saliency.find_model", lambda name: tmp_path / "mine.onnx")
    node = spin_with(FacialNode, "facial", detector="haar", saliency=True)
    expected = {"torch": r"torch.*pip install", "weights": r"expected .*mine\.safetensors"}[missing]
    with pytest.raises(EmotionError, match=f"could not be configured: Grad-CAM takes .*{expected}"):
        node.start()


def test_nobody_is_shown_where_faces_are_blurred(make: Any, viewer: Viewer, estimate: Any) -> None:
    """Not in the picture, not when the face is lost in the next one, and not in the last one behind a voice."""
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    node = make(overlay_blur="faces")
    viewer.look(node)
    seen = estimate(stamp_s=1.0)
    x, y, w, h = seen.face.box.clamped(640, 480)
    area = np.s_[y : y + h, x : x + w]
    dark = cv2.convertScaleAbs(noise, alpha=overlay._DARKENED)
    for count, (picture, estimates, stamp_s, plain) in enumerate(
        [(noise, [seen], 1.0, noise), (noise, [], 1.5, noise), (None, [estimate(None)], 1.6, dark)], start=1
    ):
        node.see(picture, estimates, stamp_s)
        shown = viewer.picture(count)
        assert (shown[area] == plain[area]).all(axis=2).mean() < 0.01  # the box's line may meet a pixel
        assert (shown[-80:, -80:] == plain[-80:, -80:]).all()  # what is far from everybody is as it was
