"""The interface of the package rmn 3.3: the same names, parameters, keys and types, for any model."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.rmn import RMN
from emotion_core.runtime.classifier import Classifier
from emotion_core.types import Box, Face, Picture
from emotion_core.vision.crop import crop_batch, fit_faces

KEYS = ["xmin", "ymin", "xmax", "ymax", "emo_label", "emo_proba", "proba_list"]
WORDS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


class Fixed:
    """A detector that always finds the same faces."""

    name, framing = "fixed", 1.0

    def __init__(self, *faces: Face) -> None:
        self.faces, self.seen = list(faces), (0, 0)

    def detect(self, image: Picture) -> list[Face]:
        self.seen = image.shape[:2]
        return self.faces


@pytest.fixture(scope="module")
def rmn() -> RMN:
    return RMN(threads=1)


def test_names_and_parameters_are_those_of_the_public_package():
    parameters = {
        "__init__": ["self", "face_detector"],
        "detect_faces": ["self", "frame"],
        "detect_emotion_for_single_frame": ["self", "frame"],
        "detect_emotion_for_single_face_image": ["self", "face_image"],
        "draw": ["frame", "results"],
        "video_demo": ["self"],
    }
    for name, wanted in parameters.items():
        found = inspect.signature(inspect.getattr_static(RMN, name).__func__ if name == "draw" else getattr(RMN, name))
        own = list(found.parameters.values())
        assert [one.name for one in own][: len(wanted)] == wanted
        assert all(one.default is not one.empty for one in own[len(wanted) :])
    assert inspect.signature(RMN).parameters["face_detector"].default is True


def test_results_have_the_same_keys_and_types(rmn, portrait):
    results = rmn.detect_emotion_for_single_frame(portrait)
    assert len(results) == 1
    (result,) = results
    assert list(result) == KEYS
    assert [type(result[key]) for key in KEYS] == [int, int, int, int, str, float, list]
    assert [list(entry) for entry in result["proba_list"]] == [[label] for label in (*WORDS, "contempt")]
    given = {label: proba for entry in result["proba_list"] for label, proba in entry.items()}
    assert sum(given.values()) == pytest.approx(1)
    assert result["emo_proba"] == max(given.values()) == given[result["emo_label"]]
    assert rmn.detect_faces(portrait) == [{key: result[key] for key in KEYS[:4]}]


def test_a_face_that_is_cut_out_already(rmn, portrait):
    face = portrait[80:300, 140:360]
    label, proba, each = rmn.detect_emotion_for_single_face_image(face)
    said = rmn.emo_model(fit_faces(face[None], rmn.emo_model.card.face)).probabilities[0]
    theirs = {"anger": "angry"}
    wanted = {theirs.get(name, name): p for name, p in zip(rmn.emo_model.card.labels, said, strict=True)}
    assert {k: v for entry in each for k, v in entry.items()} == pytest.approx(wanted)
    assert (label, proba) == (max(wanted, key=wanted.__getitem__), pytest.approx(max(wanted.values())))


def test_boxes_are_squares_of_the_mean_side_and_stay_in_the_picture():
    rmn = RMN(Fixed(Face(Box(100, 60, 40, 60)), Face(Box(-10, -20, 60, 60)), Face(Box(500, 500, 20, 20))), threads=1)
    boxes = rmn.detect_faces(np.zeros((200, 300, 3), np.uint8))
    # The first: side 1.1 * 50 = 55 around (120, 90). The third lies outside.
    assert boxes == [
        {"xmin": 92, "ymin": 62, "xmax": 148, "ymax": 118},
        {"xmin": 0, "ymin": 0, "xmax": 53, "ymax": 43},
    ]


def test_all_faces_of_a_frame_are_one_batch(portrait, monkeypatch):
    faces = [Face(Box(150 + 5 * i, 100, 200, 220)) for i in range(8)]
    rmn = RMN(Fixed(*faces), threads=1)
    batches: list[int] = []
    call = Classifier.__call__

    def counted(self: Classifier, *inputs: Any) -> Any:
        batches.append(len(inputs[0]))
        return call(self, *inputs)

    monkeypatch.setattr(Classifier, "__call__", counted)
    assert len(rmn.detect_emotion_for_single_frame(portrait)) == 8
    assert batches == [8]


def test_nobody_is_an_empty_list(rmn):
    empty = np.full((240, 320, 3), 128, np.uint8)
    assert rmn.detect_faces(empty) == rmn.detect_emotion_for_single_frame(empty) == []
    assert np.array_equal(rmn.draw(empty.copy(), []), empty)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p[:, :, None],
        lambda p: np.dstack([p, p, p, np.full_like(p, 7)]),
        lambda p: p.astype(np.uint16) * 257,
        lambda p: np.dstack([p, p, p]).astype(np.uint16) * 257,
        lambda p: p.astype(np.float32) / 255,
        lambda p: np.dstack([p, p, p])[:, ::-1][:, ::-1],
    ],
    ids=["one channel", "alpha", "16 bit", "16 bit colour", "float", "not contiguous"],
)
def test_kinds_of_pictures_give_the_same(change, rmn, portrait):
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    (wanted,), (found,) = map(rmn.detect_emotion_for_single_frame, (grey, change(grey)))
    assert found["emo_proba"] == pytest.approx(wanted["emo_proba"], abs=0.02)
    assert [found[key] for key in KEYS[:5]] == [wanted[key] for key in KEYS[:5]]


def test_a_huge_picture_is_shrunk_and_boxes_are_in_its_pixels():
    detector = Fixed(Face(Box(4000, 30, 64, 64)))
    (box,) = RMN(detector, threads=1).detect_faces(np.zeros((400, 40_000), np.uint8))
    assert detector.seen == (82, 8192)
    side, centre = 1.1 * 64 * 40_000 / 8192, 4032 * 40_000 / 8192
    assert (box["xmin"], box["xmax"]) == pytest.approx((centre - side / 2, centre + side / 2), abs=6)
    assert 0 <= box["ymin"] < box["ymax"] <= 400


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (None, "got None: was the file read"),
        ([[1, 2]], "got list"),
        (np.zeros((4, 4, 2), np.uint8), r"got uint8 of shape \(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), "got 4 x 0"),
        (np.zeros((4, 4), np.int64), "got int64"),
        (np.full((9, 9), np.nan, np.float32), "finite|NaN|nan"),
    ],
)
def test_what_is_no_picture_is_one_clear_error(frame, message, rmn):
    for method in (rmn.detect_emotion_for_single_frame, rmn.detect_emotion_for_single_face_image, rmn.detect_faces):
        with pytest.raises(EmotionError, match=message):
            method(frame)


def test_without_a_detector_only_faces_are_taken(portrait):
    rmn = RMN(face_detector=False, threads=1)
    assert rmn.detect_emotion_for_single_face_image(portrait)[0] in rmn.labels
    with pytest.raises(EmotionError, match="face_detector=False"):
        rmn.detect_faces(portrait)


def test_any_model_by_path_also_one_with_the_labels_of_fer2013(tiny_models, portrait):
    face = Face(Box(150, 100, 200, 220), 1.0, ((200.0, 180.0), (300.0, 220.0)))
    rmn = RMN(Fixed(face), model=str(tiny_models["seven"]), threads=1)
    assert rmn.labels == WORDS
    (result,) = rmn.detect_emotion_for_single_frame(portrait)
    network = Classifier(tiny_models["seven"])
    said = network(crop_batch(portrait, [face], network.card.face, 1.0)).probabilities[0]
    assert [p for entry in result["proba_list"] for p in entry.values()] == pytest.approx(said.tolist())
    with pytest.raises(EmotionError, match="expected one that takes single faces"):
        RMN(model="voice_ravdess")
    with pytest.raises(EmotionError, match="unknown provider"):
        RMN(device="quantum")


def test_the_authors_file_is_exported_and_runs_behind_the_interface(portrait, tmp_path, capsys):
    """From a file as they publish it, of a narrow network: framed and grey as theirs."""
    torch = pytest.importorskip("torch")
    from emotion_core.cli import main
    from emotion_core.models.registry import build

    network = build({"type": "residual_masking", "width": 1}, seed=0)
    published, model = tmp_path / "Z_resmasking_dropout1_rot30_2019Nov30_13.32", tmp_path / "theirs.onnx"
    torch.save({"arch": "resmasking_dropout1", "best_val_acc": 71.6, "net": network.state_dict()}, published)
    assert main(["export", str(published), "--out", str(model)]) == 0
    assert "theirs.onnx: theirs" in capsys.readouterr().out
    face = Face(Box(150, 100, 200, 220))
    rmn = RMN(Fixed(face), model=str(model), threads=1)
    assert rmn.labels == WORDS
    (result,) = rmn.detect_emotion_for_single_frame(portrait)
    x, y, side = 250 - 115.5, 210 - 115.5, 231.0  # 1.1 times the mean side around the middle
    assert [result[key] for key in KEYS[:4]] == [134, 94, 366, 326]
    matrix = np.array([[224 / side, 0, (0.5 - x) * 224 / side - 0.5], [0, 224 / side, (0.5 - y) * 224 / side - 0.5]])
    crop = cv2.cvtColor(cv2.warpAffine(portrait, matrix, (224, 224)), cv2.COLOR_BGR2GRAY)
    grey = torch.from_numpy(crop).float()[None, None].expand(1, 3, -1, -1) / 255
    with torch.no_grad():
        said = network(grey).softmax(1)[0].tolist()
    assert [p for entry in result["proba_list"] for p in entry.values()] == pytest.approx(said, abs=1e-3)
    eight = build({"type": "residual_masking", "width": 1, "num_classes": 8}, seed=0)
    torch.save({"net": eight.state_dict()}, published)
    assert main(["export", str(published), "--out", str(model)]) == 2
    assert "has 8 classes, expected the 7 of FER2013" in capsys.readouterr().err


def test_faces_are_turned_or_not(portrait):
    tilted = Face(Box(150, 100, 200, 220), 1.0, ((200.0, 180.0), (300.0, 220.0)))
    said = [
        RMN(Fixed(face), align=align, threads=1).detect_emotion_for_single_frame(portrait)[0]["proba_list"]
        for face, align in ((tilted, None), (tilted, True), (tilted, False), (Face(tilted.box), True))
    ]
    assert said[0] == said[1] != said[2] == said[3]  # the bundled network was trained on level faces


def test_drawing_changes_the_frame_itself_and_returns_it(rmn, portrait):
    results = rmn.detect_emotion_for_single_frame(portrait)
    frame = portrait.copy()
    drawn = rmn.draw(frame, results)
    assert drawn is frame and not np.array_equal(frame, portrait)
    bare = [{key: result[key] for key in KEYS[:6]} for result in results]
    assert np.array_equal(RMN.draw(portrait.copy(), bare), frame)  # as the public one, it needs no proba_list
    assert RMN.draw(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY), results).shape == portrait.shape
    with pytest.raises(EmotionError, match="expected a result"):
        RMN.draw(frame, [{"xmin": 1}])


class Camera:
    """Two frames."""

    def __init__(self, image: Picture) -> None:
        self.image = image

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[tuple[Picture, float]]:
        yield self.image, 0.0
        yield self.image, 0.1


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch, portrait: Picture) -> list[Picture]:
    """What a window shows in place of a screen; a camera sees a portrait."""
    shown: list[Picture] = []

    class Window:
        def __init__(self, title: str, waits: bool) -> None:
            pass

        def put(self, picture: Picture, stamp_s: float, name: str) -> bool:
            shown.append(picture)
            return True

        def close(self) -> None:
            pass

    monkeypatch.setattr("emotion_core.media.frames.open_frames", lambda source: Camera(portrait))
    monkeypatch.setattr("emotion_core.media.sinks.WindowSink", Window)
    return shown


def test_the_demo_shows_a_mirrored_camera(rmn, window, portrait):
    rmn.video_demo()
    mirrored = np.ascontiguousarray(portrait[:, ::-1])
    expected = rmn.draw(mirrored.copy(), rmn.detect_emotion_for_single_frame(mirrored))
    assert len(window) == 2 and np.array_equal(window[0], expected)


def test_the_seeds_snippet_runs_with_another_import_line(shared, portrait, window, tmp_path, monkeypatch, capsys):
    text = (shared / "seeds" / "residual_masking_network.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "from rmn import RMN" in snippet
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("some-image-path.png", portrait)
    code = "import cv2\n" + snippet.replace("from rmn import RMN", "from emotion_core.rmn import RMN")
    exec(compile(code, "snippet", "exec"), {})
    assert len(window) == 2
    assert "emo_label" in capsys.readouterr().out
    assert cv2.imread("output.png").shape == portrait.shape


def test_an_import_loads_no_torch_and_nothing_is_downloaded(tmp_path):
    code = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('a connection')\n"
        "socket.socket.connect = socket.create_connection = refuse\n"
        "from emotion_core.rmn import RMN\n"
        "RMN(threads=1)\n"
        "print({'torch', 'matplotlib'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "set()"), done.stderr
    assert list(tmp_path.iterdir()) == [] or [path.name for path in tmp_path.iterdir()] == ["store"]


def test_it_finds_the_faces_of_real_photos(shared, empty_store):
    for path in (shared / "models").glob("*yunet*"):
        shutil.copy(path, empty_store)
    rmn = RMN("yunet", threads=1)
    photos = sorted((shared / "data" / "photos").glob("*.jpg"))[:8]
    found = [rmn.detect_emotion_for_single_frame(cv2.imread(str(photo))) for photo in photos]
    assert all(len(results) >= 1 for results in found)
    for photo, results in zip(photos, found, strict=True):
        height, width = cv2.imread(str(photo)).shape[:2]
        for result in results:
            assert 0 <= result["xmin"] < result["xmax"] <= width and 0 <= result["ymin"] < result["ymax"] <= height
