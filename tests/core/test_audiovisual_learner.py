"""Training the audiovisual network, its modes, and the learner as OpenDR documents it. Clips are drawn and small."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("tensorboard")
pytest.importorskip("safetensors")

from emotion_core.data.clips import ClipSet, as_clips, fit_clip, fit_sound, relabelled_clips  # noqa: E402
from emotion_core.data.voices import RAVDESS  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.evaluation.modes import MODES, disturbed, evaluate_mode, evaluate_modes, run_clips  # noqa: E402
from emotion_core.export.torch_network import TorchNetwork  # noqa: E402
from emotion_core.export.weights import load_network, save_network  # noqa: E402
from emotion_core.learners.audiovisual import AudiovisualEmotionLearner  # noqa: E402
from emotion_core.learners.engine import Category, Timeseries, Video  # noqa: E402
from emotion_core.models.audiovisual import Audiovisual, AudiovisualConfig  # noqa: E402
from emotion_core.models.registry import build, describe, entry_of, inputs_of  # noqa: E402
from emotion_core.runtime.classifier import Classifier  # noqa: E402
from emotion_core.training.audiovisual import AudiovisualTask  # noqa: E402
from emotion_core.training.audiovisual_config import AudiovisualTrainingConfig  # noqa: E402
from emotion_core.training.distributed import Processes  # noqa: E402
from emotion_core.training.events import EpochDone, Resumed  # noqa: E402
from emotion_core.training.loop import Loop  # noqa: E402
from emotion_core.training.modality_dropout import drop  # noqa: E402

SMALL = AudiovisualConfig(num_classes=3, frames=2, image_size=32, window_s=0.5)
LABELS = ("calm", "happy", "sad")
STEPS = SMALL.steps


def clips(count: int = 12, seed: int = 0, labels: tuple[str, ...] = LABELS) -> ClipSet:
    """Classes that can be seen in the brightness and heard in the level."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(count) % 3
    faces = (rng.integers(0, 60, (count, 3, 2, 32, 32)) + 90 * kinds[:, None, None, None, None]).astype(np.uint8)
    sounds = rng.standard_normal((count, 10, STEPS)).astype(np.float32) + 3 * kinds[:, None, None]
    classes = np.array([labels.index(LABELS[kind]) for kind in kinds])
    return ClipSet(sounds.astype(np.float32), faces, classes, labels)


def small(tmp_path, **arguments) -> AudiovisualEmotionLearner:
    settings = {"num_class": 3, "seq_length": 2, "n_workers": 0, "iters": 2, "batch_size": 6, "architecture": SMALL}
    return AudiovisualEmotionLearner(**{**settings, "temp_path": str(tmp_path / "tmp"), **arguments})


def same(a, b) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# Modality dropout.


def batch():
    count = 5
    clip = torch.arange(1.0, count + 1).view(-1, 1, 1, 1, 1).expand(-1, 3, 2, 4, 4).clone()
    return clip, -clip[:, :1, :, 0, 0].repeat(1, 5, 2), torch.arange(count)


def test_nodrop_changes_nothing():
    clip, sound, targets = batch()
    for a, b in zip(drop(clip, sound, targets, "nodrop", torch.Generator()), (clip, sound, targets), strict=True):
        assert torch.equal(a, b)


def test_zerodrop_adds_weak_and_missing_senses():
    """Each sample comes four times: whole, weighed c and 1 - c, without sound, without clip."""
    clip, sound, targets = batch()
    mixed = drop(clip, sound, targets, "zerodrop", torch.Generator().manual_seed(0))
    assert mixed[0].shape == (20, 3, 2, 4, 4) and mixed[1].shape == (20, 5, 4)
    weights = set()
    for target in range(5):
        chosen = mixed[2] == target
        seen = mixed[0][chosen].flatten(1) / clip[target].flatten()  # each sample is scaled as a whole
        heard = mixed[1][chosen].flatten(1) / sound[target].flatten()
        assert (seen.max(1).values - seen.min(1).values).max() < 1e-6
        pairs = sorted(
            (round(a, 4), round(b, 4)) for a, b in zip(seen[:, 0].tolist(), heard[:, 0].tolist(), strict=True)
        )
        for pair in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0)):
            pairs.remove(pair)
        ((v, a),) = pairs
        assert v + a == pytest.approx(1) and 0 <= a < 1 and round(100 * a) == pytest.approx(100 * a, abs=0.02)
        weights.add(a)
    assert len(weights) > 1  # one c a sample
    assert not torch.equal(mixed[2], targets.repeat(4))  # shuffled
    again = drop(clip, sound, targets, "zerodrop", torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(mixed, again, strict=True))


def test_noisedrop_adds_noise_for_one_sense():
    clip, sound, targets = batch()
    clip, sound = clip.repeat(20, 1, 1, 1, 1), sound.repeat(20, 1, 1)
    seen, heard, classes = drop(clip, sound, targets.repeat(20), "noisedrop", torch.Generator().manual_seed(0))
    assert len(seen) == len(heard) == len(classes) == 300
    whole_clip = (seen.flatten(1) == (classes + 1.0)[:, None]).all(1)
    whole_sound = (heard.flatten(1) == -(classes + 1.0)[:, None]).all(1)
    assert int(whole_clip.sum()) == int(whole_sound.sum()) == 200 and int((whole_clip & whole_sound).sum()) == 100
    for noise in (seen[~whole_clip], heard[~whole_sound]):
        assert abs(float(noise.mean())) < 0.1 and abs(float(noise.std()) - 1) < 0.1


# Modes.


class Spy:
    """A network that remembers what it was given and always says the same."""

    def __init__(self) -> None:
        self.given: list = []

    def __call__(self, clip, sound):
        from emotion_core.runtime.ensemble import EnsembleOutput

        self.given.append((clip, sound))
        return EnsembleOutput.from_arrays(np.tile(np.log([[0.5, 0.3, 0.2]]), (len(clip), 1)), None)


INPUTS = inputs_of(Audiovisual(SMALL))


def test_modes_take_a_sense_away_or_disturb_it():
    data = clips(40)
    found = {}
    for mode in MODES:
        spy = Spy()
        run_clips(spy, data, INPUTS, mode, batch_size=16)
        assert [len(clip) for clip, _ in spy.given] == [16, 16, 8]
        found[mode] = tuple(np.concatenate(parts) for parts in zip(*spy.given, strict=True))
    clip, sound = found["audiovisual"]
    np.testing.assert_allclose(clip, data.clips / np.float32(255), atol=1e-7)
    np.testing.assert_array_equal(sound, data.sounds)
    assert not found["onlyaudio"][0].any() and np.array_equal(found["onlyaudio"][1], sound)
    assert not found["onlyvideo"][1].any() and np.array_equal(found["onlyvideo"][0], clip)
    assert np.array_equal(found["noisyaudio"][0], clip) and np.array_equal(found["noisyvideo"][1], sound)
    for noise in (found["noisyaudio"][1], found["noisyvideo"][0]):
        assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05
    one_by_one = Spy()
    run_clips(one_by_one, data, INPUTS, "noisyaudio", batch_size=1)
    np.testing.assert_array_equal(np.concatenate([s for _, s in one_by_one.given]), found["noisyaudio"][1])


def test_a_mode_is_measured():
    result = evaluate_mode(Spy(), clips(12), INPUTS, LABELS, "onlyvideo")
    assert result.categories.ensemble.accuracy == pytest.approx(100 / 3)
    assert result.cross_entropy == pytest.approx(-np.log([0.5, 0.3, 0.2]).mean())
    assert result.to_dict()["mode"] == "onlyvideo" and json.dumps(result.to_dict())
    other = evaluate_mode(Spy(), clips(12, labels=("sad", "calm", "happy")), INPUTS, LABELS)  # by name, not by place
    assert other.cross_entropy == pytest.approx(result.cross_entropy)
    assert list(evaluate_modes(Spy(), clips(3), INPUTS, LABELS)) == list(MODES)
    with pytest.raises(EmotionError, match="unknown mode 'video': use one of audiovisual, onlyaudio"):
        evaluate_mode(Spy(), clips(3), INPUTS, LABELS, "video")
    with pytest.raises(EmotionError, match="unknown mode ''"):
        disturbed(np.zeros(1), np.zeros(1), "", np.random.default_rng())
    with pytest.raises(EmotionError, match="there is nothing to evaluate"):
        run_clips(Spy(), clips(0), INPUTS)
    with pytest.raises(EmotionError, match="takes a clip and a sound, in this order, this one takes sound, face_clip"):
        run_clips(Spy(), clips(3), INPUTS[::-1])


# Datasets from elsewhere.


class Foreign:
    """As OpenDR's datasets: items with ``data``, no labels."""

    def __init__(self, data: ClipSet) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index):
        sound, clip, target = self.data[index]
        return Timeseries(sound), Video(clip), Timeseries(np.int64(target))


def test_datasets_from_elsewhere_are_read():
    own = clips(6)
    found = as_clips(Foreign(own), LABELS)
    assert found.labels == LABELS and found.targets.tolist() == own.targets.tolist()
    for got, expected in zip(found, own, strict=True):
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])
        assert got[2] == expected[2]
    tensors = as_clips([(torch.zeros(10, STEPS), torch.zeros(3, 2, 32, 32), torch.tensor(1))], LABELS)
    assert tensors.targets.tolist() == [1] and isinstance(tensors[0][1], np.ndarray)
    with pytest.raises(EmotionError, match=r"expected items \(sound, clip, class\), item 0 is int"):
        as_clips([3], LABELS)
    with pytest.raises(EmotionError, match=r"expected classes 0 to 2 \(calm, happy, sad\), got 0 to 3"):
        as_clips([(0, 0, 0), (0, 0, 3)], LABELS)
    with pytest.raises(EmotionError, match="whole numbers"):
        as_clips([(0, 0, 0.5)], LABELS)
    with pytest.raises(EmotionError, match="expected a dataset with a length and items, got int"):
        as_clips(3, LABELS)


def test_classes_in_another_order_are_put_into_one():
    turned = relabelled_clips(clips(6, labels=("sad", "calm", "happy")), LABELS, "a", "b")
    assert turned.labels == LABELS and turned.targets.tolist() == [0, 1, 2, 0, 1, 2] == [item[2] for item in turned]
    own = clips(6)
    assert relabelled_clips(own, LABELS, "a", "b") is own
    with pytest.raises(EmotionError, match="a must have the same labels as b"):
        relabelled_clips(own, ("calm", "happy", "fear"), "a", "b")


def test_what_does_not_fit_the_network_is_refused():
    seen, heard = INPUTS
    with pytest.raises(EmotionError, match=r"expected sound of shape \(10, 22\), got \(10, 113\)"):
        fit_sound(np.zeros((10, 113)), heard)
    with pytest.raises(EmotionError, match="finite numbers in sound"):
        fit_sound(np.full((10, STEPS), np.nan), heard)
    with pytest.raises(EmotionError, match=r"clip of shape \(3, 2, 32, 32\), got \(2, 3, 32, 32\)"):
        fit_clip(np.zeros((2, 3, 32, 32)), seen)
    with pytest.raises(EmotionError, match=r"got float64 from 0 to 255: divide by 255, or give uint8"):
        fit_clip(np.linspace(0, 255, 3 * 2 * 32 * 32).reshape(3, 2, 32, 32), seen)


# The task.


def task(**changes) -> AudiovisualTask:
    config = AudiovisualTrainingConfig(**{"model": SMALL, "epochs": 3, "batch_size": 6, "lr": 0.02, **changes})
    return AudiovisualTask(config, clips(18), clips(9, 1))


def test_settings_reach_the_optimizer():
    chosen = task(lr_steps=(1, 2), dampening=0.4, weight_decay=0.01)
    optimizer = chosen.optimizer(0)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["dampening"], group["weight_decay"]) == (0.02, 0.9, 0.4, 0.01)
    assert not group["nesterov"] and len(group["params"]) == len(chosen.model.learned())
    scheduler = chosen.schedule(0, optimizer, None).scheduler
    rates = []
    for _ in range(3):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.02, 0.002, 0.0002])


def test_an_epoch_shows_every_clip_with_all_its_frames_changed_alike():
    chosen = task(dropout="nodrop", batch_size=4)
    batches = list(chosen.batches(0, 0, Processes()))
    assert [len(b.targets) for b in batches] == [4, 4, 4, 4, 2]
    assert sorted(torch.cat([b.targets for b in batches]).tolist()) == sorted(chosen.data.targets.tolist())
    still = replace(clips(4), clips=np.repeat(clips(4).clips[:, :, :1], 2, axis=2))
    moved = AudiovisualTask(chosen.config, still, None)
    ((seen, heard),) = (b.inputs for b in moved.batches(0, 0, Processes()))
    torch.testing.assert_close(seen[:, :, 0], seen[:, :, 1])
    assert float(seen.min()) >= 0 and float(seen.max()) <= 1
    originals = {i: torch.from_numpy(fit_clip(still.clips[i], INPUTS[0])) for i in range(4)}
    order = [next(i for i in range(4) if np.array_equal(still.sounds[i], s)) for s in heard.numpy()]
    assert all((seen[k] - originals[i]).abs().max() > 0.01 for k, i in enumerate(order))  # turned
    quadrupled = list(task(batch_size=18).batches(0, 0, Processes()))
    assert [len(b.targets) for b in quadrupled] == [72]


def test_a_training_that_was_interrupted_ends_the_same(tmp_path):
    def stop(event):
        if isinstance(event, EpochDone) and event.row["epoch"] == 2:
            raise KeyboardInterrupt

    whole = Loop(task(), tmp_path / "whole")
    history = whole.run()
    with pytest.raises(KeyboardInterrupt):
        Loop(task(), tmp_path / "parts").run(stop)
    again = task()
    resumed = Loop(again, tmp_path / "parts")
    assert len(resumed.history) == 2
    resumed.run()
    assert same(resumed.model, whole.model)
    assert all(torch.equal(again.last[name], whole.task.last[name]) for name in again.last)
    assert [row["train_loss"] for row in resumed.history] == [row["train_loss"] for row in history]
    assert [row["valid_accuracy"] for row in history] == [row["valid_accuracy"] for row in resumed.history]
    with pytest.raises(EmotionError, match="settings differ: dropout zerodrop -> nodrop"):
        Loop(task(dropout="nodrop"), tmp_path / "parts")
    other = AudiovisualTask(again.config, replace(clips(18), sounds=clips(18).sounds + 1), clips(9, 1))
    with pytest.raises(EmotionError, match="the training clips are others"):
        Loop(other, tmp_path / "parts")


def test_tasks_that_cannot_be_say_why():
    config = AudiovisualTrainingConfig(model=SMALL)
    with pytest.raises(EmotionError, match="no clips to learn from"):
        AudiovisualTask(config, clips(0))
    with pytest.raises(EmotionError, match="the network has 3 classes, the data 4"):
        AudiovisualTask(config, replace(clips(6), labels=("a", "b", "c", "d")))
    with pytest.raises(EmotionError, match="validation clips must have the same labels"):
        AudiovisualTask(config, clips(6), replace(clips(6), labels=("calm", "happy", "fear")))
    with pytest.raises(EmotionError, match="is of another architecture"):
        AudiovisualTask(config, clips(6), None, Audiovisual(replace(SMALL, fusion="it")))
    for change, message in (({"dropout": "drop"}, "unknown dropout"), ({"eval_mode": "x"}, "unknown mode"),
                            ({"lr_steps": (0,)}, "lr_steps"), ({"dampening": 2.0}, "dampening")):  # fmt: skip
        with pytest.raises(EmotionError, match=message):
            AudiovisualTrainingConfig(**change)


# The learner.


def test_defaults_are_the_documented_ones():
    shown = inspect.signature(AudiovisualEmotionLearner).parameters
    documented = {
        "num_class": 8, "seq_length": 15, "fusion": "ia", "mod_drop": "zerodrop", "pretr_ef": None, "lr": 0.04,
        "lr_steps": (40, 55, 65, 70, 200, 250), "momentum": 0.9, "dampening": 0.9, "weight_decay": 1e-3, "iters": 100,
        "batch_size": 8, "n_workers": 4, "checkpoint_after_iter": 0, "checkpoint_load_iter": 0, "device": "cpu",
    }  # fmt: skip
    assert {name: shown[name].default for name in documented} == documented
    for method, arguments in (
        ("fit", ["dataset", "val_dataset", "logging_path", "silent", "verbose", "eval_mode", "restore_best"]),
        ("eval", ["dataset", "silent", "verbose", "mode"]),
        ("infer", ["audio", "video"]),
        ("save", ["path", "verbose"]),
        ("load", ["path", "verbose"]),
    ):
        parameters = list(inspect.signature(getattr(AudiovisualEmotionLearner, method)).parameters)
        assert parameters[1 : len(arguments) + 1] == arguments


def test_every_documented_spelling_is_taken():
    settings = {"mod_dropout": "noisedrop", "batch-size": 3, "checkpoint_after_ietr": 5, "lr_steps": [1, 2]}
    config = AudiovisualEmotionLearner(**settings).config
    assert (config.mod_drop, config.batch_size, config.checkpoint_after_iter) == ("noisedrop", 3, 5)
    assert config.lr_steps == (1, 2)
    with pytest.raises(EmotionError, match="mod_drop and mod_dropout are two names of one setting"):
        AudiovisualEmotionLearner(mod_drop="nodrop", mod_dropout="zerodrop")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fusion": "early"}, "unknown fusion 'early': use one of ia, it, lt"),
        ({"mod_drop": "drop"}, "unknown mod_drop 'drop'"),
        ({"num_classes": 8}, "did you mean 'num_class'"),
        ({"lr_steps": 40}, r"list of epochs such as \[40, 55\], got 40"),
        ({"iters": 0}, "iters must be at least 1"),
        ({"num_heads": 3}, "heads must divide 64"),
        ({"labels": ("a", "b")}, "num_class is 8, but there are 2 labels"),
        ({"pretr_ef": "nowhere.tar"}, "there is no file nowhere.tar"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_wrong_arguments_say_what_to_do(arguments, message):
    with pytest.raises(EmotionError, match=message):
        AudiovisualEmotionLearner(**arguments)


def test_labels_are_those_of_ravdess_unless_something_else_is_known():
    assert AudiovisualEmotionLearner().labels == RAVDESS
    assert AudiovisualEmotionLearner(num_class=2).labels == ("class 0", "class 1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    learner = small(folder, iters=6, lr=0.02)
    performance = learner.fit(clips(30), clips(15, 1), logging_path=folder / "logs", silent=True, restore_best=True)
    return learner, performance, folder


def test_fit_returns_what_is_documented_and_learns(trained, capsys):
    learner, performance, folder = trained
    assert sorted(performance) == ["train_acc", "train_loss", "val_acc", "val_loss"]
    assert all(len(values) == 6 and np.isfinite(values).all() for values in performance.values())
    assert learner.labels == LABELS
    found = learner.eval(clips(15, 1))
    assert sorted(found) == ["acc", "cross_entropy"]
    assert "audiovisual: cross-entropy" in capsys.readouterr().out
    assert found["acc"] == pytest.approx(max(performance["val_acc"])) and found["acc"] > 60
    assert {path.name for path in (folder / "logs").glob("*.safetensors")} == {"best.safetensors", "last.safetensors"}
    best, card = load_network(folder / "logs" / "best.safetensors")
    assert same(best, learner.model) and card.labels == LABELS and card.training["method"] == "fusion ia, zerodrop"


def test_restore_best_decides_which_weights_stay(trained, tmp_path):
    """The same training, finished already: only the choice is another one."""
    import shutil

    _, performance, folder = trained
    shutil.copytree(folder / "logs", tmp_path / "logs")
    other = small(tmp_path, iters=6, lr=0.02)
    again = other.fit(clips(30), clips(15, 1), logging_path=tmp_path / "logs", silent=True)
    assert again == performance
    last, _ = load_network(folder / "logs" / "last.safetensors")
    assert same(other.model, last)
    result = other.eval(clips(15, 1), silent=True)
    assert result["acc"] == pytest.approx(performance["val_acc"][-1])
    assert result["cross_entropy"] == pytest.approx(performance["val_loss"][-1], rel=1e-5)


def test_without_a_validation_set_the_best_is_that_on_the_training_set(tmp_path):
    learner = small(tmp_path, iters=3, lr=0.02)
    performance = learner.fit(clips(12), logging_path=tmp_path / "a", silent=True, restore_best=True)
    assert performance["val_acc"] == performance["val_loss"] == [] and len(performance["train_acc"]) == 3
    best, _ = load_network(tmp_path / "a" / "best.safetensors")
    last, _ = load_network(tmp_path / "a" / "last.safetensors")
    accuracies = []
    for network in (best, last):
        measured = evaluate_mode(TorchNetwork(network), clips(12), INPUTS, LABELS)
        accuracies.append(measured.categories.ensemble.accuracy)
    assert accuracies[0] >= accuracies[1] and same(learner.model, best)
    other = small(tmp_path, iters=2)
    other.fit(clips(12), logging_path=tmp_path / "b", silent=True)
    assert [path.name for path in (tmp_path / "b").glob("*.safetensors")] == ["last.safetensors"]


@pytest.mark.parametrize("drop_kind", ["nodrop", "noisedrop"])
def test_the_validation_has_the_asked_mode(tmp_path, drop_kind):
    learner = small(tmp_path, iters=1, mod_drop=drop_kind, lr=0.02)
    performance = learner.fit(
        clips(12), clips(9, 1), logging_path=tmp_path / "logs", silent=True, eval_mode="onlyvideo"
    )
    deaf, whole = (learner.eval(clips(9, 1), silent=True, mode=mode) for mode in ("onlyvideo", "audiovisual"))
    assert deaf["cross_entropy"] == pytest.approx(performance["val_loss"][0], rel=1e-5)
    assert deaf["cross_entropy"] != pytest.approx(whole["cross_entropy"], rel=1e-3)
    with pytest.raises(EmotionError, match="unknown mode 'both'"):
        learner.eval(clips(9, 1), mode="both")
    with pytest.raises(EmotionError, match="unknown mode 'both'"):
        learner.fit(clips(6), logging_path=tmp_path / "x", eval_mode="both")


def test_lines_are_printed_as_asked(tmp_path, capsys):
    cases = (3, {}, [1, 2, 3]), (10, {"verbose": False}, [10]), (1, {"silent": True}, [])
    for epochs, settings, told in cases:
        learner = small(tmp_path, iters=epochs)
        learner.fit(clips(3), logging_path=tmp_path / str(epochs), **settings)
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[1] for line in lines] == [f"{epoch}/{epochs}:" for epoch in told]


def test_inference_takes_what_is_there(trained):
    learner, _, _ = trained
    data = clips(3, 5)
    sound, clip, _ = data[1]
    prediction = learner.infer(Timeseries(sound), Video(clip))
    assert isinstance(prediction, Category) and prediction.description == LABELS[prediction.data]
    with torch.no_grad():
        inputs = torch.from_numpy(fit_clip(clip, INPUTS[0]))[None], torch.from_numpy(sound)[None]
        said = learner.model(*inputs).softmax(1)[0]
        deaf = learner.model(inputs[0], torch.zeros_like(inputs[1])).softmax(1)[0]
    assert prediction.confidence == pytest.approx(float(said[prediction.data]), abs=1e-6)
    for audio, video in ((sound, clip), (torch.from_numpy(sound), torch.from_numpy(clip)), (sound, clip / 255)):
        assert learner.infer(audio, video).confidence == pytest.approx(prediction.confidence, abs=1e-5)
    assert learner.infer(video=clip).confidence == pytest.approx(float(deaf.max()), abs=1e-6)
    with pytest.raises(EmotionError, match="got neither"):
        learner.infer()
    with pytest.raises(EmotionError, match="finite numbers in sound"):
        learner.infer(np.full((10, STEPS), np.inf), clip)


def test_saved_and_loaded_is_the_same_network(trained, tmp_path, capsys):
    learner, _, _ = trained
    folder = learner.save(tmp_path / "model")
    names = {path.name for path in folder.iterdir()}
    assert names == {"metadata.json", "model_weights.pt", "audiovisual.safetensors", "audiovisual.json"}
    loaded = AudiovisualEmotionLearner()  # knows nothing of the architecture
    loaded.load(folder)
    assert capsys.readouterr().out == f"saved to {folder}\nloaded {folder}\n"
    assert loaded.model.config == learner.model.config and loaded.labels == LABELS and same(loaded.model, learner.model)
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["model_paths"] == ["model_weights.pt"] and metadata["optimized"] is False
    assert metadata["inference_params"] == {
        "num_class": 3, "seq_length": 2, "fusion": "ia", "num_heads": 1, "labels": list(LABELS),
    }  # fmt: skip
    sound, clip, _ = clips(3, 5)[2]
    assert loaded.infer(sound, clip) == learner.infer(sound, clip)
    loaded.reset()
    assert loaded.labels == RAVDESS and loaded.model.config == AudiovisualConfig() and loaded._start is None


def test_opendrs_metadata_loads_with_what_the_weights_tell(tmp_path):
    network = build({"type": "audiovisual", **replace(SMALL, fusion="it").to_dict()}, seed=4)
    torch.save(network.state_dict(), tmp_path / "model_weights.pt")
    metadata = {"framework": "pytorch", "model_paths": ["../elsewhere/model_weights.pt"], "format": "pt",
                "has_data": False, "inference_params": {}, "optimized": False, "optimimizer_info": {}}  # fmt: skip
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    learner = small(tmp_path)
    learner.load(tmp_path, verbose=False)
    assert learner.model.config == replace(SMALL, fusion="it") and same(learner.model, network)
    (tmp_path / "metadata.json").write_text("[1]")
    with pytest.raises(EmotionError, match="is no metadata of a network"):
        learner.load(tmp_path)
    (tmp_path / "metadata.json").unlink()
    with pytest.raises(EmotionError, match=r"metadata\.json is missing"):
        learner.load(tmp_path)
    with pytest.raises(EmotionError, match="there is no folder"):
        learner.load(tmp_path / "nowhere")


def test_what_was_loaded_is_the_start_of_a_training(trained, tmp_path):
    learner, _, _ = trained
    saved = learner.save(tmp_path / "model", verbose=False)
    tuned = small(tmp_path, lr=1e-12, weight_decay=0.0, mod_drop="nodrop", iters=1)
    tuned.load(saved, verbose=False)
    tuned.fit(clips(6, labels=("sad", "calm", "happy")), logging_path=tmp_path / "logs", silent=True)
    assert tuned.labels == LABELS  # the loaded network's order, not that of the data
    for (name, a), b in zip(tuned.model.named_parameters(), learner.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6, msg=name)
    _, card = load_network(tmp_path / "logs" / "last.safetensors")
    assert card.training["init"]["method"] == "fusion ia, zerodrop"


def test_pretr_ef_is_where_the_frames_start(tmp_path):
    face = build({"type": "efficientface", "image_size": 32}, seed=5)
    save_network(face, describe(entry_of(face), "face", tuple("abcdefg"), "none"), tmp_path / "face.safetensors")
    learner = small(tmp_path, pretr_ef=str(tmp_path / "face.safetensors"), lr=1e-12, weight_decay=0.0, iters=1)
    faces = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(learner.model.visual_model.features(faces), face.features(faces), rtol=0, atol=0)
    learner.fit(clips(6), logging_path=tmp_path / "logs", silent=True)
    torch.testing.assert_close(learner.model.visual_model.conv5[0].weight, face.conv5[0].weight, rtol=0, atol=1e-6)
    _, card = load_network(tmp_path / "logs" / "last.safetensors")
    assert card.training["init"] == "EfficientFace"


def test_going_back_to_a_kept_checkpoint(tmp_path):
    settings = {"iters": 4, "checkpoint_after_iter": 2, "lr": 0.02}
    learner = small(tmp_path, **settings)
    performance = learner.fit(clips(6), logging_path=tmp_path / "logs", silent=True)
    kept = sorted(path.name for path in (tmp_path / "logs").glob("checkpoint_*"))
    assert kept == ["checkpoint_2.pt", "checkpoint_4.pt"]
    events: list = []
    again = small(tmp_path, **settings, checkpoint_load_iter=2)
    assert again.fit(clips(6), logging_path=tmp_path / "logs", silent=True, on_event=events.append) == performance
    assert isinstance(events[0], Resumed) and events[0].epochs == 2 and same(again.model, learner.model)
    with pytest.raises(EmotionError, match=r"checkpoint_3\.pt is missing"):
        small(tmp_path, checkpoint_load_iter=3).fit(clips(6), logging_path=tmp_path / "logs")


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_optimized_inference(trained, tmp_path, precision):
    learner = small(tmp_path)
    learner.load(trained[0].save(tmp_path / "model", verbose=False), verbose=False)
    data = clips(15, 1)
    expected = [learner.infer(sound, clip) for sound, clip, _ in data]
    result = learner.optimize(precision=precision, calibration=clips(30), measure_on=data)
    assert result["precision"] == precision and result["accuracy_torch"] - result["accuracy"] == result["loss"]
    got = [learner.infer(sound, clip) for sound, clip, _ in data]
    tolerance = {"float32": 1e-5, "float16": 5e-3, "int8": 0.15}[precision]
    for a, b in zip(got, expected, strict=True):
        assert a.confidence == pytest.approx(b.confidence, abs=tolerance)
    folder = learner.save(tmp_path / "out", verbose=False)
    classifier = Classifier(folder / "audiovisual.onnx")
    assert classifier.card.precision == precision and classifier.card.labels == LABELS
    assert json.loads((folder / "metadata.json").read_text())["optimized"] is True


def test_download_gets_a_folder_that_loads(tmp_path):
    """From a folder in the place of the publisher, under the names that files have there."""
    source = tmp_path / "published"
    network = build({"type": "audiovisual", **SMALL.to_dict()}, seed=4)
    source.mkdir()
    torch.save(network.state_dict(), source / "av_emotion_ia_zerodrop.pt")
    (source / "av_emotion_ia_zerodrop.json").write_text(json.dumps({"model_paths": ["model_weights.pt"]}))
    learner = small(tmp_path)
    folder = learner.download(tmp_path / "model", url=source.as_uri())
    assert folder == tmp_path / "model"
    assert sorted(path.name for path in folder.iterdir()) == ["metadata.json", "model_weights.pt"]
    learner.load(folder, verbose=False)
    assert same(learner.model, network)
    with pytest.raises(EmotionError, match="unknown mode 'weights': use one of pretrained"):
        AudiovisualEmotionLearner.download(tmp_path, "weights")


WORKER = """
import pathlib, sys
from cases import clips, small
import torch, torch.distributed
torch.set_num_threads(1)
learner = small(pathlib.Path(sys.argv[1]), batch_size=3, lr=0.02)
performance = learner.fit(clips(12), clips(9, 1), logging_path=sys.argv[1] + "/logs", silent=True)
weights = torch.cat([tensor.detach().flatten().float() for tensor in learner.model.state_dict().values()])
everyone = [torch.empty_like(weights) for _ in range(2)]
torch.distributed.all_gather(everyone, weights)
assert torch.equal(*everyone), "the processes have different networks"
if torch.distributed.get_rank() == 0:
    print("epochs", len(performance["train_acc"]), performance["train_loss"][0])
torch.distributed.barrier()  # nobody leaves while another still talks
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_train_one_network(two_processes, tmp_path):
    first, second = two_processes(WORKER, __file__)
    assert first.startswith("epochs 2 ") and second == ""
    alone = small(tmp_path, lr=0.02).fit(clips(12), clips(9, 1), logging_path=tmp_path / "alone", silent=True)
    # Half a batch in each of two processes is nearly a batch in one: the statistics of the batches differ.
    assert float(first.split()[2]) == pytest.approx(alone["train_loss"][0], rel=0.15)
    saved, _ = load_network(tmp_path / "run" / "logs" / "last.safetensors")
    assert isinstance(saved, Audiovisual)
