"""The audiovisual network for streams: one new frame at a time, and what is known of the frames of the window.

The same weights as ``models.audiovisual``, and the same answer. A frame is looked at once: its features come out, and
go in again as long as the frame is one of the window's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from emotion_core.models.audiovisual import MFCC, Audiovisual, AudiovisualConfig
from emotion_core.models.efficientface import FEATURES
from emotion_core.models.registry import Architecture, describe, entry_of
from emotion_core.store.card import EMBEDDING, FACE, LOGITS, SOUND, STATE, Framing, Input, ModelCard, Output


@dataclass(frozen=True)
class StreamConfig(AudiovisualConfig):
    """As AudiovisualConfig."""


class StreamOutput(NamedTuple):
    """``logits`` (N, classes) of the window, and ``feature`` (N, FEATURES) of the new frame."""

    logits: Tensor
    feature: Tensor


class AudiovisualStream(Audiovisual):
    """See the module."""

    def __init__(self, config: StreamConfig | None = None) -> None:
        super().__init__(config or StreamConfig())

    def forward(self, faces: Tensor, features: Tensor, sound: Tensor) -> StreamOutput:  # type: ignore[override]
        """See the next frame.

        Args:
            faces: (N, 3, image_size, image_size) float32 BGR in [0, 1], the new frame.
            features: (N, frames, FEATURES) of the window's frames; what ``feature`` was for each of them.
            sound: (N, coefficients, steps) float32 MFCC of the window.
        """
        return StreamOutput(self.classify(features, sound), self.visual_model.features(faces))


def as_stream(model: Audiovisual, card: ModelCard) -> tuple[AudiovisualStream, ModelCard]:
    """A network for streams with the weights of one for clips, and its card."""
    stream = AudiovisualStream(StreamConfig(**model.config.to_dict()))
    stream.load_state_dict(model.state_dict())
    name = f"{card.name}_stream"
    described = describe(
        entry_of(stream), name, card.labels, card.licence, training=card.training, results=card.results,
        notes=card.notes,
    )  # fmt: skip
    return stream.eval(), described


def _inputs(config: StreamConfig) -> tuple[Input, ...]:
    side = config.image_size
    features = {**MFCC, "n_mfcc": config.coefficients, "window_s": config.window_s}
    sound = (config.coefficients, config.steps)
    return (
        Input("faces", FACE, (3, side, side), "bgr", framing=Framing("box")),
        Input("features", STATE, (config.frames, FEATURES)),
        Input("sound", SOUND, sound, sample_rate_hz=config.sample_rate_hz, features=features),
    )


def _outputs(config: StreamConfig) -> tuple[Output, ...]:
    return Output("logits", LOGITS, (config.num_classes,)), Output("feature", EMBEDDING, (FEATURES,))


ARCHITECTURE = Architecture("audiovisual_stream", StreamConfig, AudiovisualStream, _inputs, _outputs)
