"""Transposed convolutions as convolutions."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from emotion_core.export.spread import spread  # noqa: E402
from emotion_core.models.registry import build  # noqa: E402


def random(*layers):
    torch.manual_seed(0)
    model = nn.Sequential(*layers).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
    return model


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_the_same_values_with_and_without_a_normalisation_behind(bias):
    for behind in ((nn.BatchNorm2d(5), nn.ReLU()), (nn.ReLU(),), ()):
        model = random(nn.ConvTranspose2d(3, 5, 2, 2, bias=bias), *behind)
        x = torch.rand(2, 3, 7, 4)
        changed = spread(model)
        torch.testing.assert_close(changed(x), model(x), rtol=1e-4, atol=1e-5)
        assert not any(isinstance(module, nn.ConvTranspose2d) for module in changed.modules())
        assert any(isinstance(module, nn.ConvTranspose2d) for module in model.modules())


@pytest.mark.parametrize(
    "other",
    [
        nn.ConvTranspose2d(4, 4, 3, 2), nn.ConvTranspose2d(4, 4, 2, 2, groups=2), nn.ConvTranspose2d(4, 4, 2, 1),
        nn.ConvTranspose2d(4, 4, 2, 2, padding=1), nn.ConvTranspose2d(4, 4, 2, 2, output_padding=1),
        nn.Conv2d(4, 4, 2, 2),
    ],
)  # fmt: skip
def test_others_stay(other):
    model = nn.Sequential(other)
    assert spread(model) is model


@torch.no_grad()
def test_the_masking_network_keeps_its_values():
    model = build({"type": "residual_masking", "image_size": 64, "width": 8}, "test", 0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    changed = spread(model)
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in changed.modules())
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(changed(x), model(x), rtol=1e-4, atol=1e-4)
