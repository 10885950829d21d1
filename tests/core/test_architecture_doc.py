"""docs/architecture.md is followed to the letter: what it says to write is written, what it says to run is run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emotion_core.errors import EmotionError

pytest.importorskip("torch")
pytest.importorskip("onnx")

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()


def block(heading: str, language: str) -> str:
    """The first block of a language below a heading."""
    below = TEXT.partition(f"## {heading}\n")[2]
    return re.search(rf"```{language}\n(.*?)```", below, re.DOTALL)[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, portrait) -> Path:
    """toy.py, its data in DIR, and a photo with a face."""
    import cv2

    root = tmp_path_factory.mktemp("newcomer")
    (root / "toy.py").write_text(block("Adding an architecture and a dataset", "python"))
    (root / "DIR").mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 256), ("valid", 64)):
        classes = rng.integers(0, 2, count)
        faces = rng.integers(0, 100, (count, 32, 32)) + 120 * classes[:, None, None]  # the happy ones are bright
        np.savez(root / "DIR" / f"{split}.npz", faces=faces.astype(np.uint8), classes=classes)
    cv2.imwrite(str(root / "photo.jpg"), portrait)
    return root


# One process, for torch takes seconds to load.
IN_TURN = """
import json, sys
from emotion_core.cli import main
for words in json.loads(sys.argv[1]):
    if code := main(words):
        sys.exit(f"{words} ended with {code}")
    print(end="\\f", flush=True)
"""


def run(folder: Path, commands: list[list[str]], empty_store: Path) -> list[str]:
    """What each of the commands prints."""
    environment = {**os.environ, "EMOTION_MODEL_DIR": str(empty_store)}
    words = json.dumps([command[1:] for command in commands])
    result = subprocess.run(
        [sys.executable, "-c", IN_TURN, words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout.split("\f")[:-1]


@pytest.mark.slow
def test_a_toy_of_one_s_own_goes_the_whole_way(folder, empty_store):
    commands = [shlex.split(line) for line in block("Adding an architecture and a dataset", "sh").splitlines()]
    assert [" ".join(c[3:4] if c[1] == "--plugin" else c[1:2]) for c in commands] == [
        "train", "export", "eval", "bench", "infer", "node",
    ]  # fmt: skip
    said = run(folder, commands[:-2], empty_store)
    said += run(folder, commands[-2:-1], empty_store)  # which knows nothing of the plug-in; tests/ros starts the node
    assert re.search(r"accuracy (9[5-9]|100)\.\d+ % of 64", said[2])
    assert "toy" in said[3] and "int8" in said[3]
    assert re.search(r"photo.jpg: (sad|happy) \d+%", said[4])


def test_a_task_of_one_s_own_is_trained_and_resumed(tmp_path):
    space: dict = {}
    exec(compile(block("Adding a task", "python"), "docs/architecture.md", "exec"), space)
    x = np.linspace(-1, 1, 64, dtype=np.float32)
    loop = space["fit"](tmp_path, x, 2 * x + 1)
    assert loop.model.weight.item() == pytest.approx(2, abs=0.05)
    assert loop.history[-1]["error"] < 0.05 < loop.history[0]["error"]
    assert (tmp_path / "history.csv").read_text().startswith("epoch,lr,train_loss,error,seconds\n")
    again = space["fit"](tmp_path, x, 2 * x + 1)  # finished: nothing is trained, the result is the same
    assert again.finished and again.model.weight.item() == loop.model.weight.item()
    with pytest.raises(EmotionError, match=r"belongs to another training: .*\by\b"):
        space["fit"](tmp_path, x, 3 * x)


def test_the_tree_in_the_document_is_the_tree():
    rows = re.findall(r"^\| (`.+?`) \|", TEXT.partition("## The tree")[2].partition("## The way")[0], re.MULTILINE)
    named = {name.removeprefix("emotion_core.") for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    packages = {path.parent.name for path in (ROOT / "emotion_core").glob("*/__init__.py")}
    assert packages <= named, packages - named
    for path in re.findall(r"`((?:emotion_ros|vision|runtime|pipeline|models|data|training)/\w+\.py)`", TEXT):
        assert (ROOT / path).exists() or (ROOT / "emotion_core" / path).exists(), path
