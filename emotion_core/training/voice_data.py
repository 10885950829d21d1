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
from emotion_core.runtime.voice import spoken
from emotion_core.training.voice_augment import VoiceAugmentConfig, change_mel, change_sound

Mel = NDArray[np.float32]


class Utterances(Dataset):
    """Mel frames (bands, n) of recordings, without the silence before and after.

    Args:
        voices: the recordings.
        gate: frames whose mean power over the bands is below are silence, as the network has it.
        augment: how they are changed; None leaves them as they are.
        seed: decides the changes, together with an utterance's index.
        longest: a random part of so many frames is taken of longer ones; None takes all.
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
        mel = spoken(mel_frames(samples, SAMPLE_RATE_HZ), self.gate)
        if self.longest is not None and mel.shape[1] > self.longest:
            start = int(rng.integers(mel.shape[1] - self.longest + 1))
            mel = mel[:, start : start + self.longest]
        return mel if self.augment is None else change_mel(mel, self.augment, rng)


def padded(mels: Sequence[Mel]) -> Tensor:
    """(N, bands, frames of the longest), filled up with zeros, which count for nothing."""
    longest = max(mel.shape[1] for mel in mels)
    return torch.from_numpy(np.stack([np.pad(mel, ((0, 0), (0, longest - mel.shape[1]))) for mel in mels]))
