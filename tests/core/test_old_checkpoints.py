"""Trainings that an older version began go on; the files were written by its two loops."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.training.loop import CHECKPOINT, Loop  # noqa: E402

OLD = Path(__file__).parent / "old_checkpoints"


def cases(name: str):
    """The test module whose training was interrupted: its settings, data and maker of loops."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def old_folder(name: str, tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copyfile(OLD / f"{name}.pt", folder / CHECKPOINT)
    return folder


def equal(a: Loop, b: Loop) -> None:
    for name, tensor in a.model.state_dict().items():
        torch.testing.assert_close(tensor, b.model.state_dict()[name], rtol=1e-4, atol=1e-5, msg=name)


def test_a_joint_training(tmp_path, caplog):
    module = cases("test_training")
    data = module.stripes(160, 0), module.stripes(64, 1)
    undisturbed = module.loop_of(module.CONFIG, *data, tmp_path / "new")
    undisturbed.run()
    folder = old_folder("joint", tmp_path)
    with caplog.at_level(logging.WARNING):
        resumed = module.loop_of(module.CONFIG, *data, folder)
    assert "it cannot be told whether these are the same: training faces, validation faces" in caplog.text
    assert len(resumed.history) == 2
    resumed.run()
    equal(resumed, undisturbed)
    assert module.loop_of(module.CONFIG, *data, folder).finished


def test_a_training_branch_by_branch(tmp_path, caplog):
    module = cases("test_branchwise")
    train, valid = module.stripes(90, 0), module.stripes(30, 1)
    data = train, valid, module.Affect(train), module.Affect(valid)
    undisturbed = module.loop_of(module.CONFIG, tmp_path / "new", *data)
    undisturbed.run()
    folder = old_folder("branchwise", tmp_path)
    with caplog.at_level(logging.WARNING):
        resumed = module.loop_of(module.CONFIG, folder, *data)
    assert "it cannot be told whether these are the same" in caplog.text
    assert len(resumed.history) == 5 and resumed.history[4]["branches"] == 2
    resumed.run()
    equal(resumed, undisturbed)


def test_other_settings_than_the_old_ones_are_refused(tmp_path):
    from dataclasses import replace

    module = cases("test_branchwise")
    train, valid = module.stripes(90, 0), module.stripes(30, 1)
    data = train, valid, module.Affect(train), module.Affect(valid)
    folder = old_folder("branchwise", tmp_path)
    for change, message in (({"lr": 0.3}, "lr 0.05 -> 0.3"), ({"amp": "bfloat16"}, "amp none -> bfloat16"),
                            ({"ema_decay": 0.9}, "ema_decay 0.0 -> 0.9")):  # fmt: skip
        with pytest.raises(EmotionError, match=f"settings differ: {message}"):
            module.loop_of(replace(module.CONFIG, **change), folder, *data)
