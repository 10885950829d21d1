"""Whatever is given to a public function of the library: an answer, or an EmotionError that says what was expected."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from emotion_core.audio.features import sound_features
from emotion_core.audio.formats import to_mono
from emotion_core.audio.order import SoundCounts
from emotion_core.audio.resample import resample
from emotion_core.data.dataset import FaceSet
from emotion_core.data.folder import load_folder
from emotion_core.data.registry import DATASETS, open_dataset
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import run_network
from emotion_core.evaluation.metrics import agreement, classification
from emotion_core.media.given import as_picture
from emotion_core.media.pictures import decode_picture, read_picture, write_picture
from emotion_core.media.sound import read_sound
from emotion_core.pipeline.audiovisual import AudiovisualPipeline
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.pipeline.still import StillPipeline
from emotion_core.pipeline.voice import hear_whole
from emotion_core.recording.frames import to_pandas
from emotion_core.recording.recording import COLUMNS_BEFORE
from emotion_core.rmn import RMN
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.voice import VoiceModel
from emotion_core.store.finding import BUNDLED, find_model
from emotion_core.store.metadata import read_card
from emotion_core.types import Box, EmotionEstimate, Face
from emotion_core.vision.crop import crop_batch, crop_face, crop_inputs, fit_faces
from emotion_core.vision.cut import cut_out
from emotion_core.vision.detect import create_detector
from emotion_core.vision.draw import draw_estimates, draw_status
from emotion_core.vision.haar import HaarDetector

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (60, 80, 3), np.uint8)
FACE = Face(Box(20, 10, 30, 30))
ESTIMATE = EmotionEstimate(0.0, ("calm", "happy"), (0.25, 0.75), face=FACE)

BAD_PICTURES = {
    "None": None,
    "int": 7,
    "text list": ["photo.jpg"],
    "pixel list": [[1, 2], [3, 4]],
    "dict": {"image": 1},
    "empty array": np.empty((0, 0, 3), np.uint8),
    "no width": np.empty((5, 0, 3), np.uint8),
    "scalar": np.uint8(3),
    "row": np.zeros(12, np.uint8),
    "two channels": np.zeros((8, 8, 2), np.uint8),
    "five dimensions": np.zeros((1, 1, 8, 8, 3), np.uint8),
    "channels first": np.zeros((3, 8, 8), np.uint8),
    "int64": COLOUR.astype(np.int64),
    "mask": COLOUR > 100,
    "complex": COLOUR.astype(complex),
    "objects": np.array([[None, 1]]),
    "text": np.array([["a", "b"]]),
    "NaN": np.full((8, 8, 3), np.nan, np.float32),
    "one NaN": np.where(np.arange(192).reshape(8, 8, 3) == 7, np.nan, 0.5),
    "infinity": np.full((8, 8), np.inf),
    "floats to 255": COLOUR.astype(np.float32),
    "negative floats": np.full((8, 8, 3), -3.0),
    "too wide": np.zeros((1, 20000, 3), np.uint8),
}
BAD_PATHS = {"no such file": "no/such.jpg", "empty path": "", "zero in the path": "a\0b", "bytes of nothing": b"",
             "bytes of text": b"hello, this is no picture", "damaged URI": "data:image/png;base64,@@@",
             "URI of text": "data:text/plain,hello"}  # fmt: skip
BAD_SOUNDS = {
    "None": None, "path": "speech.wav", "scalar": 3.0, "text": ["a"], "ragged": [[1.0, 2.0], [3.0]], "dict": {},
    "three dimensions": np.zeros((4, 2, 2), np.float32), "no channel": np.zeros((4, 0), np.float32),
    "uint16": np.zeros(100, np.uint16), "int64": np.zeros(100, np.int64), "bools": np.zeros(100, bool),
    "complex": np.zeros(100, complex), "objects": np.array([None, 1.0]),
}  # fmt: skip
BAD_NUMBERS = {"None": None, "text": "1", "NaN": math.nan, "infinity": math.inf, "array": np.zeros(2)}
BAD_PATH_ARGUMENTS = {"None": None, "int": 3, "array": COLOUR, "missing": "no/such/place", "list": ["a"], "dict": {}}


@pytest.fixture(scope="module")
def tools():
    """The library as its documents use it, made once."""
    classifier = Classifier.load("esr_compact")
    return {
        "classifier": classifier,
        "facial": FacialPipeline(FacialConfig(detector="haar", detect_every=3), classifier=classifier),
        "still": StillPipeline(detector="haar"),
        "both": AudiovisualPipeline(classifier=classifier),
        "rmn": RMN("haar"),
        "haar": HaarDetector(),
        "auto": create_detector(),
        "voice": VoiceModel.load("voice_ravdess"),
        "input": classifier.card.face,
    }


SEEING = {
    "FacialPipeline.process": lambda t, p: t["facial"].process(p, 0.0),
    "FacialPipeline.process given": lambda t, p: t["facial"].process(p, 0.0, [("1", FACE)]),
    "StillPipeline.process": lambda t, p: t["still"].process(p),
    "AudiovisualPipeline.see": lambda t, p: t["both"].see(p, 0.0),
    "RMN.detect_faces": lambda t, p: t["rmn"].detect_faces(p),
    "RMN.detect_emotion_for_single_frame": lambda t, p: t["rmn"].detect_emotion_for_single_frame(p),
    "RMN.detect_emotion_for_single_face_image": lambda t, p: t["rmn"].detect_emotion_for_single_face_image(p),
    "RMN.draw": lambda t, p: RMN.draw(p, []),
    "as_picture": lambda t, p: as_picture(p),
}
"""What takes a path, too."""
LOOKING = {
    "HaarDetector.detect": lambda t, p: t["haar"].detect(p),
    "create_detector().detect": lambda t, p: t["auto"].detect(p),
    "crop_face": lambda t, p: crop_face(p, FACE, 48, 1.0),
    "crop_batch": lambda t, p: crop_batch(p, [FACE], t["input"], 1.0),
    "crop_inputs": lambda t, p: crop_inputs(p, [FACE], [t["input"]], 1.0),
    "cut_out": lambda t, p: cut_out(p, FACE.box, 32),
    "draw_estimates": lambda t, p: draw_estimates(p, [ESTIMATE]),
    "draw_status": lambda t, p: draw_status(p, "hello"),
    "write_picture": lambda t, p: write_picture(t["out"] / "picture.png", p),
}
"""What takes arrays and pictures of PIL."""


def refused(call) -> str:
    """The one line of the EmotionError that a call must end with."""
    with pytest.raises(EmotionError) as caught:
        call()
    message = str(caught.value)
    assert len(message) > 10 and "\n" not in message.strip()
    return message


# RMN shrinks what is too large, and so answers.
@pytest.mark.parametrize("bad", BAD_PICTURES)
@pytest.mark.parametrize("name", [*SEEING, *LOOKING])
def test_what_is_no_picture(tools, tmp_path, name, bad):
    if bad == "too wide" and name.startswith("RMN.detect"):
        assert not tools["rmn"].detect_faces(BAD_PICTURES[bad])
        return
    message = refused(lambda: {**SEEING, **LOOKING}[name](tools | {"out": tmp_path}, BAD_PICTURES[bad]))
    assert "expected" in message


@pytest.mark.parametrize("bad", BAD_PATHS)
@pytest.mark.parametrize("name", [*SEEING, *LOOKING])
def test_paths_and_contents_that_lead_to_no_picture(tools, tmp_path, name, bad):
    refused(lambda: {**SEEING, **LOOKING}[name](tools | {"out": tmp_path}, BAD_PATHS[bad]))


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """A real face, (H, W, 3) uint8 BGR: the portrait that comes with matplotlib."""
    cbook = pytest.importorskip("matplotlib.cbook", reason="the portrait comes with matplotlib")
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        return decode_picture(file.read()).image


def same_picture(portrait: np.ndarray, tmp_path: Path):
    """The portrait in every form that is documented, by name, and whether colours are kept."""
    import cv2

    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    path = tmp_path / "portrait.png"
    write_picture(path, portrait)
    forms = {
        "BGRA": (np.dstack([portrait, np.full(portrait.shape[:2], 9, np.uint8)]), True),
        "float32": ((portrait / 255).astype(np.float32), True),
        "float64": (portrait / 255, True),
        "float16": ((portrait / 255).astype(np.float16), True),
        "uint16": (portrait.astype(np.uint16) * 257, True),
        "big-endian uint16": ((portrait.astype(np.uint16) * 257).astype(">u2"), True),
        "view": (np.repeat(portrait, 2, 1)[:, ::2], True),
        "mirrored twice": (np.ascontiguousarray(portrait[:, ::-1])[:, ::-1], True),
        "grey": (grey, False),
        "grey, one channel": (grey[:, :, None], False),
        "grey uint16": (grey.astype(np.uint16) * 257, False),
        "path": (path, True),
        "path as text": (str(path), True),
        "content": (path.read_bytes(), True),
        "StoredPicture": (read_picture(path), True),
    }
    import base64

    forms["URI"] = ("data:image/png;base64," + base64.b64encode(path.read_bytes()).decode(), True)
    return forms


def test_pictures_of_every_documented_kind_are_the_same_picture(portrait, tmp_path):
    import cv2

    for name, (form, in_colour) in same_picture(portrait, tmp_path).items():
        wanted = portrait if in_colour else cv2.cvtColor(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        found = as_picture(form)
        assert found.dtype == np.uint8 and found.shape == portrait.shape, name
        assert np.abs(found.astype(int) - wanted).max() <= (1 if name == "float16" else 0), name
    assert as_picture(portrait) is portrait  # a frame costs nothing


def test_a_face_shows_the_same_in_every_kind_of_picture(tools, portrait, tmp_path):
    wanted = tools["still"].process(portrait)
    assert len(wanted) == 1
    for name, (form, in_colour) in same_picture(portrait, tmp_path).items():
        found = tools["still"].process(form)
        assert len(found) == 1 and found[0].label == wanted[0].label, name
        assert found[0].confidence == pytest.approx(wanted[0].confidence, abs=0.02 if in_colour else 0.1), name


def test_pictures_of_pil(portrait):
    image = pytest.importorskip("PIL.Image", reason="PIL is not installed")
    rgb = portrait[:, :, ::-1]
    assert np.array_equal(as_picture(image.fromarray(rgb)), portrait)
    assert np.array_equal(as_picture(image.fromarray(rgb).convert("RGBA")), portrait)
    grey = image.fromarray(rgb).convert("L")
    assert np.array_equal(as_picture(grey)[:, :, 0], np.asarray(grey))
    turned = image.fromarray(rgb[:, :40])
    turned.getexif()[0x0112] = 6  # to be shown turned by 90 degrees
    assert as_picture(turned).shape == (40, len(rgb), 3)
    deep = image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert np.array_equal(as_picture(deep)[:, :, 0], np.asarray(grey))


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (None, "as an array"), ([[0.5]], "as an array"), ("face.png", "as an array"),
        (np.zeros((1, 1, 48, 48), np.uint8), "as floats, got uint8"),
        (np.full((1, 1, 48, 48), np.nan, np.float32), "NaN"),
        (np.full((1, 1, 48, 48), np.inf, np.float32), "infinity"),
        (np.full((1, 1, 48, 48), 200.0, np.float32), "from 200 to 200"),
        (np.full((1, 1, 48, 48), -0.6, np.float32), "got values"),
        (np.zeros((1, 48, 48), np.float32), r"\(N, 1, 48, 48\)"),
        (np.zeros((0, 1, 48, 48), np.float32), "got"),
        (np.zeros((1, 3, 48, 48), np.float32), r"\(N, 1, 48, 48\)"),
        (np.zeros((), np.float32), "got"),
    ],
)  # fmt: skip
def test_batches_that_a_classifier_does_not_take(tools, batch, words):
    shape = tools["classifier"].card.face.shape
    assert shape == (1, 48, 48)
    with pytest.raises(EmotionError, match=words):
        tools["classifier"](batch)


def test_one_nan_in_a_batch_is_found(tools):
    batch = np.full((3, 1, 48, 48), 0.5, np.float32)
    assert tools["classifier"](batch).probabilities.shape == (3, 8)
    batch[2, 0, 47, 47] = np.nan
    assert "NaN" in refused(lambda: tools["classifier"](batch))


@pytest.mark.parametrize(
    "faces", [None, "face.png", [COLOUR], COLOUR, COLOUR[None].astype(float), np.zeros((2, 0, 4), np.uint8)]
)
def test_batches_of_faces_that_are_none(tools, faces):
    assert "cropped faces" in refused(lambda: fit_faces(faces, tools["input"]))
    classes = np.zeros(1, np.int64)
    assert "cropped faces" in refused(lambda: FaceSet(faces, np.ones((1, 1), np.float32), classes, ("a",), ("calm",)))


HEARING = {
    "AudiovisualPipeline.hear": lambda t, s: t["both"].hear(s, 16000, 0.0),
    "to_mono": lambda t, s: to_mono(s),
}


@pytest.mark.parametrize("bad", BAD_SOUNDS)
@pytest.mark.parametrize("name", HEARING)
def test_what_is_no_sound(tools, name, bad):
    assert "expected" in refused(lambda: HEARING[name](tools, BAD_SOUNDS[bad]))


@pytest.mark.parametrize("bad", BAD_NUMBERS)
def test_times_and_rates_that_are_none(tools, bad):
    value, sound = BAD_NUMBERS[bad], np.zeros(1600, np.float32)
    assert "time" in refused(lambda: tools["facial"].process(COLOUR, value))
    assert "time" in refused(lambda: tools["both"].see(COLOUR, value))
    assert "time" in refused(lambda: tools["both"].hear(sound, 16000, value))
    assert "rate" in refused(lambda: tools["both"].hear(sound, value, 0.0))
    assert "rate" in refused(lambda: resample(sound, value, 16000))
    assert isinstance(tools["both"].voice.counts, SoundCounts) and tools["both"].voice.counts.gaps == 0


def test_a_bad_frame_changes_nobodys_state(tools, portrait):
    pipeline = FacialPipeline(FacialConfig(detector="haar"), classifier=tools["classifier"])
    first = pipeline.process(portrait, 0.0)
    for image, stamp_s in ((None, 0.1), (portrait, math.nan), (portrait[:0], 0.2)):
        refused(lambda image=image, stamp_s=stamp_s: pipeline.process(image, stamp_s))
    assert [e.track_id for e in pipeline.process(portrait, 0.1)] == [e.track_id for e in first] == ["1"]


@pytest.mark.parametrize("samples", [None, "a.wav", np.zeros(0), np.zeros((2, 2)), np.full(40000, np.nan), {}])
def test_sounds_that_a_whole_voice_is_not(tools, samples):
    card = read_card(BUNDLED / "av_ia.onnx")
    item = next(item for item in card.inputs if item.kind == "sound")
    refused(lambda: sound_features(samples, 16000, item))
    refused(lambda: hear_whole(tools["voice"], samples, 0.0))
    refused(lambda: tools["voice"].utterance(samples))


@pytest.mark.parametrize("given", [3, "face", [FACE], [("1", None)], [("1",)], {"1": FACE}, [("1", FACE.box)]])
def test_given_faces_that_are_none(tools, given):
    assert "pairs of (id, Face)" in refused(lambda: tools["facial"].process(COLOUR, 0.0, given))


@pytest.mark.parametrize("make", [FacialPipeline, AudiovisualPipeline])
def test_names_where_things_are_expected(make):
    assert "FacialConfig" in refused(lambda: make("haar"))
    assert "FacialConfig" in refused(lambda: make(detector="haar"))
    assert "FacialConfig" in refused(lambda: make(classifier="esr_compact"))
    assert "config" in refused(lambda: make({"detector": "haar"})).lower()


@pytest.mark.parametrize("bad", BAD_PATH_ARGUMENTS)
def test_files_and_folders_that_are_none(bad, tmp_path):
    value = BAD_PATH_ARGUMENTS[bad]
    for call in (find_model, Classifier.load, VoiceModel.load, read_card, read_picture, read_sound, load_folder):
        refused(lambda call=call: call(value))
    for make in (StillPipeline, RMN):
        refused(lambda make=make: make(model=value))
    for name in DATASETS:
        refused(lambda name=name: open_dataset(name, value))
    refused(lambda: open_dataset(value, tmp_path))
    refused(lambda: create_detector(value))
    if bad != "missing":
        refused(lambda: write_picture(value, COLOUR))


@pytest.mark.parametrize("value", [None, "1", math.nan, math.inf, (1, 2)])
def test_boxes_faces_and_estimates_of_nonsense(value):
    refused(lambda: Box(0, 0, value, 1))
    refused(lambda: Box(value, 0, 1, 1))
    refused(lambda: Face(FACE.box, value))
    refused(lambda: Face(value))
    refused(lambda: EmotionEstimate(0.0, ("a", "b"), (value, 0.5)))
    if not isinstance(value, tuple):
        refused(lambda: EmotionEstimate(0.0, value, (0.5, 0.5)))
    if value is None or value != value:
        refused(lambda: EmotionEstimate(0.0, ("a",), value))
    else:
        refused(lambda: EmotionEstimate(0.0, ("a",), (1.0,), valence=value))


def test_estimates_take_lists_and_arrays():
    made = EmotionEstimate(0.0, ["a", "b"], np.array([0.25, 0.75], np.float32))
    assert made == EmotionEstimate(0.0, ("a", "b"), (0.25, 0.75)) and made.label == "b"
    nothing = [float("nan"), np.float32("nan"), math.nan]
    same = {EmotionEstimate(0.0, ("a", "b"), (0.25, 0.75), value, value) for value in nothing}
    assert (
        same == {made} == {pickle.loads(pickle.dumps(made))}
        and made != EmotionEstimate(0.0, ("a", "b"), (0.25, 0.75), 0.0, 0.0)
        and made != "b"
    )


@pytest.mark.parametrize(
    ("truth", "predicted", "confidence"),
    [
        ([], [], []), (None, None, None), ([0, 1], [0], [0.5]), ([0, 2], [0, 1], [0.5, 0.5]), ([0, -1], [0, 1], [1, 1]),
        ([0.0, 1.0], [0, 1], [1, 1]), ([0, 1], [0, 1], [0.5, np.nan]), ([0, 1], [0, 1], [50, 60]), ("ab", "ab", "ab"),
        ([[0, 1]], [[0, 1]], [[1, 1]]), ([[0], [0, 1]], [0, 1], [1, 1]),
    ],
)  # fmt: skip
def test_measures_of_nonsense(truth, predicted, confidence):
    refused(lambda: classification(truth, predicted, confidence, ("a", "b")))


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [([], []), (None, None), ([1.0], [1.0, 2.0]), ([np.nan], [1.0]), ([1.0], [np.inf]), ("a", "a")],
)
def test_agreement_of_nonsense(truth, predicted):
    refused(lambda: agreement(truth, predicted))


@pytest.mark.parametrize("data", [None, 3, "folder", [], COLOUR])
def test_nothing_to_evaluate_on(tools, data):
    refused(lambda: run_network(tools["classifier"], data, tools["input"]))


@pytest.mark.parametrize(
    ("estimates", "words"), [(None, "list of EmotionEstimate"), ([1], "list of EmotionEstimate"), ("a", "list of")]
)
def test_what_is_no_estimate_is_neither_drawn_nor_tabled(estimates, words):
    assert words in refused(lambda: draw_estimates(COLOUR, estimates))
    pytest.importorskip("pandas", reason="pandas is not installed")
    assert words in refused(lambda: to_pandas(estimates))


@pytest.mark.parametrize("counts", [None, [], [[1, 2]], [[1, 2], [3]], [[0.5, 1], [1, 1]], [[-1, 0], [0, 0]], "ab"])
def test_a_confusion_matrix_that_is_none(counts, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from emotion_core.plots.confusion import plot_confusion

    assert "expected counts (2, 2)" in refused(lambda: plot_confusion(counts, ("a", "b"), tmp_path / "c.png"))
    assert not (tmp_path / "c.png").exists()


def test_an_estimate_goes_through_json(portrait, tools):
    [found] = tools["still"].process(portrait)
    read = json.loads(json.dumps(found.to_dict()))
    assert read["label"] == found.label and read["modalities"] == ["face"] and read["model"] == "esr_compact"
    assert read["probabilities"] == dict(zip(found.labels, found.probabilities, strict=True))
    assert read["box"] == [found.face.box.x, found.face.box.y, found.face.box.width, found.face.box.height]
    voice = EmotionEstimate(1.5, ("a",), (1.0,), modalities=2).to_dict()
    read = json.loads(json.dumps(voice, allow_nan=False))
    assert read.pop("quality", None) is None
    assert read == {
        "stamp_s": 1.5, "track_id": "", "label": "a", "confidence": 1.0, "probabilities": {"a": 1.0}, "valence": None,
        "arousal": None, "box": None, "score": None, "model": "", "modalities": ["voice"],
    }  # fmt: skip
    face = Face(Box(*np.ones(4)), np.float64(1))
    odd = EmotionEstimate(np.float32(2), ("a",), (1.0,), valence=np.float32(0.5), face=face)
    assert json.loads(json.dumps(odd.to_dict()))["box"] == [1.0, 1.0, 1.0, 1.0]


def test_estimates_as_a_table():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = to_pandas([ESTIMATE, EmotionEstimate(0.5, ("calm", "sad"), (1.0, 0.0), 0.5, -0.5, modalities=2)])
    after = ["p_calm", "p_happy", "p_sad", "valence", "arousal", "model", "modalities"]
    assert list(table.columns) == [*COLUMNS_BEFORE, *after]
    assert table["label"].tolist() == ["happy", "calm"] and table["x"].tolist()[0] == 20
    assert pandas.isna(table.loc[1, "x"]) and pandas.isna(table.loc[1, "p_happy"]) and table.loc[1, "valence"] == 0.5
    assert len(to_pandas(ESTIMATE)) == 1 and to_pandas([]).shape == (0, len(COLUMNS_BEFORE) + 4)


def test_pandas_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    assert "pip install pandas" in refused(lambda: to_pandas([ESTIMATE]))
