"""The term that keeps branches apart, by value."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emotion_core.models.attention import Attention, Cbam  # noqa: E402
from emotion_core.training.diversity import diversity_loss, similarity  # noqa: E402


def attentions(*values: float) -> list[Attention]:
    return [Attention(torch.full((2, 4), v), torch.full((2, 1, 3, 3), v)) for v in values]


def test_similarity_of_known_maps():
    maps = torch.tensor([[[0.0, 0.0], [0.1, 0.0], [0.3, 0.4]]])
    expected = np.array([[0, 0.01, 0.25], [0.01, 0, 0.2], [0.25, 0.2, 0]])  # squared distances
    np.testing.assert_allclose(similarity(maps)[:, :], np.exp(-10 * expected), rtol=1e-5)


def test_similarity_is_the_mean_over_the_batch():
    near, far = torch.tensor([[0.0], [0.1]]), torch.tensor([[0.0], [1.0]])
    both = similarity(torch.stack([near, far]))
    assert float(both[0, 1]) == pytest.approx((np.exp(-0.1) + np.exp(-10)) / 2)


@pytest.mark.parametrize("count", [2, 3])
def test_alike_branches_gain_nothing_and_different_ones_up_to_two(count):
    # With zeros on the diagonal three branches that are alike would get -4, the best value of all.
    assert float(diversity_loss(attentions(*[0.5] * count))) == pytest.approx(0, abs=1e-5)
    assert float(diversity_loss(attentions(*np.linspace(0, 1, count)))) == pytest.approx(-2, abs=1e-3)


def test_two_branches_by_hand():
    s, c = np.exp(-10 * 9 * 0.01), np.exp(-10 * 4 * 0.01)
    assert float(diversity_loss(attentions(0.5, 0.6))) == pytest.approx(-(1 - s**2) - (1 - c**2), rel=1e-4)


def test_it_drives_branches_apart():
    torch.manual_seed(0)
    values = [torch.nn.Parameter(torch.rand(1, 3, 3) * 0.01 + 0.5) for _ in range(3)]
    optimizer = torch.optim.SGD(values, lr=0.1)

    def loss() -> torch.Tensor:
        return diversity_loss([Attention(v.flatten(1), v[None]) for v in values])

    before = loss().item()
    for _ in range(30):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < before - 0.5


def test_attention_weighs_channels_then_places():
    gate = Cbam(32).eval()
    x = torch.rand(2, 32, 5, 5)
    weighed, attention = gate(x)
    assert attention.channel.shape == (2, 32) and attention.spatial.shape == (2, 1, 5, 5)
    torch.testing.assert_close(weighed, x * attention.channel[:, :, None, None] * attention.spatial)
    assert attention.channel.min().item() > 0 and attention.spatial.max().item() < 1
