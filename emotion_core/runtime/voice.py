"""A voice network on a stream of mel frames, and what it knows of a speaker."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.ensemble import softmax
from emotion_core.store.card import SOUND
from emotion_core.store.finding import find_model

SUMS = 4
"""Rows of what is remembered that add up; of the others the larger value counts."""
INPUTS = ("mel", "state", "heard", "speaker")
SHRINK = 2.0
"""Utterances of a speaker after which their mean counts as much as that of everybody."""


class Speaker:
    """Mean of the statistics of what one speaker said so far, drawn towards that of everybody, which is zero.

    Args:
        size: number of statistics, the length of ``VoiceOpinion.pooled``.
        shrink: see SHRINK.

    Attributes:
        count: utterances heard.
    """

    def __init__(self, size: int, shrink: float = SHRINK) -> None:
        if shrink <= 0:
            raise EmotionError(f"shrink must be above 0, got {shrink}")
        self.shrink, self.count = shrink, 0
        self._total = np.zeros(size)

    def add(self, pooled: NDArray[np.floating]) -> None:
        """Remember an utterance, (size,); call it when all of it was judged."""
        self.count += 1
        self._total += pooled

    @property
    def known(self) -> NDArray[np.float32]:
        """(size,): what the network takes off, its input ``speaker``; zeros before the first utterance."""
        return (self._total / (self.count + self.shrink)).astype(np.float32)


@dataclass(frozen=True)
class VoiceOpinion:
    """What a voice says.

    Attributes:
        probabilities: (classes,) float64, sums to 1.
        pooled: (size,) float32, the statistics, for ``Speaker.add``.
        frames: how many of the frames were loud enough to count; with none the probabilities mean nothing.
    """

    probabilities: NDArray[np.float64]
    pooled: NDArray[np.float32]
    frames: int


class VoiceModel:
    """An exported voice network.

    Args:
        path: its ONNX file.
        threads: see ``Classifier``.

    Raises:
        EmotionError: the file is missing or damaged, or holds another kind of network.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.network = Classifier(path, threads)
        card = self.card = self.network.card
        shapes = {item.name: item.shape for item in card.inputs}
        if tuple(shapes) != INPUTS or card.inputs[0].kind != SOUND:
            wanted = ", ".join(INPUTS)
            raise EmotionError(f"{card.name} takes {', '.join(shapes)}: expected a voice network, which takes {wanted}")
        self._shapes = shapes
        self.bands, self.hop = shapes["mel"]
        self.size = shapes["speaker"][0]

    @classmethod
    def load(cls, model: str | Path, threads: int = 1) -> VoiceModel:
        """Load a model by its name or path; see ``find_model``."""
        return cls(find_model(model), threads)

    def speaker(self, shrink: float = SHRINK) -> Speaker:
        """Somebody of whom nothing was heard."""
        return Speaker(self.size, shrink)

    def stream(self, window: int | None = None) -> VoiceStream:
        """A sound that begins now; see ``VoiceStream``."""
        return VoiceStream(self, window)

    def utterance(self, mel: NDArray[np.float32], speaker: Speaker | None = None) -> VoiceOpinion:
        """Judge a whole utterance.

        Args:
            mel: (bands, frames) float32, frames ≥ 1, see ``emotion_core.audio.mel.mel_frames``.
            speaker: who said it; not changed.

        Raises:
            EmotionError: it has no frames, or another number of bands.
        """
        return self._hear_all(mel, speaker)[1]

    def remember(self, mel: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What is kept of a whole utterance for ``judge``, (1, rows, values), and its statistics (size,)."""
        stream, opinion = self._hear_all(mel, None)
        return stream.heard, opinion.pooled

    def judge(self, heard: NDArray[np.float32], speakers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (N, classes) of utterances that ``remember`` has heard, of speakers (N, size) that are known."""
        count = len(heard)
        mel, state = (np.repeat(self.empty(name), count, 0) for name in ("mel", "state"))
        return self.network.run({"mel": mel, "state": state, "heard": heard, "speaker": speakers})["logits"]

    def _hear_all(self, mel: NDArray[np.float32], speaker: Speaker | None) -> tuple[VoiceStream, VoiceOpinion]:
        try:
            mel = np.asarray(mel, np.float32)
        except (TypeError, ValueError):
            raise EmotionError(f"{self.card.name} takes mel frames, got {type(mel).__name__}") from None
        if mel.ndim != 2 or mel.shape[0] != self.bands or not mel.shape[1]:
            raise EmotionError(f"{self.card.name} takes mel frames of shape ({self.bands}, n), got {mel.shape}")
        stream = self.stream()
        for start in range(0, mel.shape[1], self.hop):
            part = mel[:, start : start + self.hop]
            opinion = stream.hear(np.pad(part, ((0, 0), (0, self.hop - part.shape[1]))), speaker)
        return stream, opinion

    def empty(self, name: str) -> NDArray[np.float32]:
        """Zeros (1, ...) for an input."""
        return np.zeros((1, *self._shapes[name]), np.float32)


class VoiceStream:
    """One sound, hop by hop; a hop costs a hop, however long the window is.

    Args:
        model: may serve many streams.
        window: number of hops, the current one included, that an opinion is about; None: all.

    Raises:
        EmotionError: the window is empty.
    """

    def __init__(self, model: VoiceModel, window: int | None = None) -> None:
        if window is not None and window < 1:
            raise EmotionError(f"a window of {window} hops, expected at least 1")
        self.model, self.window = model, window
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._state = self.model.empty("state")
        self._hops: deque[NDArray[np.float32]] = deque(maxlen=None if self.window is None else self.window - 1)

    @property
    def heard(self) -> NDArray[np.float32]:
        """What is remembered of the earlier hops that count, (1, rows, values); zeros for none."""
        heard = self.model.empty("heard")
        for hop in self._hops:
            heard = merged(heard, hop)
        return heard

    def hear(self, mel: NDArray[np.float32], speaker: Speaker | None = None) -> VoiceOpinion:
        """Judge the window that ends with this hop, (bands, hop) float32."""
        model, heard = self.model, self.heard
        known = model.empty("speaker") if speaker is None else speaker.known[None]
        result = model.network.run({"mel": mel[None], "state": self._state, "heard": heard, "speaker": known})
        self._state = result["state_after"]
        if self.window is None:  # all of them in one
            self._hops = deque([merged(heard, result["hop"])])
        else:
            self._hops.append(result["hop"])
        frames = round(float(heard[0, 0, 0] + result["hop"][0, 0, 0]))
        return VoiceOpinion(softmax(result["logits"][0]), result["pooled"][0], frames)


def merged(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is remembered of two parts of a sound together, (1, rows, values): see ``emotion_core.models.voice``."""
    return np.concatenate([one[:, :SUMS] + other[:, :SUMS], np.maximum(one[:, SUMS:], other[:, SUMS:])], 1)
