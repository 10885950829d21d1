"""The scripts in examples/ do what their first lines say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, *arguments: object, store: Path) -> list[str]:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    environment = {**os.environ, "EMOTION_MODEL_DIR": str(store)}
    result = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, cwd=store)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_one_picture(portrait, tmp_path, empty_store):
    cv2.imwrite(str(tmp_path / "photo.png"), portrait)
    (line,) = run("picture.py", tmp_path / "photo.png", store=empty_store)
    label, x, y = re.fullmatch(r"(\w+) \d+% at (\d+),(\d+) \d+x\d+", line).groups()
    assert label == "neutral" and abs(int(x) - 155) < 30 and abs(int(y) - 105) < 40


def test_a_camera_loop(portrait, tmp_path, empty_store):
    """Three pictures of one person, a folder in place of a camera."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), np.roll(portrait, i, axis=1))
    lines = run("camera.py", folder, store=empty_store)
    assert re.fullmatch(r" +0\.00 s  person 1: neutral \d+%", lines[0])
    assert all("person 1:" in line for line in lines)


@pytest.mark.slow
def test_a_learner_trained_on_a_folder(tmp_path, empty_store):
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("valid", 8)):
        for name, light in (("tired", 20), ("awake", 190)):
            folder = tmp_path / "faces" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                cv2.imwrite(str(folder / f"{i}.png"), (light + rng.integers(0, 40, (96, 96))).astype(np.uint8))
    lines = run("train_on_folder.py", tmp_path / "faces", tmp_path / "out", 2, store=empty_store)
    assert re.fullmatch(r"accuracy \d+\.\d % on 16 faces", lines[0])
    assert re.fullmatch(r"the first face: (tired|awake), \d+%", lines[1])
    assert lines[2].startswith(f"saved in {tmp_path / 'out' / 'network'}: mine.onnx runs in the node")
    assert (tmp_path / "out" / "network" / "mine.onnx").is_file()
