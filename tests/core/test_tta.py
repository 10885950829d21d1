"""Test-time augmentation: what the views are, that they are always the same, and what the command tells of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emotion_core.cli import main
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import run_network
from emotion_core.evaluation.tta import TtaConfig, View, run_views
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.card import FACE, Framing, Input

INPUTS = (Input("faces", FACE, (1, 32, 32), "grey", framing=Framing()),)


class Faces:
    """Two blobs, one left of the middle and a fainter one above it."""

    def __init__(self, count: int = 5) -> None:
        y, x = np.mgrid[:32, :32] + 0.5
        left = np.exp(-((x - 8) ** 2 + (y - 16) ** 2) / 8)
        above = np.exp(-((x - 16) ** 2 + (y - 8) ** 2) / 8)
        self.face = np.asarray(left + 0.5 * above, np.float32)[None]
        self.count = count

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, inputs: object) -> tuple[np.ndarray, ...]:
        return (self.face,)


def sums(faces: np.ndarray) -> EnsembleOutput:
    """A network whose logits are the light in the left and in the right half."""
    halves = np.stack([faces[..., :16].sum((1, 2, 3)), faces[..., 16:].sum((1, 2, 3))], 1)
    return EnsembleOutput.from_arrays(halves / 20, None)


def centre(face: np.ndarray) -> tuple[float, float]:
    """Of the brightest blob."""
    y, x = np.unravel_index(face[0].argmax(), face[0].shape)
    return x + 0.5, y + 0.5


def test_the_first_views_are_the_face_and_its_mirror_image():
    data, config = Faces(), TtaConfig()
    (plain,), (mirrored,) = (View(data, number, config).sample(2, INPUTS) for number in (0, 1))
    assert np.array_equal(plain, data.face)
    assert np.array_equal(mirrored, data.face[:, :, ::-1])


def test_a_turned_view_is_turned_and_nothing_else():
    data = Faces(200)
    config = TtaConfig(rotation_deg=30.0, zoom=1.0)
    view, angles = View(data, 2, config), []
    for i in range(len(data)):
        (face,) = view.sample(i, INPUTS)
        assert face.shape == (1, 32, 32) and face.dtype == np.float32
        x, y = centre(face)
        assert np.hypot(x - 16, y - 16) == pytest.approx(8, abs=1.2)
        angles.append(np.degrees(np.arctan2(y - 16, -(x - 16) if x < 16 else x - 16)))
    assert -33 < min(angles) < -20 and 20 < max(angles) < 33
    sides = [centre(view.sample(i, INPUTS)[0])[0] < 16 for i in range(len(data))]
    assert 0.35 < np.mean(sides) < 0.65  # mirrored or not


def test_zoom_enlarges_by_no_more_and_what_is_cut_out_lies_inside():
    data = Faces(200)
    view = View(data, 2, TtaConfig(rotation_deg=0.0, zoom=1.5))
    places = np.array([centre(view.sample(i, INPUTS)[0]) for i in range(len(data))])
    # An enlargement by z, cut at any place inside, moves a point at p to z * p - [0, z - 1] * 32.
    assert (places[:, 1] >= 16 * 1.0 - 8.6).all() and (places[:, 1] <= 24.6).all()
    assert places[:, 1].std() > 1


def test_views_are_the_same_each_time_and_in_any_order_and_differ_by_seed_and_number():
    data = Faces()
    config = TtaConfig(seed=3)
    forward = [View(data, 4, config).sample(i, INPUTS)[0] for i in range(5)]
    view = View(data, 4, config)
    backward = [view.sample(i, INPUTS)[0] for i in reversed(range(5))][::-1]
    assert all(map(np.array_equal, forward, backward))
    assert not np.array_equal(forward[0], forward[1])
    assert not np.array_equal(forward[0], View(data, 5, config).sample(0, INPUTS)[0])
    assert not np.array_equal(forward[0], View(data, 4, TtaConfig(seed=4)).sample(0, INPUTS)[0])


def test_probabilities_are_summed_over_the_views():
    data, seen = Faces(), []
    plain, summed = run_views(sums, data, INPUTS, TtaConfig(views=3), on_progress=seen.append)
    each = [run_network(sums, View(data, number, TtaConfig()), INPUTS).probabilities for number in range(3)]
    np.testing.assert_allclose(plain.probabilities, each[0])
    np.testing.assert_allclose(summed.probabilities, np.mean(each, axis=0))
    assert seen == [5, 10, 15]
    # A face and its mirror image together know neither left nor right.
    _, both = run_views(sums, data, INPUTS, TtaConfig(views=2))
    np.testing.assert_allclose(both.probabilities, 0.5, atol=1e-6)


def test_colour_faces_keep_their_channels():
    class Colour(Faces):
        def sample(self, index: int, inputs: object) -> tuple[np.ndarray, ...]:
            return (np.concatenate([self.face, 2 * self.face, 0 * self.face]),)

    (face,) = View(Colour(), 3, TtaConfig()).sample(0, INPUTS)
    np.testing.assert_allclose(face[1], 2 * face[0], atol=1e-6)
    assert not face[2].any() and face[0].any()


@pytest.mark.parametrize("bad", [{"views": 1}, {"views": 1000}, {"rotation_deg": -1}, {"zoom": 0.5}, {"seed": -1}])
def test_settings_out_of_range(bad):
    with pytest.raises(EmotionError, match=f"{next(iter(bad))}: expected"):
        TtaConfig(**bad)


@pytest.fixture
def pixels(tmp_path):
    """fer2013.csv with 21 faces in PublicTest."""
    rng = np.random.default_rng(0)
    rows = ["emotion,pixels,Usage"]
    rows += [f"{i % 7},{' '.join(map(str, rng.integers(0, 256, 48 * 48)))},PublicTest" for i in range(21)]
    (tmp_path / "fer2013.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "fer2013.csv"


def test_the_command_reports_both_and_the_same_each_time(pixels, capsys):
    command = ["eval", "--dataset", "fer2013", "--data", str(pixels), "--json"]
    reports = []
    for more in ([], ["--tta", "4"], ["--tta", "4"]):
        assert main([*command, *more]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    without, once, again = reports
    assert once == again
    tta = once.pop("tta")
    assert once == without
    assert (tta["views"], tta["seed"], tta["n"]) == (4, 0, 21)
    assert {"accuracy", "macro_f1", "calibration_error", "recall", "precision", "f1"} <= set(tta)
    assert main([*command[:-1], "--tta", "2"]) == 0
    told = capsys.readouterr().out
    assert "with test-time augmentation of 2 views" in told and "precision %" in told


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--tta", "1"], "views: expected 2 to 100"),
        (["--tta", "--dimensional"], "--tta and --protocol go with classes"),
    ],
)
def test_bad_usage_is_one_line(more, message, pixels, capsys):
    assert main(["eval", "--dataset", "fer2013", "--data", str(pixels), *more]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_figures_go_into_a_card_and_from_there_into_the_table(tiny_models, pixels, tmp_path, capsys):
    pytest.importorskip("onnx")
    import shutil

    model = tmp_path / "seven.onnx"
    shutil.copy(tiny_models["seven"], model)
    command = ["eval", "--model", str(model), "--dataset", "fer2013", "--data", str(pixels), "--json", "--into-card"]
    assert main([*command, "--tta", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert main(["models", str(model), "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["results"]
    assert (entry["dataset"], entry["split"], entry["n"]) == ("FER2013", "PublicTest", 21)
    assert entry["accuracy"] == report["accuracy"] and entry["tta"]["accuracy"] == report["tta"]["accuracy"]
    assert main(["models", "--table", "fer2013", "--with", str(model)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| VGG19 | 70.80 | not trained here |  |  |  |  |  |" in lines
    assert "| ResMaskingNet | 74.14 | not trained here |  |  |  |  |  |" in lines  # that network is another one
    figures = f"{report['accuracy']:.2f} | {report['tta']['accuracy']:.2f}"
    assert f"| seven |  | {figures} | PublicTest, 21 | 64 | seven |  |" in lines
