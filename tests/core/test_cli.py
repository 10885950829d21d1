"""The ``emotion`` command as a user meets it; in a process of its own where that could matter, which takes seconds."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_core.cli import main

SUBCOMMANDS = (
    "infer", "video", "annotate", "eval", "prepare", "train", "export", "bench", "check", "models", "download", "node",
    "record", "replay", "run",
)  # fmt: skip


def emotion(*args: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "emotion_core.cli", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"COLUMNS": "160"} | (env or {}),
        check=False,
    )


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command in this process; with all that a process of its own would have said."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*args: object) -> subprocess.CompletedProcess[str]:
        words = [*map(str, args)]
        capsys.readouterr()
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        root.handlers.clear()  # those of pytest, which would keep warnings from stderr
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
        return subprocess.CompletedProcess(words, code, *capsys.readouterr())

    return run


def fails_clearly(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture()
def photo(portrait, tmp_path) -> Path:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), portrait)
    return path


def test_help_teaches(here):
    overview = emotion("--help").stdout
    assert "examples:" in overview
    for name in SUBCOMMANDS:
        assert name in overview
        assert here(name, "--help").stdout.startswith("usage:")


def test_infer_prints_the_documented_json(photo, portrait):
    result = emotion("infer", photo, "--json")
    assert result.returncode == 0, result.stderr
    line = json.loads(result.stdout)
    assert set(line) == {"source", "width", "height", "faces"}
    assert (line["source"], line["width"], line["height"]) == (str(photo), portrait.shape[1], portrait.shape[0])
    (face,) = line["faces"]
    assert set(face) == {"box", "score", "label", "confidence", "probabilities", "valence", "arousal"}
    assert face["label"] == max(face["probabilities"], key=face["probabilities"].get)
    assert face["confidence"] == face["probabilities"][face["label"]]
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    x, y, w, h = face["box"]
    assert x < 240 < x + w
    assert y < 170 < y + h


def test_infer_in_words_with_pictures(photo, portrait, tmp_path):
    result = emotion("infer", photo, "--draw", tmp_path / "drawn", "--vote")
    assert result.returncode == 0, result.stderr
    assert "%" in result.stdout
    drawn = cv2.imread(str(tmp_path / "drawn" / "face.png"))
    assert drawn.shape == portrait.shape
    assert (drawn != portrait).any()


def test_infer_goes_on_after_a_bad_file(photo, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    empty = tmp_path / "wall.png"
    cv2.imwrite(str(empty), np.full((100, 100, 3), 99, np.uint8))
    result = emotion("infer", broken, empty, photo, "--json")
    assert result.returncode == 1, result.stderr  # some failed, and others did not
    assert "broken.jpg" in result.stderr and "not a readable picture" in result.stderr
    failed, *seen = [json.loads(line) for line in result.stdout.splitlines()]
    assert failed["source"] == str(broken) and "not a readable picture" in failed["error"]
    assert [len(line["faces"]) for line in seen] == [0, 1]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["infer", "absent.jpg"], ["absent.jpg", "does not exist"]),
        (["infer", "x.jpg", "--model", "nope"], ["unknown model", "esr_compact"]),
        (["infer", "x.jpg", "--detector", "yunet"], ["no YuNet model"]),
        (["models", "nope"], ["unknown model"]),
        (["eval", "--data", "nowhere"], ["FER2013Valid"]),
        (["export", "nowhere.safetensors", "--out", "x.onnx"], ["no model file nowhere.safetensors"]),
        (["export", "a.safetensors", "--out", "x.onnx", "--precision", "int8"], ["int8 needs faces", "--data DIR"]),
        (["eval", "--data", "nowhere", "--dimensional"], ["ferplus has no annotated valence"]),
        (["eval", "--data", "nowhere", "--dataset", "affectnet"], ["no prepared AffectNet face", "emotion prepare"]),
        (["train", "esr", "--data", "nowhere", "--out", "unused"], ["FER2013Train"]),
        (["train", "esr", "--data", "x", "--out", "unused", "--config", "no.yaml"], ["no.yaml", "cannot be read"]),
        (["train", "facial", "--data", "nowhere", "--out", "unused"], ["no prepared AffectNet face"]),
        (["train", "facial", "--preset", "ferplus", "--data", "nowhere", "--out", "unused"], ["FER2013Train"]),
        (["train", "ckplus", "--data", "nowhere", "--out", "unused"], ["no CK+ data"]),
        (["train", "esr", "--data", "nowhere", "--out", "unused", "--width", "-1"], ["width"]),
    ],
)
def test_mistakes_are_one_line_and_exit_two(args, words, tmp_path, monkeypatch, here):
    monkeypatch.chdir(tmp_path)
    if args[0] in ("train", "export"):
        pytest.importorskip("torch")
    fails_clearly(here(*args), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_mistake_ends_the_process_in_order():
    fails_clearly(emotion("infer", "absent.jpg"), "absent.jpg", "does not exist")


def test_damaged_models_are_one_line_and_exit_two(photo, tmp_path, here):
    from emotion_core.store.finding import BUNDLED

    data = bytearray((BUNDLED / "esr_compact.onnx").read_bytes())
    model = tmp_path / "mine.onnx"
    model.write_bytes(data[: len(data) // 3])
    fails_clearly(here("infer", photo, "--model", model), "mine.onnx", "not a readable ONNX")
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    fails_clearly(here("infer", photo, "--model", model), "mine.onnx is damaged", "get the file again")
    # The JSON beside a model is a copy for people.
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    model.with_suffix(".json").write_text("{}")
    assert here("infer", photo, "--model", model).returncode == 0


def test_bad_usage_exits_two():
    assert emotion().returncode == 2
    assert emotion("infer", "x.jpg", "--colour").returncode == 2


def test_models_lists_what_is_here(here):
    listed = emotion("models").stdout
    assert "esr_compact (default)" in listed
    assert "haar" in listed
    card = json.loads(here("models", "esr_compact", "--json").stdout)
    assert card["name"] == "esr_compact"
    assert "PublicTest" in here("models", "esr_compact").stdout
    assert all(set(card) >= {"name", "labels"} for card in json.loads(here("models", "--json").stdout))


def test_models_lists_what_can_be_trained(here):
    pytest.importorskip("torch")
    from emotion_core.models.registry import preset_names

    line = next(line for line in here("models").stdout.splitlines() if line.startswith("presets to train: "))
    names = line.removeprefix("presets to train: ").split(", ")
    assert "esr_compact" in names and tuple(names) == preset_names()
    assert json.loads(here("models", "--presets", "--json").stdout) == names
    assert here("models", "--presets").stdout.split() == names
    assert here("models", "esr_compact", "--presets").returncode == 2


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """A tiny FER+ folder of 40 synthetic faces a split."""
    root = tmp_path_factory.mktemp("ferplus")
    rng = np.random.default_rng(0)
    for name in ("FER2013Train", "FER2013Valid"):
        (root / name).mkdir()
        rows = []
        for i in range(40):
            cv2.imwrite(str(root / name / f"{i}.png"), rng.integers(0, 255, (48, 48), np.uint8))
            rows.append(f'{i}.png,"(0, 0, 48, 48)",' + ",".join("9" if c == i % 8 else "0" for c in range(10)))
        (root / name / "label.csv").write_text("\n".join(rows) + "\n")
    return root


def test_train_export_eval_infer(faces, tmp_path, photo, here):
    pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    pytest.importorskip("onnx")
    train = ("train", "esr", "--data", faces, "--out", tmp_path / "run", "--epochs", 2, "--batch-size", 20,
             "--branches", 3, "--width", 0.25, "--seed", 5, "--name", "mine")  # fmt: skip
    first = emotion(*train)
    assert first.returncode == 0, first.stderr
    assert "model.safetensors" in first.stdout
    assert "epoch 2/2" in first.stderr
    again = here(*train)
    assert "holds the whole training already (2 epochs): nothing was trained" in again.stderr
    assert again.stdout == first.stdout

    model = tmp_path / "mine.onnx"
    exported = here("export", tmp_path / "run" / "model.safetensors", "--out", model)
    assert exported.returncode == 0, exported.stderr
    card = json.loads(model.with_suffix(".json").read_text())
    assert card["training"]["command"].endswith("--epochs 2 --batch-size 20 --seed 5")

    result = here("eval", "--model", model, "--data", faces, "--split", "valid", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["model"], report["dataset"], report["split"], report["n"]) == (
        "mine",
        "ferplus",
        "valid",
        40,
    )
    assert report["accuracy"] == card["results"][0]["accuracy"]
    assert len(report["branch_accuracy"]) == 3
    assert here("infer", photo, "--model", model).returncode == 0

    small, picture = tmp_path / "int8.onnx", tmp_path / "confusion.png"
    network = tmp_path / "run" / "model.safetensors"
    exported = here("export", network, "--out", small, "--precision", "int8", "--data", faces, "--name", "int8")
    assert exported.returncode == 0, exported.stderr
    assert small.stat().st_size < model.stat().st_size
    card = json.loads(small.with_suffix(".json").read_text())
    assert (card["name"], card["precision"], card["results"][0]["n"]) == ("int8", "int8", 40)
    result = here("eval", "--model", small, "--data", faces, "--json", "--confusion", picture)
    assert json.loads(result.stdout)["accuracy"] == card["results"][0]["accuracy"]
    assert cv2.imread(str(picture)).shape[0] > 400


@pytest.mark.slow
def test_train_facial_on_ferplus(faces, tmp_path, here):
    pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    result = here(
        *("train", "facial", "--dataset", "ferplus", "--data", faces, "--out", tmp_path, "--name", "one"),
        *("--ensemble-size", 1, "--max-training-epoch", 1, "--images-per-class", 2, "--batch-size", 8),
    )
    assert result.returncode == 0, result.stderr
    assert "40 validation faces" in result.stdout
    assert "categorical, 1 branch, epoch 1/1: loss" in result.stderr
    written = {path.name for path in (tmp_path / "one" / "network").iterdir()}
    assert written == {"Net-Base-Shared_Representations.pt", "Net-Branch_1.pt", "one.safetensors", "one.json"}
    assert {"checkpoint.pt", "history.csv", "history.png", "tensorboard"} <= {
        path.name for path in (tmp_path / "one").iterdir()
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("infer", ""),
        ("infer", "a.png", "--draw", ""),
        ("models", ""),
        ("eval", "--data", ""),
        ("infer", "x", "--model="),
    ],
)
def test_an_empty_name_is_no_folder(arguments, capsys):
    """What an unset variable of a shell leaves behind."""
    assert main(list(arguments)) == 2
    assert "is empty: expected a name or a path" in capsys.readouterr().err
