"""AudiovisualEmotionLearner as OpenDR documents it, and what users do wrong. Clips are drawn and small."""

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

from emotion_core.data.clips import ClipSet, fit_clip  # noqa: E402
from emotion_core.data.voices import RAVDESS  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.evaluation.modes import evaluate_mode  # noqa: E402
from emotion_core.export.torch_network import TorchNetwork  # noqa: E402
from emotion_core.export.weights import load_network, save_network  # noqa: E402
from emotion_core.learners.audiovisual import AudiovisualEmotionLearner  # noqa: E402
from emotion_core.learners.engine import Category, Timeseries, Video  # noqa: E402
from emotion_core.models.audiovisual import Audiovisual, AudiovisualConfig  # noqa: E402
from emotion_core.models.registry import build, describe, entry_of, inputs_of  # noqa: E402
from emotion_core.runtime.classifier import Classifier  # noqa: E402
from emotion_core.training.events import Resumed  # noqa: E402

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


INPUTS = inputs_of(Audiovisual(SMALL))


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
