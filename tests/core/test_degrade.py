"""Faces as bad cameras show them, and heads that turn."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.training.augment import AugmentConfig, augment  # noqa: E402
from emotion_core.training.degrade import DegradeConfig, degrade  # noqa: E402

NOTHING = {"shrink": 1.0, "blur": 0.0, "dark": 1.0, "noise": 0.0, "jpeg": 100}
STILL = AugmentConfig(0.0, 0.0, 1.0, False, 0.0, 1.0, 0.0, 0.0, 0.0)


@pytest.fixture()
def faces():
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.random((64, 1, 48, 48)).astype(np.float32)) * 0.8 + 0.1


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_same_seed_makes_the_same_faces_and_nothing_makes_none(faces):
    config = DegradeConfig()
    assert torch.equal(degrade(faces, config, seeded(1)), degrade(faces, config, seeded(1)))
    assert not torch.equal(degrade(faces, config, seeded(1)), degrade(faces, config, seeded(2)))
    assert torch.equal(degrade(faces, DegradeConfig(share=0.0), seeded()), faces)
    assert torch.equal(degrade(faces, DegradeConfig(share=1.0, **NOTHING), seeded()), faces)


def test_the_input_stays_and_the_range_is_kept(faces):
    before = faces.clone()
    worse = degrade(faces, DegradeConfig(share=1.0), seeded())
    assert torch.equal(faces, before)
    assert worse.shape == faces.shape and worse.dtype == torch.float32
    assert worse.min() >= 0 and worse.max() <= 1


@pytest.mark.parametrize(
    ("setting", "measure", "falls"),
    [
        ({"shrink": 0.2}, lambda x: (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3)), True),
        ({"blur": 0.05}, lambda x: (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3)), True),
        ({"dark": 0.1}, lambda x: x.mean((1, 2, 3)), True),
        ({"noise": 0.3}, lambda x: (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3)), False),
    ],
)
def test_each_change_does_what_it_says_to_about_a_third(faces, setting, measure, falls):
    smooth = torch.nn.functional.avg_pool2d(faces, 5, 1, 2) if not falls else faces
    worse = degrade(smooth, DegradeConfig(share=1.0, **{**NOTHING, **setting}), seeded())
    difference = measure(worse) - measure(smooth)
    changed = difference.abs() > 1e-4
    assert 0.15 < changed.float().mean() < 0.55
    assert ((difference[changed] < 0) == falls).float().mean() > 0.9


def test_a_jpeg_leaves_its_blocks(faces):
    worse = degrade(faces, DegradeConfig(share=1.0, **{**NOTHING, "jpeg": 5}), seeded())
    assert 0.15 < ((worse - faces).abs().amax((1, 2, 3)) > 0.02).float().mean() < 0.55


def test_a_head_turned_shows_less_of_the_far_side():
    ramp = torch.linspace(0, 1, 64)[None, None, None].expand(1, 1, 64, 64).contiguous()
    config = AugmentConfig(**{**vars(STILL), "yaw_deg": 45.0})
    seen = torch.cat([augment(ramp, config, seeded(seed)) for seed in range(12)])
    middle = seen[:, 0, 32, 31:33].mean(1)
    assert middle.min() < 0.4 and middle.max() > 0.6  # what was beside the middle is in it now, on either side
    assert (seen[:, 0, :, 1:] - seen[:, 0, :, :-1])[:, :, 8:56].min() > -0.2
    straight = augment(ramp, STILL, seeded())
    torch.testing.assert_close(straight, ramp, atol=1e-4, rtol=0)


def test_old_recipes_change_nothing_and_new_ones_are_read():
    assert AugmentConfig().degrade is None and AugmentConfig().yaw_deg == 0
    config = AugmentConfig(degrade={"share": 0.25, "jpeg": 50})
    assert config.degrade == DegradeConfig(share=0.25, jpeg=50)
    assert config.calmed().degrade == config.degrade
    with pytest.raises(EmotionError, match="did you mean 'blur'"):
        AugmentConfig(degrade={"blurr": 0.1})
    with pytest.raises(EmotionError, match="jpeg must be"):
        DegradeConfig(jpeg=0)
