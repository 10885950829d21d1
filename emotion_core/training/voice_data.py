"""Utterances as the voice network takes them, as they are or changed at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from emotion_core.audio.mel import mel_frames
from emotion_core.data.voices import Voices
from emotion_core.media.sound import read_sound
from emotion_core.models.voice import SAMPLE_RATE_HZ
from emotion_core.training.voice_augment import VoiceAugmentConfig, change_mel, change_sound

Mel = NDArray[np.float32]


class Utterances(Dataset):
    """Mel frames (bands, n) of recordings.

    Args:
        voices: the recordings.
        gate: frames whose mean power over the bands is below are silence, as the network has it.
        augment: how they are changed; None leaves them as they are.
        seed: decides the changes, together with an utterance's index.
        longest: most frames; a random part is taken of what is longer without the silence before and after. None takes
            all, with that silence, in which the encoder gets used to the room.
    """

    def __init__(
        self,
        voices: Voices,
        gate: float,
        augment: VoiceAugmentConfig | None = None,
        seed: int = 0,
        longest: int | None = None,
    ) -> None:
        self.voices, self.gate, self.augment, self.seed, self.longest = voices, gate, augment, seed, longest

    def __len__(self) -> int:
        return len(self.voices)

    def __getitem__(self, index: int) -> Mel:
        """Mel frames of one utterance; raises EmotionError when its file cannot be read."""
        samples = read_sound(self.voices.path(index), SAMPLE_RATE_HZ).samples
        rng = np.random.default_rng((self.seed, index))
        if self.augment is not None:
            samples = change_sound(samples, SAMPLE_RATE_HZ, self.augment, rng)
        mel = mel_frames(samples, SAMPLE_RATE_HZ)
        if self.longest is not None:
            mel = spoken(mel, self.gate)
            start = int(rng.integers(max(0, mel.shape[1] - self.longest) + 1))
            mel = mel[:, start : start + self.longest]
        return mel if self.augment is None else change_mel(mel, self.augment, rng)


def spoken(mel: NDArray[np.float32], gate: float) -> NDArray[np.float32]:
    """The frames of (bands, n) from the first to the last whose mean power is at least ``gate``; all where none is."""
    loud = np.flatnonzero(mel.mean(0) >= gate)
    return mel[:, loud[0] : loud[-1] + 1] if len(loud) else mel


def padded(mels: Sequence[Mel]) -> Tensor:
    """(N, bands, frames of the longest), filled up with zeros, which count for nothing."""
    longest = max(mel.shape[1] for mel in mels)
    return torch.from_numpy(np.stack([np.pad(mel, ((0, 0), (0, longest - mel.shape[1]))) for mel in mels]))
