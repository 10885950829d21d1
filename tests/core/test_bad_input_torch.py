"""Learners, plots and explanations answer whatever they are given, or say in an EmotionError what was expected."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="learners take torch")
pytest.importorskip("matplotlib", reason="plots take matplotlib")

from emotion_core.errors import EmotionError
from emotion_core.learners.audiovisual import AudiovisualEmotionLearner
from emotion_core.learners.audiovisual_data import load_inference_data, load_inference_video
from emotion_core.learners.engine import Image
from emotion_core.learners.facial import FacialEmotionLearner
from emotion_core.media.pictures import write_picture
from emotion_core.models.esr import PRESETS
from emotion_core.plots.branches import draw_branches, letterbox
from emotion_core.plots.confusion import plot_confusion
from emotion_core.plots.embedding import plot_embedding
from emotion_core.plots.reliability import plot_reliability
from emotion_core.plots.saliency import grad_cam
from emotion_core.plots.timeline import plot_timeline
from emotion_core.plots.training import plot_training
from emotion_core.types import EmotionEstimate

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
BAD = {
    "None": None, "int": 3, "dict": {}, "empty list": [], "list of None": [None], "no such file": "no/such.jpg",
    "empty": np.empty((0, 0, 3), np.uint8), "scalar": np.uint8(1), "two channels": np.zeros((8, 8, 2), np.uint8),
    "int64": np.zeros((8, 8, 3), np.int64), "NaN": np.full((8, 8), np.nan), "to 255": PICTURE.astype(float),
    "objects": np.array([[None]]), "no batch": np.empty((0, 8, 8, 3), np.uint8), "six": np.zeros((1,) * 6),
    "nothing in an Image": Image(None),
}  # fmt: skip
PATHS = {"None": None, "int": 3, "missing": "no/such/folder", "list": ["a"]}


def refused(call) -> str:
    with pytest.raises(EmotionError) as caught:
        call()
    return str(caught.value)


@pytest.fixture(scope="module")
def facial() -> FacialEmotionLearner:
    return FacialEmotionLearner(device="cpu", architecture=PRESETS["esr4_ckplus"], ensemble_size=1)


@pytest.fixture(scope="module")
def audiovisual() -> AudiovisualEmotionLearner:
    return AudiovisualEmotionLearner(device="cpu", num_class=2, seq_length=3, labels=("calm", "happy"))


@pytest.mark.parametrize("bad", BAD)
def test_a_facial_learner_infers_from_faces_only(facial, bad):
    refused(lambda: facial.infer(BAD[bad]))


def test_a_facial_learner_takes_the_usual_pictures(facial, tmp_path):
    path = tmp_path / "face.png"
    write_picture(path, PICTURE)
    wanted, _ = facial.infer(PICTURE)
    for given in (path, str(path), path.read_bytes(), Image(PICTURE), PICTURE / 255, PICTURE.astype(np.uint16) * 257):
        found, _ = facial.infer(given)
        assert found.data == wanted.data and found.confidence == pytest.approx(wanted.confidence, abs=1e-4)
    assert facial.infer([PICTURE, path])[0] == [wanted, wanted]
    assert facial.infer(PICTURE[:, :, 0])[0].data in range(8)


@pytest.mark.parametrize("bad", PATHS)
def test_learners_load_and_save_folders_only(facial, audiovisual, bad):
    refused(lambda: facial.load(path_to_saved_network=PATHS[bad]))
    refused(lambda: audiovisual.load(PATHS[bad]))
    if bad != "missing":
        refused(lambda: facial.save(path=PATHS[bad]))
        refused(lambda: audiovisual.save(PATHS[bad]))


@pytest.mark.parametrize("data", [3, "folder", [], [1, 2], PICTURE])
def test_learners_measure_datasets_only(facial, audiovisual, data):
    assert "expected" in refused(lambda: facial.eval(dataset=data)) or not len(data)
    refused(lambda: audiovisual.eval(data))


@pytest.mark.parametrize("data", [3, "folder", [1, 2]])
def test_learners_learn_from_datasets_only(facial, audiovisual, data, tmp_path):
    refused(lambda: facial.fit(data, data, data, data))
    refused(lambda: audiovisual.fit(data, data, logging_path=str(tmp_path)))


@pytest.mark.parametrize("bad", BAD)
def test_an_audiovisual_learner_infers_from_its_inputs_only(audiovisual, bad):
    value = BAD[bad]
    refused(lambda: audiovisual.infer(audio=value, video=None))
    refused(lambda: audiovisual.infer(audio=None, video=value))


@pytest.mark.parametrize("bad", [*(name for name in BAD if name != "None"), "text"])
def test_sound_and_picture_of_a_window_are_files_or_arrays(bad):
    value = BAD.get(bad, "speech")
    refused(lambda: load_inference_data(value, None))
    refused(lambda: load_inference_data(None, value, detector="haar"))
    refused(lambda: load_inference_video(value, detector="haar"))


@pytest.mark.parametrize("bad", [None, 3, "photo.jpg", PICTURE[:0], PICTURE.astype(np.int64)])
def test_pictures_that_are_not_drawn_into(bad):
    refused(lambda: draw_branches(bad, [], None))
    refused(lambda: letterbox(bad, (640, 480)))


@pytest.mark.parametrize(
    "faces", [None, "face", np.zeros((1, 3), np.float32), np.full((1, 1, 96, 96), np.nan, np.float32), [[1]]]
)
def test_explanations_take_faces_only(facial, faces):
    refused(lambda: grad_cam(facial.model, faces))


@pytest.mark.parametrize("rows", [None, 3, [None], ["row"], "rows"])
def test_runs_and_trainings_that_are_none(rows, tmp_path):
    refused(lambda: plot_timeline(rows, tmp_path / "a.png", "run"))
    refused(lambda: plot_training(rows, tmp_path / "b.png"))
    refused(lambda: plot_reliability(rows, tmp_path / "c.png"))
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("features", "classes"),
    [
        (None, [0, 1]), ([], []), ([[1, 2], [3, 4]], [0]), ([[1, 2], [3]], [0, 1]), ([[1, 2], [3, math.nan]], [0, 1]),
        ([[1, 2], [3, 4]], None), ([[1, 2], [3, 4]], [0, 5]), ("ab", "ab"),
    ],
)  # fmt: skip
def test_features_that_are_none(features, classes, tmp_path):
    refused(lambda: plot_embedding(features, classes, ("a", "b"), tmp_path / "a.png"))
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize("path", [None, 3, "picture.docx"])
def test_pictures_that_cannot_be_written(path):
    refused(lambda: plot_confusion([[1, 0], [0, 1]], ("a", "b"), path))


def test_a_run_of_one_estimate_is_drawn(tmp_path: Path):
    plot_timeline([EmotionEstimate(0.0, ("a", "b"), (0.5, 0.5))], tmp_path / "a.png", "run")
    assert (tmp_path / "a.png").stat().st_size > 1000
