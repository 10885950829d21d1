"""Attention of one sequence to another, as the audiovisual network fuses its modalities.

    Vaswani et al.: Attention Is All You Need. NeurIPS 2017. https://arxiv.org/abs/1706.03762
    Dosovitskiy et al.: An Image is Worth 16x16 Words. ICLR 2021. https://arxiv.org/abs/2010.11929

Parameters are named as in the files of the audiovisual network.
"""

from __future__ import annotations

from torch import Tensor, nn


class CrossAttention(nn.Module):
    """Queries from one sequence, keys and values from the other.

    Args:
        keys, queries: numbers a step of the two sequences; the output has as many as the queries.
        heads: the output's numbers are shared evenly among so many attentions.
    """

    def __init__(self, keys: int, queries: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, queries
        self.q = nn.Linear(queries, queries, bias=False)
        self.kv = nn.Linear(keys, 2 * queries, bias=False)
        self.proj = nn.Linear(queries, queries)

    def weights(self, keys: Tensor, queries: Tensor) -> Tensor:
        """(N, K, keys), (N, Q, queries) -> how much each query looks at each key (N, heads, Q, K), rows sum to 1."""
        # Of kv only the half that makes keys: where the weights alone are used, nobody asks for the values.
        k = nn.functional.linear(keys, self.kv.weight[: self.width])
        q = self._split(self.q(queries)) * (self.width // self.heads) ** -0.5
        return (q @ self._split(k).transpose(2, 3)).softmax(-1)

    def forward(self, keys: Tensor, queries: Tensor) -> Tensor:
        """(N, K, keys), (N, Q, queries) -> (N, Q, queries)."""
        v = self._split(nn.functional.linear(keys, self.kv.weight[self.width :]))
        return self.proj((self.weights(keys, queries) @ v).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(N, steps, width) -> (N, heads, steps, width / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class CrossAttentionBlock(nn.Module):
    """Attention, then a perceptron that adds to it; what was attended from is not added again."""

    def __init__(self, keys: int, queries: int, heads: int) -> None:
        super().__init__()
        self.norm1_q, self.norm1_k = nn.LayerNorm(queries), nn.LayerNorm(keys)
        self.attn = CrossAttention(keys, queries, heads)
        self.norm2 = nn.LayerNorm(queries)
        self.mlp = _Perceptron(queries)

    def forward(self, keys: Tensor, queries: Tensor) -> Tensor:
        """(N, K, keys), (N, Q, queries) -> (N, Q, queries)."""
        x = self.attn(self.norm1_k(keys), self.norm1_q(queries))
        return x + self.mlp(self.norm2(x))


class _Perceptron(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape."""
        return self.fc2(nn.functional.gelu(self.fc1(x)))
