"""Ensembles of models: what they say, how they are chosen, and that they go wherever a model goes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from emotion_core.cli import main
from emotion_core.errors import EmotionError
from emotion_core.evaluation.selection import choose_members
from emotion_core.labels import AFFECTNET
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.ensemble import EnsembleCard, new_member
from emotion_core.types import Box, Face
from emotion_core.vision.crop import crop_batch, crop_inputs


@pytest.fixture
def models(tiny_models: dict[str, Path]) -> dict[str, Path]:
    return tiny_models


@pytest.fixture
def both(models: dict[str, Path], tmp_path: Path) -> Path:
    """The card of an ensemble of two networks that agree in nothing but the labels; the second weighs three times."""
    path = tmp_path / "both.json"
    members = new_member(models["small"], path), new_member(models["masking"], path, 3.0)
    EnsembleCard("both", members).write(path)
    return path


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    """fer2013.csv with 40 faces in PublicTest and 20 in PrivateTest."""
    rng = np.random.default_rng(0)
    rows = ["emotion,pixels,Usage"]
    for i in range(60):
        face = " ".join(map(str, rng.integers(0, 256, 48 * 48)))
        rows.append(f"{i % 7},{face},{'PublicTest' if i < 40 else 'PrivateTest'}")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "fer2013.csv").write_text("\n".join(rows) + "\n")
    return folder


PICTURE = np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)
FACES = [Face(Box(20, 30, 50, 60)), Face(Box(90, 20, 40, 44), 0.9, ((100, 36), (118, 40)))]


def test_each_member_crops_for_itself_and_probabilities_are_summed_by_weight(both, models):
    ensemble = Classifier.load(both)
    assert [item.shape for item in ensemble.card.inputs] == [(1, 32, 32), (3, 64, 64)]
    assert ensemble.card.labels == AFFECTNET
    output = ensemble(*crop_inputs(PICTURE, FACES, ensemble.card.faces, 1.0))
    alone = []
    for name in ("small", "masking"):
        member = Classifier(models[name])
        said = member(crop_batch(PICTURE, FACES, member.card.face, 1.0)).probabilities
        alone.append(said[:, [member.card.labels.index(label) for label in AFFECTNET]])
    np.testing.assert_allclose(output.probabilities, (alone[0] + 3 * alone[1]) / 4, atol=1e-6)
    np.testing.assert_allclose(output.branch_probabilities, np.stack(alone, 1), atol=1e-6)
    # Only the first has valence and arousal: the other has no say in them.
    small = Classifier(models["small"])
    np.testing.assert_allclose(output.affect, small(crop_batch(PICTURE, FACES, small.card.face, 1.0)).affect, atol=1e-6)


def test_members_that_see_the_same_share_an_input(models, tmp_path):
    twin = tmp_path / "twin.onnx"
    shutil.copy(models["small"], twin)
    path = tmp_path / "twins.json"
    EnsembleCard("twins", (new_member(models["small"], path), new_member(twin, path))).write(path)
    ensemble, single = Classifier.load(path), Classifier(models["small"])
    assert len(ensemble.card.inputs) == 1
    batch = np.random.default_rng(0).random((3, 1, 32, 32), np.float32)
    np.testing.assert_allclose(ensemble(batch).probabilities, single(batch).probabilities, atol=1e-6)


def test_a_pipeline_takes_an_ensemble_as_any_model_and_changes_to_it(both):
    pipeline = FacialPipeline(FacialConfig(detector="haar"))
    (before,) = pipeline.process(PICTURE, 0.0, [("a", FACES[0])])
    assert before.model == "esr_compact"
    config = FacialConfig(detector="haar", model=str(both))
    assert pipeline.check(config)
    pipeline.reconfigure(config)
    (after,) = pipeline.process(PICTURE, 1.0, [("a", FACES[0])])
    assert (after.model, after.labels) == ("both", AFFECTNET)
    assert sum(after.probabilities) == pytest.approx(1)


def test_in_the_store_it_has_a_name(both, models, empty_store, capsys):
    path = empty_store / "mine.json"
    shutil.copy(models["small"], empty_store / "small.onnx")
    EnsembleCard("mine", (new_member("small", path),)).write(path)
    assert Classifier.load("mine").card.name == "mine"
    assert main(["models", "--json"]) == 0
    assert "mine" in [card["name"] for card in json.loads(capsys.readouterr().out)]
    assert main(["models", "mine"]) == 0
    assert "ensemble" in capsys.readouterr().out


def test_labels_that_differ_are_one_clear_error(models, tmp_path, capsys):
    out = tmp_path / "bad.json"
    assert main(["ensemble", str(models["small"]), str(models["seven"]), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "same labels: small has neutral" in error and "seven has anger" in error
    assert not out.exists()


def test_another_file_in_a_members_place_is_refused(models, tmp_path):
    path, member = tmp_path / "one.json", tmp_path / "member.onnx"
    shutil.copy(models["small"], member)
    EnsembleCard("one", (new_member(member, path),)).write(path)
    shutil.copy(models["masking"], member)
    with pytest.raises(EmotionError, match="another file than the member"):
        Classifier.load(path)
    member.unlink()
    with pytest.raises(EmotionError, match="no model file"):
        Classifier.load(path)


def test_a_folder_with_card_and_members_can_be_moved(models, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    shutil.copy(models["small"], here / "small.onnx")
    EnsembleCard("one", (new_member(here / "small.onnx", here / "one.json"),)).write(here / "one.json")
    here.rename(there)
    assert Classifier.load(there / "one.json").card.name == "one"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no ensemble's card"),
        ('{"kind": "emotion_ensemble", "name": "x", "members": []}', "at least one member"),
        ('{"kind": "emotion_ensemble", "name": "x", "members": [{"model": "a"}]}', "holds no ensemble"),
        (
            '{"kind": "emotion_ensemble", "name": "x", "members": [{"model": "a", "sha256": "", "weight": -1}]}',
            "above 0",
        ),
        ('{"kind": "emotion_ensemble", "name": "x", "members": [{"model": "nope", "sha256": ""}]}', "unknown model"),
    ],
)
def test_damaged_cards_are_one_clear_error(content, message, tmp_path, capsys):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(EmotionError, match=message):
        Classifier.load(path)


def test_an_ensemble_is_no_member(both, tmp_path):
    with pytest.raises(EmotionError, match="name its members"):
        new_member(both, tmp_path / "outer.json")


def test_selection_takes_what_helps_and_stops():
    truth = np.array([0, 0, 1, 1, 2, 2])
    good = np.eye(3)[[0, 0, 1, 1, 2, 0]] * 0.6 + 0.13  # wrong in the last
    helps = np.eye(3)[[0, 1, 1, 1, 2, 2]] * 0.8 + 0.066  # wrong in the second, surer in the last
    helps[1] = [0.3, 0.4, 0.3]
    useless = np.full((6, 3), 1 / 3)
    assert choose_members([useless, good, helps], truth) == [2, 1]
    assert choose_members([useless, good, helps], truth, most=1) == [2]  # as accurate as the other, and surer
    assert choose_members([good, good], truth) == [0]


def test_members_are_chosen_on_validation_data_and_the_card_says_so(models, pixels, tmp_path, capsys):
    out = tmp_path / "chosen.json"
    candidates = [str(models["small"]), str(models["masking"])]
    command = ["ensemble", *candidates, "--out", str(out), "--choose", "--data", str(pixels)]
    assert main([*command, "--split", "test"]) == 2
    assert "chosen on the valid split, not on test" in capsys.readouterr().err
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    card = EnsembleCard.load(out)
    assert [member.model for member in card.members] == told["members"]
    assert card.chosen == {"dataset": "fer2013", "split": "valid", "among": candidates}
    assert card.results[0]["chosen_on_it"] and card.results[0]["n"] == 40
    evaluate = ["eval", "--model", str(out), "--dataset", "fer2013", "--data", str(pixels), "--json"]
    assert main(evaluate) == 0
    same = json.loads(capsys.readouterr().out)
    assert same["chosen_on_it"] and same["accuracy"] == card.results[0]["accuracy"]
    assert main([*evaluate, "--split", "test"]) == 0
    assert "chosen_on_it" not in (other := json.loads(capsys.readouterr().out)) and other["n"] == 20


def test_faces_of_another_dataset_are_known_to_be_the_same(models, tmp_path):
    from emotion_core.evaluation.results import chosen_here
    from emotion_core.store.ensemble import model_card

    path = tmp_path / "chosen.json"
    how = {"dataset": "ferplus", "split": "valid"}
    EnsembleCard("chosen", (new_member(models["small"], path),), how).write(path)
    card = model_card(path)
    told = [chosen_here(card, *where) for where in (("ferplus", "valid"), ("fer2013", "valid"), ("fer2013", "test"))]
    assert told == [True, True, False]
    assert not chosen_here(card, "affectnet", "valid") and not chosen_here(model_card(models["small"]), "", "")


def test_members_are_told_alone_and_together(both, pixels, capsys):
    assert main(["eval", "--model", str(both), "--dataset", "fer2013", "--data", str(pixels), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["parts"] == "members" and len(report["branch_accuracy"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x.onnx"], "ends in .json"),
        (["--out", "x.json", "--weights", "1"], "a weight for each of 2"),
        (["--out", "x.json", "--weights", "1", "0"], "a number above 0"),
        (["--out", "x.json", "--choose"], "give --data"),
        (["--out", "x.json", "--most", "1"], "--most goes with --choose"),
    ],
)
def test_bad_usage_is_one_line(arguments, message, models, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["ensemble", str(models["small"]), str(models["masking"]), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_member_twice_is_refused(models, tmp_path, capsys):
    same = str(models["small"])
    assert main(["ensemble", same, same, "--out", str(tmp_path / "x.json")]) == 2
    assert "named twice" in capsys.readouterr().err


def test_members_are_not_replaced_by_what_a_command_writes(both, models, capsys):
    assert main(["eval", "--model", str(both), "--data", "nowhere", "--confusion", str(models["small"])]) == 2
    assert "the source itself" in capsys.readouterr().err


def test_grad_cam_says_that_it_explains_one_network(both):
    pytest.importorskip("torch")
    from emotion_core.plots.saliency import load_explained
    from emotion_core.store.ensemble import model_card

    with pytest.raises(EmotionError, match="name one of its members"):
        load_explained(str(both), model_card(both))
