"""What a FacialEmotionLearner trains from, goes on with, and refuses."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("tensorboard")
pytest.importorskip("safetensors")

from emotion_core.data.dataset import FaceDataset, FaceSet  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.weights import load_network  # noqa: E402
from emotion_core.labels import AFFECTNET  # noqa: E402
from emotion_core.learners.facial import TUNING, FacialEmotionLearner  # noqa: E402
from emotion_core.learners.facial_config import FacialLearnerConfig  # noqa: E402
from emotion_core.models.esr import ConvSpec, EsrConfig  # noqa: E402
from emotion_core.training.events import AlreadyFinished, Resumed, StepDone  # noqa: E402

SMALL = EsrConfig(
    branches=2, input_size=16, base=(ConvSpec(8, padding=1, pool=True),), branch=(ConvSpec(16, padding=1),)
)


def small(tmp_path, **arguments) -> FacialEmotionLearner:
    settings = {"device": "cpu", "temp_path": str(tmp_path / "tmp"), "ensemble_size": 2, "architecture": SMALL,
                "base_path_experiment": str(tmp_path / "experiments"), "max_training_epoch": 1, "batch_size": 8,
                "dimensional_finetune": False, "categorical_train": True}  # fmt: skip
    return FacialEmotionLearner(**{**settings, **arguments})


def faces(count: int = 40, seed: int = 0, labels: tuple[str, ...] = AFFECTNET) -> FaceSet:
    rng = np.random.default_rng(seed)
    kinds = np.arange(count) % 8
    pixels = (rng.integers(0, 60, (count, 16, 16, 3)) + 24 * kinds[:, None, None, None]).astype(np.uint8)
    classes = np.array([labels.index(AFFECTNET[kind]) for kind in kinds])
    return FaceSet(pixels, np.eye(8, dtype=np.float32)[classes], classes, tuple(map(str, range(count))), labels)


class Affect(FaceDataset):
    """The same faces with a place in the plane."""

    labels = AFFECTNET

    def __init__(self, data: FaceSet) -> None:
        self.data = data

    @property
    def targets(self):
        angle = self.data.classes * np.pi / 4
        return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32) * 0.8

    def face(self, index):
        return self.data.face(index)


def same(a, b) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    learner = small(folder, max_training_epoch=2)
    learner.fit(faces(), faces(24, 1))
    return learner, learner.save(path=folder / "network")


def test_loaded_weights_are_the_start_of_a_training(saved, tmp_path):
    """With a rate that changes next to nothing, the network stays what was loaded, branch by branch."""
    learner, folder = saved
    tuned = small(tmp_path, lr=1e-12, ensemble_size=3)
    tuned.load(None, folder)
    tuned.fit(faces(), faces(24, 1))
    assert tuned.ensemble_size == 3
    fresh = small(tmp_path / "fresh", lr=1e-12, ensemble_size=3)
    fresh.fit(faces(), faces(24, 1))
    for name, parameter in learner.model.named_parameters():
        assert torch.allclose(dict(tuned.model.named_parameters())[name], parameter, atol=1e-6), name
    moved = [not torch.allclose(dict(fresh.model.named_parameters())[name], parameter, atol=1e-6)
             for name, parameter in learner.model.named_parameters() if name.endswith("conv1.weight")]  # fmt: skip
    assert len(moved) == 3 and all(moved)
    third = "convolutional_branches.2.conv1.weight"  # nothing was loaded for it
    assert torch.equal(dict(tuned.model.named_parameters())[third], dict(fresh.model.named_parameters())[third])
    _, card = load_network(tuned.save(path=tmp_path / "out") / "esr_9.safetensors")
    assert card.training["init"]["method"] == "branch by branch" and card.affect == ""


def test_another_start_is_another_training(saved, tmp_path):
    _, folder = saved
    first = small(tmp_path)
    first.load(2, folder)
    first.fit(faces(), faces(24, 1))
    with pytest.raises(EmotionError, match="another training: other starting weights"):
        small(tmp_path).fit(faces(), faces(24, 1))


def test_the_same_call_again_trains_nothing_and_says_so(tmp_path, caplog):
    learner = small(tmp_path)
    history = learner.fit(faces(), faces(24, 1))["history"]
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    events = []
    with caplog.at_level(logging.WARNING):
        again = learner.fit(faces(), faces(24, 1), on_event=events.append)["history"]
    assert isinstance(events[0], AlreadyFinished) and len(events) == 1
    assert "nothing was trained" in caplog.text
    np.testing.assert_equal(again, history)
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.model.state_dict().items())


def test_other_faces_are_refused_and_nothing_is_lost(tmp_path):
    learner = small(tmp_path)
    learner.fit(faces(), faces(24, 1))
    for data, message in ((faces(40, 5), "the training faces are others"),
                          (faces(48), r"the training faces are others \(40 -> 48\)")):  # fmt: skip
        with pytest.raises(EmotionError, match=message):
            small(tmp_path).fit(data, faces(24, 1))


def test_an_empty_dataset_is_not_nothing(tmp_path):
    whole = faces(8)
    empty = replace(whole, faces=whole.faces[:0], distributions=whole.distributions[:0], classes=whole.classes[:0])
    learner = small(tmp_path, base_path_to_dataset=str(tmp_path / "no AffectNet"))
    for data in ((empty, whole), (whole, empty)):
        with pytest.raises(EmotionError, match="the dataset is empty"):
            learner.fit(*data)
    with pytest.raises(EmotionError, match="the dataset is empty"):
        learner.eval(dataset=empty)
    with pytest.raises(EmotionError, match="the dataset is empty"):
        learner.optimize(precision="int8", calibration=empty)
    with pytest.raises(EmotionError, match="the dataset is empty"):
        learner.optimize(measure_on=empty)


def test_labels_are_matched_by_name(saved, tmp_path):
    learner, _ = saved
    mixed = tuple(reversed(AFFECTNET))
    turned = small(tmp_path, max_training_epoch=2)
    turned.fit(faces(labels=mixed), faces(24, 1, mixed))
    assert turned.labels == AFFECTNET and same(turned.model, learner.model)
    words = ("neutral", "happiness", "sadness", "surprised", "fearful", "disgusted", "angry", "contempt")
    renamed = small(tmp_path / "renamed", max_training_epoch=2)
    renamed.fit(replace(faces(), labels=words), replace(faces(24, 1), labels=words))
    assert same(renamed.model, learner.model)
    with pytest.raises(EmotionError, match=r"must have the same labels as the network \(argument labels\)"):
        small(tmp_path / "other").fit(replace(faces(), labels=tuple("abcdefgh")), faces(24, 1))


@pytest.mark.parametrize("interrupted", [False, True])
def test_train_then_tune_in_two_calls_under_one_name(tmp_path, interrupted):
    """As the document does it: a learner trains the branches, one of the same name loads them and tunes."""
    affect = Affect(faces()), Affect(faces(24, 1))

    def stop(event) -> None:
        if isinstance(event, StepDone) and event.share > 0.6:
            raise KeyboardInterrupt

    def train():
        return small(tmp_path, max_training_epoch=2)

    def tune():
        learner = small(tmp_path, categorical_train=False, dimensional_finetune=True, max_tuning_epoch=3)
        learner.load(2, tmp_path / "network")
        return learner

    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            train().fit(faces(), faces(24, 1), on_event=stop)
    trained = train()
    events = []
    result = trained.fit(faces(), faces(24, 1), on_event=events.append)
    assert isinstance(events[0], Resumed) == interrupted
    trained.save(path=tmp_path / "network")
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            tune().fit(affect_dataset=affect[0], affect_val_dataset=affect[1], on_event=stop)
    tuned, events = tune(), []
    second = tuned.fit(affect_dataset=affect[0], affect_val_dataset=affect[1], on_event=events.append)
    assert isinstance(events[0], Resumed) == interrupted
    assert second["folder"] == f"{result['folder']}/{TUNING}"
    assert [row["stage"] for row in second["history"]] == ["dimensional"] * 3
    again = tuned.fit(affect_dataset=affect[0], affect_val_dataset=affect[1])
    np.testing.assert_equal(again["history"], second["history"])
    # The first training is still whole, and only the heads were tuned.
    assert (
        train().fit(faces(), faces(24, 1))["history"][-1]["valid_accuracy"] == result["history"][-1]["valid_accuracy"]
    )
    changed = {name for name, tensor in tuned.model.state_dict().items()
               if not torch.equal(tensor, trained.model.state_dict()[name])}  # fmt: skip
    assert changed == {f"convolutional_branches.{i}.fc_dimensional.{p}" for i in range(2) for p in ("weight", "bias")}


def test_a_part_of_an_optimized_network_is_saved_and_loads(saved, tmp_path, caplog):
    learner = small(tmp_path)
    learner.load(2, saved[1])
    learner.optimize()
    with caplog.at_level(logging.WARNING):
        part = learner.save(path=tmp_path / "part", current_branch_save=0)
    assert "another network than the one that optimize() exported" in caplog.text
    assert not (part / "esr_9.onnx").exists()
    loaded = small(tmp_path)
    loaded.load(1, part)
    assert loaded.ensemble_size == 1
    assert same(loaded.model.branches()[0], learner.model.branches()[0])
    whole = learner.save(path=tmp_path / "whole")
    assert (whole / "esr_9.onnx").is_file()
    loaded.load(2, whole)
    assert same(loaded.model, learner.model)
    given = [{key: tensor + 1 for key, tensor in state.items()} for state in learner.model.to_state_dict()]
    assert not (learner.save(given, tmp_path / "given") / "esr_9.onnx").exists()


def test_presets_are_what_the_authors_do():
    config = FacialLearnerConfig.from_arguments({"device": "cpu"}, "it", "ferplus").training(EsrConfig())
    assert (config.lr, round(config.lr * config.older_lr, 9)) == (0.1, 0.02)
    assert (config.step_epochs, config.step_factor) == (10, 0.75)
    assert [stage.epochs for stage in config.stages()] == [100] + [60] * 8
    assert {stage.kind for stage in config.stages()} == {"categorical"}
    config = FacialLearnerConfig.from_arguments({"device": "cpu"}, "it", "affectnet").training(EsrConfig())
    assert (config.lr, config.lr * config.older_lr, config.step_factor) == (0.1, 0.1 * 0.1, 0.5)
    assert [stage.epochs for stage in config.stages()] == [50] + [20] * 9
    assert config.stages()[-1].kind == "dimensional"
    with pytest.raises(EmotionError, match="unknown preset 'ferpluss': use one of affectnet, ferplus"):
        FacialEmotionLearner(device="cpu", preset="ferpluss")


def test_the_ferplus_preset_fine_tunes_what_was_loaded(saved, tmp_path):
    """The authors' rates in the history: ten epochs at 0.1, then three quarters of that, anew for each branch."""
    learner = FacialEmotionLearner(
        preset="ferplus", device="cpu", ensemble_size=2, architecture=SMALL, batch_size=40, max_first_branch_epoch=12,
        max_training_epoch=11, base_path_experiment=str(tmp_path),
    )  # fmt: skip
    learner.load(2, saved[1])
    history = learner.fit(faces(), faces(24, 1))["history"]
    rates = [row["lr"] for row in history]
    assert rates == pytest.approx([0.1] * 10 + [0.075] * 2 + [0.1] * 10 + [0.075])
    assert [row["branches"] for row in history] == [1] * 12 + [2] * 11


def test_mixed_precision_and_averages_by_the_learner_s_arguments(tmp_path):
    config = FacialLearnerConfig(device="cpu", bfloat16=True, ema_decay=0.99, clip_norm=2.0, patience=3)
    training = config.training(SMALL)
    assert (training.amp, training.ema_decay, training.clip_norm, training.patience) == ("bfloat16", 0.99, 2.0, 3)
    with pytest.raises(EmotionError, match="contradict each other"):
        FacialLearnerConfig(bfloat16=True, amp="float16")
