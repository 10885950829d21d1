"""A voice's emotion from a speaker encoder: LSTMs over mel bands, statistics of all layers over time, one linear layer.

    Wan, Wang, Papir, Lopez Moreno: Generalized End-to-End Loss for Speaker Verification. ICASSP 2018.
    https://arxiv.org/abs/1710.10467

The encoder is that of Resemblyzer (``emotion_core.export.ge2e`` reads its weights). How something is said is best told
from its middle layer, so this and the last one are pooled.

The network is made for streams: it takes the next hop of a sound and what it remembers, and a hop costs a hop. A whole
utterance is one long hop, or several in a row: the values are the same. Frames far below the level of speech (and so
zeros that fill a hop up) count for nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from emotion_core.models.registry import Architecture
from emotion_core.store.card import EMBEDDING, LOGITS, SOUND, STATE, Input, Output

SAMPLE_RATE_HZ = 16_000
BANDS = 40
FEATURES = {"type": "mel", "n_mels": BANDS, "n_fft": 400, "hop_length": 160, "power": 2.0, "level_dbfs": -30.0}
"""What the encoder was trained on: power (not logarithmic) in mel bands, of sound brought to one level."""
SUMS, MAXIMA = 4, 2
"""What is remembered of the frames that count: their number, the sums of their values, squares and steps from one frame
to the next; and the largest of 1 + value and of 1 - value, which are positive: zeros say that nothing was heard."""
STATISTICS = 5
"""Of each value: mean, deviation, mean step, maximum and minimum."""
_LEAST = 1e-4  # variance below which a statistic is taken as constant


@dataclass(frozen=True)
class VoiceConfig:
    """Everything that is needed to build the network.

    Attributes:
        num_classes: number of emotions.
        hop: frames (of 10 ms) that an exported network takes at a time.
        hidden, layers: of the encoder.
        first: the layer, from 0, from which on they are pooled.
        gate: frames whose mean power over the bands is below count for nothing.
        dropout: probability of dropping a statistic before the classifier, in training only.

    Raises:
        ValueError: a value is out of range.
    """

    num_classes: int = 8
    hop: int = 50
    hidden: int = 256
    layers: int = 3
    first: int = 1
    gate: float = 1e-4
    dropout: float = 0.5

    def __post_init__(self) -> None:
        for ok, problem in (
            (self.num_classes >= 2, f"num_classes must be at least 2, got {self.num_classes}"),
            (self.hop >= 1, f"hop must be at least 1, got {self.hop}"),
            (self.hidden >= 1, f"hidden must be at least 1, got {self.hidden}"),
            (1 <= self.layers <= 8, f"layers must be 1 to 8, got {self.layers}"),
            (0 <= self.first < self.layers, f"first must be a layer, 0 to {self.layers - 1}, got {self.first}"),
            (self.gate >= 0, f"gate must be at least 0, got {self.gate}"),
            (0 <= self.dropout < 1, f"dropout must be in [0, 1), got {self.dropout}"),
        ):
            if not ok:
                raise ValueError(problem)

    @property
    def values(self) -> int:
        """Of all pooled layers together, in each frame."""
        return (self.layers - self.first) * self.hidden

    @property
    def pooled(self) -> int:
        """Number of statistics."""
        return STATISTICS * self.values

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary that ``from_dict`` turns back into an equal config."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> VoiceConfig:
        """Inverse of ``to_dict``; raises ValueError naming an unknown key."""
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(f"not a voice configuration: {error}") from None


class VoiceOutput(NamedTuple):
    """Results of a hop.

    ``logits`` (N, classes) of all that was heard; ``pooled`` (N, pooled), its statistics in units of the training data,
    before the speaker's are taken off; ``hop`` (N, SUMS + MAXIMA, values), what is remembered of this hop; ``state``
    (N, 2 * layers, hidden) of the LSTMs, for the next hop.
    """

    logits: Tensor
    pooled: Tensor
    hop: Tensor
    state: Tensor


class VoiceNetwork(nn.Module):
    """The encoder's layers, the scale of the statistics, and the classifier.

    The buffers ``centre`` and ``spread`` (pooled,) are the mean and the deviation of the statistics over the
    training data; training sets them.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, config: VoiceConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or VoiceConfig()
        self.layers = nn.ModuleList(
            nn.LSTM(BANDS if i == 0 else config.hidden, config.hidden, batch_first=True) for i in range(config.layers)
        )
        self.register_buffer("centre", torch.zeros(config.pooled))
        self.register_buffer("spread", torch.ones(config.pooled))
        self.dropout = nn.Dropout(config.dropout)
        self.classes = nn.Linear(config.pooled, config.num_classes)

    def forward(
        self, mel: Tensor, state: Tensor | None = None, heard: Tensor | None = None, speaker: Tensor | None = None
    ) -> VoiceOutput:
        """Hear the next frames.

        Args:
            mel: (N, bands, frames) power, of sound at -30 dBFS.
            state: (N, 2 * layers, hidden), what the last hop gave; zeros, or None, at the beginning.
            heard: (N, SUMS + MAXIMA, values), the ``merged`` earlier hops that still count; zeros, or None, for none.
            speaker: (N, pooled), mean of what ``pooled`` was for this speaker, drawn to zero while little was heard;
                zeros, or None, for somebody who is not known.
        """
        values, steps, state = self.encode(mel, state)
        hop = self.remember(values, steps, mel)
        pooled = self.pool(hop if heard is None else merged(hop, heard))
        return VoiceOutput(self.classify(pooled, speaker), pooled, hop, state)

    def encode(self, mel: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """What the layers say.

        Returns:
            (N, frames, values) of the pooled layers, how far each is from the frame before, and the state afterwards.
        """
        x, values, steps, states = mel.transpose(1, 2), [], [], []
        if state is None:
            state = mel.new_zeros(len(mel), 2 * self.config.layers, self.config.hidden)
        for i, layer in enumerate(self.layers):
            hidden, cell = state[:, 2 * i], state[:, 2 * i + 1]
            x, after = layer(x, (hidden[None].contiguous(), cell[None].contiguous()))
            states += [after[0][0], after[1][0]]
            if i >= self.config.first:
                values.append(x)
                steps.append((x - torch.cat([hidden[:, None], x[:, :-1]], 1)).abs())
        return torch.cat(values, 2), torch.cat(steps, 2), torch.stack(states, 1)

    def remember(self, values: Tensor, steps: Tensor, mel: Tensor) -> Tensor:
        """Values and steps (N, frames, values), power (N, bands, frames) -> (N, SUMS + MAXIMA, values)."""
        counts = (mel.mean(1) >= self.config.gate).to(values.dtype)[:, :, None]  # (N, frames, 1)
        number = counts.sum(1).expand(-1, values.shape[2])
        sums = [number, *((counts * part).sum(1) for part in (values, values.square(), steps))]
        maxima = [(counts * (1 + sign * values)).amax(1) for sign in (1, -1)]
        return torch.stack([*sums, *maxima], 1)

    def pool(self, heard: Tensor) -> Tensor:
        """(N, SUMS + MAXIMA, values) -> statistics (N, pooled) in units of the training data."""
        number, total, squares, steps, highest, lowest = heard.unbind(1)
        number = number.clamp(min=1.0)
        mean = total / number
        deviation = (squares / number - mean.square()).clamp(min=_LEAST).sqrt()
        statistics = torch.cat([mean, deviation, steps / number, highest - 1, 1 - lowest], 1)
        return (statistics - self.centre) / self.spread

    def classify(self, pooled: Tensor, speaker: Tensor | None = None) -> Tensor:
        """(N, pooled), and the speaker (N, pooled) -> logits (N, classes)."""
        return self.classes(self.dropout(pooled if speaker is None else pooled - speaker))


def merged(one: Tensor, other: Tensor) -> Tensor:
    """What is remembered of two parts of a sound together, (N, SUMS + MAXIMA, values)."""
    return torch.cat([one[:, :SUMS] + other[:, :SUMS], torch.maximum(one[:, SUMS:], other[:, SUMS:])], 1)


def _inputs(config: VoiceConfig) -> tuple[Input, ...]:
    return (
        Input("mel", SOUND, (BANDS, config.hop), sample_rate_hz=SAMPLE_RATE_HZ, features=dict(FEATURES)),
        Input("state", STATE, (2 * config.layers, config.hidden)),
        Input("heard", STATE, (SUMS + MAXIMA, config.values)),
        Input("speaker", STATE, (config.pooled,)),
    )


def _outputs(config: VoiceConfig) -> tuple[Output, ...]:
    return (
        Output("logits", LOGITS, (config.num_classes,)),
        Output("pooled", EMBEDDING, (config.pooled,)),
        Output("hop", STATE, (SUMS + MAXIMA, config.values)),
        Output("state_after", STATE, (2 * config.layers, config.hidden)),
    )


ARCHITECTURE = Architecture("voice", VoiceConfig, VoiceNetwork, _inputs, _outputs, {"voice": VoiceConfig()})
