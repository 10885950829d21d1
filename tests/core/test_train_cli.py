"""``emotion train``: the options that every training has, plain classifiers, presets, and mistakes in one line."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("safetensors")
pytest.importorskip("yaml")

from emotion_core.cli import main
from emotion_core.cli.train_options import claim, command, files_read
from emotion_core.data.dataset import FaceSet
from emotion_core.data.folder import load_folder
from emotion_core.errors import EmotionError
from emotion_core.export.weights import load_network
from emotion_core.store.finding import BUNDLED

LABELS = ("calm", "happy", "sad")
NETWORK = """\
model:
  type: esr
  branches: 2
  in_channels: {channels}
  input_size: 24
  base: [{{channels: 8, padding: 1, pool: true}}]
  branch: [{{channels: 8, padding: 1}}]
batch_size: 8
lr: 0.1
augment: {{rotation_deg: 3, erase: 0}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pictures of three classes, told apart by their brightness, in two splits."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("valid", 6)):
        for i, label in enumerate(LABELS):
            (root / split / label).mkdir(parents=True)
            for j in range(count):
                picture = rng.integers(80 * i, 80 * i + 60, (30, 30, 3)).astype(np.uint8)
                cv2.imwrite(str(root / split / label / f"{j}.png"), picture)
    return root


@pytest.fixture
def recipe(tmp_path):
    def write(channels: int = 1, more: str = "") -> Path:
        path = tmp_path / f"recipe{channels}.yaml"
        path.write_text(NETWORK.format(channels=channels) + more)
        return path

    return write


def train(*args: object) -> int:
    return main(["train", *map(str, args)])


def one_line(capsys, *words: str) -> None:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("emotion: error:")]
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]


def test_a_classifier_from_a_folder_of_pictures(folder, recipe, tmp_path, capsys):
    arguments = ("classifier", "--model", recipe(), "--data", folder, "--out", tmp_path / "run", "--epochs", 6,
                 "--amp", "bfloat16", "--clip-norm", 5, "--class-weights", "balanced", "--name", "mine",
                 "--licence", "CC0", "--threads", 1)  # fmt: skip
    assert train(*arguments) == 0
    first = capsys.readouterr().out
    assert (
        "model.safetensors" in first and "18 faces of folder of classes valid (3 classes, mean of 2 branches" in first
    )
    network, card = load_network(tmp_path / "run" / "model.safetensors")
    assert (card.name, card.labels, card.licence) == ("mine", LABELS, "CC0")
    assert network.config.num_classes == 3
    assert card.results[0]["accuracy"] > 60 and card.results[0]["n"] == 18
    assert card.results[0]["protocol"] == "3 classes, mean of 2 branches, no test-time augmentation"
    assert (card.training["amp"], card.training["clip_norm"]) == ("bfloat16", 5.0)
    assert card.training["command"] == (
        "emotion train classifier --model recipes/recipe1.yaml --dataset folder --data folder --out run --epochs 6 "
        "--clip-norm 5.0 --class-weights balanced --amp bfloat16"
    )
    assert train(*arguments) == 0  # all is done: the same result
    assert capsys.readouterr().out == first
    assert train(*arguments, "--lr", 0.2) == 2
    one_line(capsys, "another training: settings differ: lr 0.1 -> 0.2")


@pytest.mark.parametrize("keep_best", ["true", "false"])
def test_what_is_printed_is_what_was_measured_of_the_written_network(folder, recipe, tmp_path, capsys, keep_best):
    more = f"validation_interval: 2\nkeep_best: {keep_best}\nschedule: constant\n"
    assert train("classifier", "--model", recipe(more=more), "--data", folder, "--out", tmp_path, "--epochs", 5) == 0
    _, card = load_network(tmp_path / "model.safetensors")
    assert f"model.safetensors: {card.results[0]['accuracy']:.2f} % on the 18 faces" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--init", "--teacher"])
@pytest.mark.parametrize("learner", ["classifier", "esr"])
def test_a_network_that_is_read_is_never_replaced(folder, recipe, tmp_path, capsys, monkeypatch, learner, option):
    first = tmp_path / "first"
    assert train("classifier", "--model", recipe(), "--data", folder, "--out", first, "--epochs", 1) == 0
    read = tmp_path / "run" / "model.safetensors"
    read.parent.mkdir()
    shutil.copy(first / read.name, read)
    before, words = read.read_bytes(), ("--model", recipe())
    if learner == "esr":
        faces = [load_folder(folder / split, side=24, grey=True) for split in ("train", "valid")]
        sets = [
            FaceSet(np.stack([data.face(i) for i in range(len(data))]), np.eye(3, dtype=np.float32)[data.targets],
                    data.targets, (), data.labels)
            for data in faces
        ]  # fmt: skip
        monkeypatch.setattr("emotion_core.data.ferplus.load_ferplus", lambda root, split: sets[split == "valid"])
        text = NETWORK.format(channels=1).replace("  type: esr\n", "") + "resolutions: []\n"
        (tmp_path / "joint.yaml").write_text(text.replace("input_size: 24", "input_size: 24\n  num_classes: 3"))
        words = ("--config", tmp_path / "joint.yaml")
    arguments = (learner, *words, "--data", folder, "--epochs", 1, option)
    capsys.readouterr()
    assert train(*arguments, read, "--out", read.parent) == 2
    one_line(capsys, "would replace", "model.safetensors, which is the source itself: name another folder")
    (tmp_path / "link").symlink_to(read.parent)
    assert train(*arguments, read, "--out", tmp_path / "link") == 2
    assert read.read_bytes() == before and [path.name for path in read.parent.iterdir()] == [read.name]
    assert train(*arguments, read, "--out", tmp_path / "other") == 0
    assert read.read_bytes() == before


def test_a_card_names_models_without_the_places_of_this_machine(tmp_path):
    teachers = ["esr_compact", str(tmp_path / "big" / "model.safetensors")]
    arguments = argparse.Namespace(epochs=3, amp=None, init=str(BUNDLED / "esr_compact.safetensors"), teachers=teachers)
    assert command(["classifier", "--data", "fer2013"], arguments, ("epochs",)) == (
        "emotion train classifier --data fer2013 --epochs 3 --init emotion_core/weights/esr_compact.safetensors "
        "--teacher esr_compact --teacher runs/big/model.safetensors"
    )


def test_a_recipe_is_never_replaced_by_a_card(folder, tmp_path, capsys):
    read = tmp_path / "model.json"  # JSON is YAML
    read.write_text(json.dumps({"epochs": 1}))
    assert train("esr", "--config", read, "--data", folder, "--out", tmp_path) == 2
    one_line(capsys, "FER2013Train")  # nothing is claimed before the faces are there
    arguments = argparse.Namespace(config=str(read), teachers=[], init=None)
    with pytest.raises(EmotionError, match=r"would replace .*model\.json, which is the source itself"):
        claim(tmp_path, files_read(arguments), ("model.safetensors", "model.json"))


@pytest.mark.parametrize("names", ["esr.safetensors", "Net-Base-Shared_Representations.pt", "Net-Branch_1.pt"])
def test_a_folder_that_is_read_is_never_replaced(folder, tmp_path, capsys, names):
    source = tmp_path / "esr" / "network"
    source.mkdir(parents=True)
    (source / names).write_bytes(b"weights")
    arguments = ("facial", "--dataset", "folder", "--data", folder, "--ensemble-size", 1, "--init", source)
    assert train(*arguments, "--out", tmp_path) == 2
    one_line(capsys, f"would replace {source / names}, which is the source itself: name another folder")
    assert [path.name for path in source.iterdir()] == [names]


def test_its_network_is_exported_and_measured_like_any_other(folder, recipe, tmp_path, capsys):
    pytest.importorskip("onnx")
    assert train("classifier", "--model", recipe(3), "--data", folder, "--out", tmp_path / "run", "--epochs", 4) == 0
    model = tmp_path / "mine.onnx"
    assert main(["export", str(tmp_path / "run" / "model.safetensors"), "--out", str(model)]) == 0
    capsys.readouterr()
    assert main(["eval", "--model", str(model), "--dataset", "folder", "--data", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    _, card = load_network(tmp_path / "run" / "model.safetensors")
    assert report["n"] == 18 and report["accuracy"] == pytest.approx(card.results[0]["accuracy"], abs=0.01)


def test_teachers_may_take_other_faces_and_starts_may_not(folder, recipe, tmp_path, capsys):
    colour, grey = tmp_path / "colour", tmp_path / "grey"
    for out, channels in ((colour, 3), (grey, 1)):
        assert train("classifier", "--model", recipe(channels), "--data", folder, "--out", out, "--epochs", 1) == 0
    model = ("classifier", "--model", recipe(), "--data", folder, "--epochs", 1)
    capsys.readouterr()
    assert train(*model, "--out", tmp_path / "b", "--init", colour / "model.safetensors") == 2
    one_line(capsys, "it takes face 3x24x24 bgr", "it would get face 1x24x24 grey")
    for option in ("--teacher", "--init"):
        assert train(*model, "--out", tmp_path / "b", option, tmp_path / "absent.safetensors") == 2
        one_line(capsys, "absent.safetensors")
    assert train(*model, "--out", tmp_path / "b", "--teacher", "esr_compact") == 2
    one_line(capsys, "the teacher esr_compact must know all labels of the data: it lacks")
    assert train(*model, "--out", tmp_path / "c", "--teacher", colour / "model.safetensors", "--init",
                 grey / "model.safetensors") == 0  # fmt: skip
    _, card = load_network(tmp_path / "c" / "model.safetensors")
    assert card.training["teachers"][0]["epochs"] == 1 and card.training["init"]["epochs"] == 1


@pytest.mark.parametrize(
    ("recipe_lines", "arguments", "words"),
    [
        ("", ("--model", "esr_huge"), ("unknown preset 'esr_huge'",)),
        ("", ("--model", "absent.yaml"), ("absent.yaml cannot be read",)),
        ("weight: 3\n", (), ("'weight' is no setting of a classifier's training: did you mean 'weight_decay'",)),
        ("epochs: 0\n", (), ("epochs must be at least 1, got 0",)),
        ("", ("--lr", "0"), ("lr must be positive, got 0.0",)),
        ("", ("--threads", "0"), ("--threads must be at least 1",)),
        ("", ("--amp", "float16"), ("amp 'float16' needs device 'cuda'",)),
    ],
)
def test_mistakes_are_one_line(folder, recipe, tmp_path, capsys, recipe_lines, arguments, words):
    base = ("classifier", "--model", recipe(more=recipe_lines), "--data", folder, "--out", tmp_path / "run")
    assert train(*base, *arguments) == 2
    one_line(capsys, *words)


def test_augmentation_out_of_range_is_one_line_for_every_recipe(folder, tmp_path, capsys):
    path = tmp_path / "bad.yaml"
    path.write_text("augment: {scale: 0}\n")
    assert train("esr", "--config", path, "--data", folder, "--out", tmp_path / "run") == 2
    one_line(capsys, "scale must be in [1, 4], got 0")
    path.write_text("model: esr_compact\naugment: {scale: 0}\n")
    assert train("classifier", "--model", path, "--data", folder, "--out", tmp_path / "run") == 2
    one_line(capsys, "scale must be in [1, 4], got 0")


@pytest.mark.parametrize("learner", ["esr", "classifier", "facial", "ckplus"])
def test_every_training_has_device_and_amp(learner, capsys):
    with pytest.raises(SystemExit) as done:
        train(learner, "--help")
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert "--device" in shown and "--amp {none,bfloat16,float16}" in shown and "--threads" in shown
    with pytest.raises(SystemExit) as done:
        train(learner, "--device", "tpu")
    assert done.value.code == 2 and "unknown device 'tpu'" in capsys.readouterr().err


def test_a_dataset_without_splits_is_warned_about(folder, recipe, tmp_path):
    command = [sys.executable, "-m", "emotion_core.cli", "train", "classifier", "--model", str(recipe()), "--data",
               str(folder / "train"), "--out", str(tmp_path / "run"), "--epochs", "1"]  # fmt: skip
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "has no splits: the validation faces are those that are learned from" in result.stderr
    assert "epoch 1/1: loss" in result.stderr


@pytest.mark.slow
def test_the_ferplus_preset_from_loaded_weights(folder, tmp_path, capsys, caplog):
    common = ("facial", "--dataset", "folder", "--data", folder, "--ensemble-size", 1, "--batch-size", 16,
              "--images-per-class", 4)  # fmt: skip
    out = ("--out", tmp_path, "--name", "first")
    assert train(*common, *out, "--max-training-epoch", 1, "--no-tuning") == 0
    start = tmp_path / "first" / "network"
    tuned = ("--out", tmp_path, "--name", "tuned", "--preset", "ferplus", "--max-first-branch-epoch", 1,
             "--ema-decay", 0.5)  # fmt: skip
    assert train(*common, *tuned, "--init", start) == 0
    assert "18 validation faces" in capsys.readouterr().out
    _, card = load_network(tmp_path / "tuned" / "network" / "tuned.safetensors")
    assert card.training["init"]["method"] == "branch by branch"
    assert train(*common, *tuned) == 2  # without the loaded weights it is another training
    one_line(capsys, "other starting weights")
    assert "give --init FOLDER" in caplog.text
