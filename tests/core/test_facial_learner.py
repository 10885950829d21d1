"""The learner as OpenDR documents it: its three examples, and what users do wrong."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("tensorboard")
pytest.importorskip("safetensors")

from emotion_core.data.affectnet import AffectNetCategorical, AffectNetDimensional  # noqa: E402
from emotion_core.data.affectnet_prepare import pre_process_affect_net  # noqa: E402
from emotion_core.data.affectnet_rows import COLUMNS  # noqa: E402
from emotion_core.data.dataset import FaceSet  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.esr_files import BASE_FILE, BRANCH_FILE  # noqa: E402
from emotion_core.export.weights import load_network  # noqa: E402
from emotion_core.labels import AFFECTNET  # noqa: E402
from emotion_core.learners.engine import Category, Image  # noqa: E402
from emotion_core.learners.facial import FacialEmotionLearner  # noqa: E402
from emotion_core.learners.facial_config import FacialLearnerConfig  # noqa: E402
from emotion_core.models.esr import ConvSpec, EsrConfig  # noqa: E402
from emotion_core.runtime.classifier import Classifier  # noqa: E402

SMALL = EsrConfig(
    branches=2, input_size=16, base=(ConvSpec(8, padding=1, pool=True),), branch=(ConvSpec(16, padding=1),)
)


@pytest.fixture(scope="session")
def affectnet(tmp_path_factory):
    """A prepared AffectNet of two faces a class, made of drawn pictures by the documented function."""
    root = tmp_path_factory.mktemp("affectnet")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(16):
        cv2.imwrite(str(root / f"{i}.png"), rng.integers(0, 255, (130, 120, 3), np.uint8))
        affect = round(np.sin(i) * 0.9, 3), round(np.cos(i) * 0.9, 3)
        rows.append(",".join(map(str, (f"{i}.png", 10, 15, 100, 110, "1;2", i % 8, *affect))))
    for name in ("training", "validation"):
        (root / f"{name}.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    for set_index in (1, 2):
        pre_process_affect_net(root, root, root / "AffectNet", set_index)
    return root / "AffectNet"


def small(tmp_path, **arguments) -> FacialEmotionLearner:
    settings = {"device": "cpu", "temp_path": str(tmp_path / "tmp"), "ensemble_size": 2, "architecture": SMALL}
    return FacialEmotionLearner(**{**settings, "base_path_experiment": str(tmp_path / "experiments"), **arguments})


def faces(count: int = 40, seed: int = 0) -> FaceSet:
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % 8
    pixels = (rng.integers(0, 60, (count, 16, 16, 3)) + 24 * classes[:, None, None, None]).astype(np.uint8)
    return FaceSet(pixels, np.eye(8, dtype=np.float32)[classes], classes, tuple(map(str, range(count))))


@pytest.mark.slow
def test_the_documented_examples(affectnet, tmp_path, monkeypatch):
    """Training, inference on a batch, and optimisation, in the words of the documentation, its typos mended."""
    from torch.utils.data import DataLoader

    monkeypatch.chdir(tmp_path)
    settings = {
        "device": "cpu", "temp_path": "./tmp", "batch_size": 2, "max_training_epoch": 1, "ensemble_size": 1,
        "name_experiment": "esr_9", "base_path_experiment": "./experiments/", "lr": 1e-1, "categorical_train": True,
        "dimensional_finetune": True, "base_path_to_dataset": str(affectnet), "max_tuning_epoch": 1,
    }  # fmt: skip
    learner = FacialEmotionLearner(**settings)
    result = learner.fit()
    assert [row["stage"] for row in result["history"]] == ["categorical", "dimensional"]
    learner.save(
        state_dicts=learner.model.to_state_dict(),
        base_path_to_save_model=learner.base_path_experiment,
        current_branch_save=8,
    )

    learner = FacialEmotionLearner(**settings)
    val_data = AffectNetCategorical(
        idx_set=2,
        max_loaded_images_per_label=2,
        transforms=None,
        is_norm_by_mean_std=False,
        base_path_to_affectnet=str(affectnet),
    )
    batch = next(iter(DataLoader(val_data, batch_size=32, shuffle=False, num_workers=0)))[0]
    learner.load(learner.ensemble_size, path_to_saved_network=learner.base_path_experiment, fix_backbone=True)
    category, affect = learner.infer(batch[0])
    assert isinstance(category, Category) and category.description == AFFECTNET[category.data]
    assert affect.shape == (2,) and np.abs(affect).max() <= 1
    categories, affects = learner.infer(batch)
    assert len(categories) == len(batch) == 16 and affects.shape == (16, 2)
    assert categories[0].confidence == pytest.approx(category.confidence, abs=1e-5)
    assert {n for n, p in learner.model.named_parameters() if p.requires_grad} == {
        f"convolutional_branches.0.fc_dimensional.{p}" for p in ("weight", "bias")
    }

    learner.optimize(do_constant_folding=True)
    np.testing.assert_allclose(learner.infer(batch)[1], affects, atol=1e-4)
    learner.save(path="./parent_dir/optimized_model", model_name="optimized_esr")
    assert (tmp_path / "parent_dir/optimized_model/optimized_esr.onnx").is_file()


def test_defaults_are_the_documented_ones():
    shown = inspect.signature(FacialEmotionLearner).parameters
    documented = {
        "lr": 0.1, "batch_size": 32, "temp_path": "temp", "device": "cuda", "device_ind": (0,),
        "validation_interval": 1, "max_training_epoch": 2, "momentum": 0.9, "ensemble_size": 9,
        "base_path_experiment": "./experiments/", "name_experiment": "esr_9", "dimensional_finetune": True,
        "categorical_train": False, "base_path_to_dataset": "./data/AffectNet", "max_tuning_epoch": 1,
        "diversify": False,
    }  # fmt: skip
    assert {name: shown[name].default for name in documented} == documented


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0.1}, "'learning_rate' is no argument of FacialEmotionLearner"),
        ({"ensamble_size": 3}, "did you mean 'ensemble_size'"),
        ({"diversify": True, "diversity": False}, "two names of one setting"),
        ({"device": "tpu"}, "unknown device 'tpu': use one of cpu, cuda"),
        ({"ensemble_size": 0}, "ensemble_size must be at least 1"),
        ({"lr": -1.0}, "lr must be positive"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"name_experiment": "a/b"}, "must be a folder's name"),
        ({"device_ind": []}, "device_ind"),
    ],
)
def test_wrong_arguments_say_what_to_do(arguments, message):
    with pytest.raises(EmotionError, match=message):
        FacialEmotionLearner(**{"device": "cpu", **arguments})


def test_cuda_that_is_not_there_says_what_to_do(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EmotionError, match="pass device='cpu'"):
        FacialEmotionLearner()


@pytest.mark.parametrize("name", ["diversify", "diversity"])
def test_both_names_make_a_diversified_esr(tmp_path, name):
    learner = small(tmp_path, **{name: True})
    assert learner.model.config.attention and learner.config.diversify
    assert hasattr(learner.model.base, "cbam1")
    assert not small(tmp_path, **{name: False}).model.config.attention


def taught(tmp_path):
    """A small learner with heads for valence and arousal that count as taught: loaded like the authors' files."""
    folder = small(tmp_path).save(path=tmp_path / "authors")
    for path in (*folder.glob("*.safetensors"), *folder.glob("*.json")):
        path.unlink()
    learner = small(tmp_path)
    learner.load(2, folder)
    return learner


def test_confidence_is_the_mean_probability_of_the_voted_class(tmp_path):
    learner = taught(tmp_path)
    pixels = faces(6).faces
    categories, affect = learner.infer(list(map(Image, pixels)))
    with torch.no_grad():
        output = learner.model(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
    probabilities = output.logits.softmax(-1).mean(1).numpy()
    for category, row in zip(categories, probabilities, strict=True):
        assert category.confidence == pytest.approx(row[category.data], abs=1e-6)
    np.testing.assert_allclose(affect, output.affect.mean(1).clamp(-1, 1), atol=1e-6)


def test_every_form_of_one_face_gives_one_answer(tmp_path):
    learner = taught(tmp_path)
    pixels = faces(1).faces[0]
    expected, affect = learner.infer(pixels)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)
    for form in (Image(pixels), planes, planes.float() / 255, pixels / 255.0, np.dstack([pixels, pixels[:, :, 0]])):
        category, values = learner.infer(form)
        assert category.data == expected.data
        assert category.confidence == pytest.approx(expected.confidence, abs=1e-5)
        np.testing.assert_allclose(values, affect, atol=1e-5)
    grey, _ = learner.infer(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))
    assert isinstance(grey, Category)
    larger, _ = learner.infer(cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_NEAREST))
    assert larger.confidence == pytest.approx(expected.confidence, abs=1e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    learner = small(folder, categorical_train=True, dimensional_finetune=False, max_training_epoch=2, batch_size=8)
    learner.fit(faces(), faces(24, 1))
    return learner, learner.save(base_path_to_save_model=folder / "saved")


def test_saved_and_loaded_is_the_same_network(trained, tmp_path):
    learner, folder = trained
    names = {path.name for path in folder.iterdir()}
    assert names == {BASE_FILE, BRANCH_FILE.format(1), BRANCH_FILE.format(2), "esr_9.safetensors", "esr_9.json"}
    pixels = faces(5).faces
    loaded = FacialEmotionLearner(device="cpu", temp_path=str(tmp_path))  # knows nothing of the architecture
    loaded.load(2, folder)
    assert loaded.model.config == learner.model.config
    assert loaded.infer(pixels)[0] == learner.infer(pixels)[0]
    network, card = load_network(folder / "esr_9.safetensors")
    assert card.training["method"] == "branch by branch" and network.config == learner.model.config


def test_the_card_tells_of_valence_and_arousal_only_when_they_were_learned(affectnet, trained, tmp_path):
    _, card = load_network(trained[1] / "esr_9.safetensors")
    assert card.affect == ""
    learner = small(tmp_path, categorical_train=False, batch_size=8)
    learner.load(2, trained[1])
    data = AffectNetDimensional(idx_set=2, base_path_to_affectnet=affectnet)
    assert np.isnan(learner.infer(faces(2).faces)[1]).all()  # what random heads say is not passed off as an answer
    learner.optimize()
    assert np.isnan(learner.infer(faces(2).faces)[1]).all()
    learner.fit(affect_dataset=data, affect_val_dataset=data)
    _, card = load_network(learner.save(path=tmp_path / "tuned") / "esr_9.safetensors")
    assert card.affect == "annotated, tuned on AffectNetDimensional"
    assert np.isfinite(learner.infer(faces(2).faces)[1]).all()


def test_the_authors_folder_without_metadata_loads(trained, tmp_path):
    learner, folder = trained
    for path in folder.glob("*.pt"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    loaded = small(tmp_path)
    loaded.load(2, tmp_path)
    pixels = faces(5).faces
    assert loaded.infer(pixels)[0] == learner.infer(pixels)[0]
    one = small(tmp_path)
    one.load(1, tmp_path)
    assert one.ensemble_size == 1
    with pytest.raises(EmotionError, match=r"Net-Branch_3.pt is missing: an ESR with 3 branches needs it"):
        small(tmp_path).load(3, tmp_path)
    (tmp_path / BRANCH_FILE.format(2)).write_bytes(b"PK broken")
    with pytest.raises(EmotionError, match=r"Net-Branch_2.pt is damaged or belongs to another network"):
        small(tmp_path).load(2, tmp_path)
    with pytest.raises(EmotionError, match="damaged or belongs to another network"):
        small(tmp_path, diversify=True).load(1, tmp_path)


def test_the_authors_files_mean_the_classes_of_affectnet_in_their_order(trained, tmp_path):
    learner, folder = trained
    for path in folder.glob("*.pt"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    loaded = small(tmp_path, labels=sorted(AFFECTNET))
    loaded.load(2, tmp_path)
    assert loaded.labels == AFFECTNET
    pixels = faces(5).faces
    assert [face.description for face in loaded.infer(pixels)[0]] == [
        face.description for face in learner.infer(pixels)[0]
    ]
    others = (*AFFECTNET[:7], "bored")
    with pytest.raises(
        EmotionError, match=r"the authors' files in .* must have the same labels as the learner .*bored"
    ):
        small(tmp_path, labels=others).load(2, tmp_path)


def test_loading_what_is_not_there(trained, tmp_path):
    with pytest.raises(EmotionError, match="there is no folder"):
        small(tmp_path).load(2, tmp_path / "nowhere")
    with pytest.raises(EmotionError, match="load it with ensemble_size=2"):
        small(tmp_path).load(9, trained[1])


def test_saving_says_what_is_missing(trained, tmp_path):
    learner, _ = trained
    with pytest.raises(EmotionError, match="say where to save"):
        learner.save()
    with pytest.raises(EmotionError, match="state_dicts must list"):
        learner.save(learner.model.to_state_dict()[:1], tmp_path / "a")
    with pytest.raises(EmotionError, match="do not fit the network"):
        learner.save([{}, {}], tmp_path / "a")
    folder = learner.save(path=tmp_path / "first", model_name="one", current_branch_save=0)
    assert not (folder / BRANCH_FILE.format(2)).exists()
    assert load_network(folder / "one.safetensors")[0].config.branches == 1


def test_eval_measures_branches_and_ensemble(trained, tmp_path):
    learner, _ = trained
    data = faces(24, 1)
    picture = tmp_path / "confusion.png"
    result = learner.eval(dataset=data, current_branch_on_training=1, confusion_picture=picture)
    assert result["n"] == 24 and len(result["branch_accuracy"]) == 2
    assert result["current_branch_accuracy"] == result["branch_accuracy"][1]
    hits = [category.data == truth for category, truth in zip(learner.infer(data.faces)[0], data.classes, strict=True)]
    assert result["accuracy"] == pytest.approx(100 * np.mean(hits), abs=0.01)
    assert cv2.imread(str(picture)).shape[0] > 400
    json.dumps(result)
    with pytest.raises(EmotionError, match="unknown eval_type 'both'"):
        learner.eval("both", dataset=data)
    with pytest.raises(EmotionError, match=r"in 0\.\.1, got 2"):
        learner.eval(current_branch_on_training=2, dataset=data)
    with pytest.raises(EmotionError, match="classes in place of valence"):
        learner.eval("dimensional", dataset=data)


def test_eval_and_tuning_of_valence_and_arousal(affectnet, trained, tmp_path):
    data = AffectNetDimensional(idx_set=2, base_path_to_affectnet=affectnet)
    learner = small(tmp_path, categorical_train=False, max_tuning_epoch=25, batch_size=8, tuning_lr=0.05)
    with pytest.raises(EmotionError, match="load a network, or set categorical_train=True"):
        learner.fit(affect_dataset=data, affect_val_dataset=data)
    learner.load(2, trained[1])
    before = learner.eval("dimensional", dataset=data)
    learner.fit(affect_dataset=data, affect_val_dataset=data)
    after = learner.eval("dimensional", dataset=data)
    assert after["valence"]["rmse"] + after["arousal"]["rmse"] < before["valence"]["rmse"] + before["arousal"]["rmse"]
    assert set(after["arousal"]) == {"rmse", "ccc", "pearson"} and len(after["branch_rmse"]) == 2


def test_the_default_data_is_affectnet_and_its_absence_is_named(tmp_path):
    learner = small(tmp_path, categorical_train=True, base_path_to_dataset=str(tmp_path / "nothing"))
    with pytest.raises(EmotionError, match="holds no prepared AffectNet face"):
        learner.fit()


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_optimized_inference(trained, tmp_path, precision):
    learner = small(tmp_path)
    learner.load(2, trained[1])
    data = faces(24, 1)
    expected, _ = learner.infer(data.faces)
    result = learner.optimize(precision=precision, calibration=faces(), measure_on=data)
    assert result["precision"] == precision and result["size_mb"] > 0
    assert result["loss"] == pytest.approx(result["accuracy_torch"] - result["accuracy"], abs=0.01)
    got, _ = learner.infer(data.faces)
    for a, b in zip(got, expected, strict=True):
        assert a.confidence == pytest.approx(b.confidence, abs=1e-5 if precision == "float32" else 0.05)
    folder = learner.save(path=tmp_path / "out", model_name="mine")
    classifier = Classifier(folder / "mine.onnx")
    assert classifier.card.precision == precision and classifier.card.name == "esr_9"
    learner.load(2, trained[1])
    assert learner.classifier is None


def test_wrong_optimisations_are_refused(trained):
    with pytest.raises(EmotionError, match="unknown precision 'int4'"):
        trained[0].optimize(precision="int4")
    with pytest.raises(EmotionError, match="int8 needs training faces of all classes"):
        trained[0].optimize(precision="int8")


def test_download_gets_a_folder_that_loads(tmp_path, monkeypatch):
    """From a folder in the place of the publisher; the network of the drawn weights is small, the hashes are ours."""
    import hashlib

    from emotion_core.store import artifacts

    learner = small(tmp_path)
    source = learner.save(path=tmp_path / "published", model_name="x")
    names = [BASE_FILE, BRANCH_FILE.format(1), BRANCH_FILE.format(2)]
    published = tuple(
        artifacts.Artifact(
            name, ("http://127.0.0.1:9/",), None, hashlib.sha256((source / name).read_bytes()).hexdigest(), "none", "",
            "esr_9",
        )
        for name in names
    )  # fmt: skip
    monkeypatch.setattr(artifacts, "ARTIFACTS", {"esr9": published})
    folder = FacialEmotionLearner.download(tmp_path / "got", "pretrained", source.as_uri())
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    loaded = small(tmp_path)
    loaded.init_model(2)
    loaded.load(2, folder)
    assert loaded.infer(faces(3).faces)[0] == learner.infer(faces(3).faces)[0]
    with pytest.raises(EmotionError, match="unknown mode 'weights': use one of data, image, video, pretrained"):
        FacialEmotionLearner.download(tmp_path, "weights")


def test_reset_forgets(trained, tmp_path):
    learner = small(tmp_path)
    fresh = learner.infer(faces(4).faces)[0]
    learner.load(2, trained[1])
    assert learner.infer(faces(4).faces)[0] != fresh
    learner.reset()
    assert learner.infer(faces(4).faces)[0] == fresh
    learner.init_model(5)
    assert learner.ensemble_size == 5


def test_settings_reach_the_training():
    config = FacialLearnerConfig(
        max_training_epoch=20, max_first_branch_epoch=50, freeze_older_branches=True, images_per_class=7, lr=0.02
    ).training(SMALL)
    assert (config.first_epochs, config.later_epochs, config.older_lr, config.per_class) == (50, 20, 0.0, 7)
    assert (config.lr, config.model) == (0.02, SMALL)


def test_cross_validation_on_ckplus_keeps_people_apart(tmp_path):
    from emotion_core.data.ckplus import CkPlus
    from emotion_core.training.crossvalidation import AUTHORS, cross_validate

    everyone = [faces(8, seed) for seed in range(6)]
    data = CkPlus(
        np.concatenate([person.faces for person in everyone]),
        np.concatenate([person.distributions for person in everyone]),
        np.concatenate([person.classes for person in everyone]),
        tuple(map(str, range(48))),
        subjects=tuple(f"S{i // 8:03d}" for i in range(48)),
    )
    config = replace(AUTHORS, model=replace(SMALL, branches=1), first_epochs=12, later_epochs=12, batch_size=8, lr=0.05)
    results = cross_validate(data, tmp_path, 3, config)
    assert [result.n for result in results] == [16, 16, 16]
    assert np.mean([result.accuracy for result in results]) > 30  # of eight classes
    assert sorted(path.name for path in tmp_path.glob("fold_*")) == ["fold_1", "fold_2", "fold_3"]
    assert cross_validate(data, tmp_path, 3, config) == results
    with pytest.raises(EmotionError, match="make 3 at least"):
        cross_validate(data, tmp_path, 2)
