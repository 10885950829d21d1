"""Frames and sound in, estimates out: the facial pipeline, the voice, and how they go together.

Time is an argument, and the stamps of pictures and sound are of one clock. Both may come in any order and at any rate.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.features import sound_features
from emotion_core.labels import translate
from emotion_core.parameters import parameter
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline, Sight
from emotion_core.pipeline.speaking import SpeakingFace
from emotion_core.pipeline.voice import HeardVoice, VoiceSense
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.clip_stream import ClipModel, ClipStream
from emotion_core.runtime.fusion import DEFAULT_FUSION, FaceNow, FusionCard, LateFusion, VoiceNow
from emotion_core.runtime.voice import VoiceModel
from emotion_core.store.finding import DEFAULT_VOICE
from emotion_core.types import FACE, VOICE, EmotionEstimate, Face, Picture
from emotion_core.vision.crop import crop_batch
from emotion_core.vision.detect import FaceDetector

MEMORY_S = 10.0
"""Pictures may lag so far behind the sound."""

_AHEAD_S = 0.25  # an opinion on sound that ends so far after a picture still belongs to it


@dataclass(frozen=True)
class AudiovisualConfig(FacialConfig):
    """Everything that can be set about estimating emotions from faces and a voice."""

    voice_model: str = parameter(
        DEFAULT_VOICE, "Name of a bundled or downloaded voice model, or the path of an ONNX file."
    )
    fusion: str = parameter(DEFAULT_FUSION, "Name of the late fusion, or the path of its card.")
    clip_model: str = parameter(
        "",
        "Name or path of an audiovisual network for streams, which judges face and voice together in place of the late "
        "fusion, once it has seen the face for its window; empty for the late fusion.",
    )
    voice_window_s: float = parameter(
        4.0, "How many seconds of the latest sound an opinion about the voice is about.", low=0.5, high=30.0
    )
    voice_hold_s: float = parameter(
        1.0, "An opinion about the voice counts for so many seconds.", low=0.5, high=10.0, read_only=False
    )
    speaker_norm: bool = parameter(
        False,
        "Learn how the speaker sounds on average, and judge by the difference; only where one person speaks.",
    )
    match_mouth: bool = parameter(
        True,
        "Give the voice to the face whose mouth moves with the sound; else to the largest.",
        read_only=False,
    )
    picture_timeout_s: float = parameter(
        0.5,
        "Without a picture for so many seconds, and three periods, the voice is told by itself.",
        low=0.1,
        high=60.0,
        read_only=False,
    )


_FIXED = ("voice_model", "fusion", "clip_model", "voice_window_s", "speaker_norm")


class AudiovisualPipeline:
    """Estimates emotions from a stream of frames and a stream of sound, from either alone too.

    Args:
        config: see AudiovisualConfig.
        detector, classifier, voice: in place of the ones that the configuration names.
        first_id: see FacialPipeline.

    Attributes:
        facial: the faces' part.
        voice: the voice's part; its ``counts`` tell what was wrong with the sound.

    Raises:
        EmotionError: a model, the detector or the fusion cannot be loaded, or they do not go together.
    """

    def __init__(
        self,
        config: AudiovisualConfig | None = None,
        detector: FaceDetector | None = None,
        classifier: Classifier | None = None,
        voice: VoiceModel | None = None,
        first_id: int = 1,
    ) -> None:
        self.config = config = config or AudiovisualConfig()
        self.facial = FacialPipeline(config, detector, classifier, first_id)
        self._voice_model = voice or VoiceModel.load(config.voice_model)
        self._clips = ClipModel.load(config.clip_model, config.threads) if config.clip_model else None
        self.voice = self._voice_sense()
        self._fuse(LateFusion(FusionCard.load(config.fusion), self.facial.classifier.card.labels, self.voice.labels))
        self._start()

    def _fuse(self, fusion: LateFusion) -> None:
        self.fusion, self.model = fusion, fusion.card.name
        if self._clips is not None:
            card = self._clips.card
            places = translate(card.labels, fusion.labels, card.name, self.config.model)
            self._clip_labels = np.eye(len(fusion.labels))[places]

    def _voice_sense(self) -> VoiceSense:
        also = () if self._clips is None else (self._clips.sound.sample_rate_hz,)
        return VoiceSense(self._voice_model, self.config.voice_window_s, self.config.speaker_norm, also)

    @property
    def next_id(self) -> int:
        """Number of the next new person."""
        return self.facial.next_id

    def check(self, config: AudiovisualConfig) -> bool:
        """See ``FacialPipeline.check``."""
        return self.facial.check(config)

    def prepare(self, config: AudiovisualConfig) -> Callable[[], None]:
        """Load what new settings need, in any thread; see ``FacialPipeline.prepare``.

        The models of the voice and of both, the fusion, ``voice_window_s`` and ``speaker_norm`` stay as they are.

        Raises:
            EmotionError: something cannot be loaded, or does not go with the rest; everything stays as it is.
        """
        change = self.facial.prepare(config)
        kept = {name: getattr(self.config, name) for name in _FIXED}
        fusion = self.fusion
        if change.classifier is not self.facial.classifier:
            fusion = LateFusion(fusion.card, change.classifier.card.labels, self.voice.labels)

        def take_over() -> None:
            self.config = replace(config, **kept)
            change()
            self._fuse(fusion)

        return take_over

    def reconfigure(self, config: AudiovisualConfig) -> None:
        """``prepare`` new settings and take them over."""
        self.prepare(config)()

    def reset(self) -> None:
        """Forget everybody and everything heard; ids go on counting."""
        self.facial.reset()
        self.voice = self._voice_sense()
        self._start()

    def _start(self) -> None:
        self._mouths = SpeakingFace()
        self._opinions: deque[HeardVoice] = deque()
        self._faces: dict[str, ClipStream] = {}
        self._picture_s = -math.inf
        self._restarts = 0

    def opinion(self, stamp_s: float) -> HeardVoice | None:
        """The newest opinion about the voice that counts at a time in seconds; None while nobody speaks."""
        found = [heard for heard in self._opinions if heard.stamp_s <= stamp_s + _AHEAD_S]
        return found[-1] if found and stamp_s - found[-1].stamp_s <= self.config.voice_hold_s else None

    def see(
        self, image: Picture, stamp_s: float, given: Sequence[tuple[str, Face]] | None = None
    ) -> list[EmotionEstimate]:
        """Estimates for one frame, the largest face first; see ``FacialPipeline.process``.

        One of the faces gets the voice. Where nobody is seen and somebody is heard there is one estimate without a
        face; where neither is there is none. As with faces alone, it is ``judge(look(…))``.
        """
        return self.judge(self.facial.look(image, stamp_s, given))

    def look(self, image: Picture, stamp_s: float) -> Sight:
        """See ``FacialPipeline.look``."""
        return self.facial.look(image, stamp_s)

    def judge(self, sight: Sight) -> list[EmotionEstimate]:
        """The second half of ``see``, which is described there."""
        image, stamp_s = sight.image, sight.stamp_s
        estimates = self.facial.judge(sight)
        if not self._picture_s - self.facial.gap_s <= stamp_s <= self._picture_s:  # a late one tells nothing new
            self._picture_s = stamp_s
        if self.config.match_mouth:
            self._mouths.update(image, stamp_s, estimates)
        heard = self.opinion(stamp_s)
        if not estimates:
            return [] if heard is None else [self._voice_alone(heard, stamp_s)]
        speaker = self._mouths.speaker(self._loudness) if self.config.match_mouth and len(estimates) > 1 else ""
        chosen = next((i for i, e in enumerate(estimates) if speaker and e.track_id == speaker), 0)
        both = None if self._clips is None else self._clip(image, stamp_s, estimates[chosen], heard)
        if heard is None:
            return estimates  # the clip network has seen the frame, for later
        estimate = both or self._both(estimates[chosen], heard)
        return [estimate if i == chosen else e for i, e in enumerate(estimates)]

    def hear(self, sound: NDArray[Any], rate_hz: int, stamp_s: float) -> list[EmotionEstimate]:
        """Hear a chunk; see ``VoiceSense.push``.

        Returns:
            Estimates from the voice alone, stamped with the end of what they are about, while no pictures come.

        Raises:
            EmotionError: the chunk is none; it is counted, and nothing changes.
        """
        found = self.voice.push(sound, rate_hz, stamp_s)
        if self.voice.counts.restarts != self._restarts:  # another clock: what was said before is of no known time
            self._restarts = self.voice.counts.restarts
            self._opinions.clear()
            if self._picture_s > stamp_s:
                self._picture_s = -math.inf
        for heard in found:
            while self._opinions and self._opinions[0].stamp_s < heard.stamp_s - MEMORY_S:
                self._opinions.popleft()
            self._opinions.append(heard)
        return [self._voice_alone(h, h.stamp_s) for h in found if h.stamp_s - self._picture_s > self._timeout_s]

    @property
    def _timeout_s(self) -> float:
        return max(self.config.picture_timeout_s, self.facial.gap_s)

    def _loudness(self, start_s: float, end_s: float) -> float:
        samples = self.voice.window(end_s - start_s, end_s)
        return float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if len(samples) else 0.0

    def _both(self, estimate: EmotionEstimate, heard: HeardVoice) -> EmotionEstimate:
        face = estimate.face
        assert face is not None
        detector = self.facial.detector
        seen = FaceNow(
            np.array(estimate.probabilities), detector.framing * face.box.area**0.5, face.score, detector.name
        )
        fused = self.fusion(seen, VoiceNow(heard.probabilities, heard.speech_s, heard.snr_db))
        return replace(
            estimate, probabilities=tuple(fused.tolist()), model=self.model, modalities=FACE | VOICE, label=""
        )

    def _clip(
        self, image: Picture, stamp_s: float, estimate: EmotionEstimate, heard: HeardVoice | None
    ) -> EmotionEstimate | None:
        """What the clip network says of a face and the voice; None while it has not seen enough of the face."""
        assert self._clips is not None and estimate.face is not None
        self._faces = {estimate.track_id: self._faces.get(estimate.track_id) or self._clips.stream()}
        crop = crop_batch(image, [estimate.face], self._clips.face, self.facial.detector.framing)[0]
        sound = None
        if heard is not None:
            item = self._clips.sound
            end_s = min(stamp_s, self.voice.end_s(item.sample_rate_hz))  # sound comes later than its picture
            samples = self.voice.window(self._clips.window_s, end_s, item.sample_rate_hz)
            sound = sound_features(samples, item.sample_rate_hz, item)
        said = self._faces[estimate.track_id].see(crop, stamp_s, sound)
        if said is None:
            return None
        return replace(
            estimate,
            probabilities=tuple((said @ self._clip_labels).tolist()),
            model=self._clips.card.name,
            modalities=FACE | VOICE,
            label="",
        )

    def _voice_alone(self, heard: HeardVoice, stamp_s: float) -> EmotionEstimate:
        said = self.fusion.voice(heard.probabilities)
        return EmotionEstimate(
            stamp_s=stamp_s,
            labels=self.fusion.labels,
            probabilities=tuple(said.tolist()),
            model=self._voice_model.card.name,
            modalities=VOICE,
        )
