"""The settings of an annotation, the models loaded once for many recordings, and what they are, told exactly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from numpy.typing import NDArray

from emotion_core.parameters import parameter
from emotion_core.pipeline.audiovisual import AudiovisualConfig, AudiovisualPipeline
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.fusion import FusionCard
from emotion_core.runtime.voice import VoiceModel
from emotion_core.store.files import sha256
from emotion_core.store.finding import KNOWN_FILES, find_model, known_files_here
from emotion_core.types import EmotionEstimate, Picture
from emotion_core.vision.detect import create_detector

Settings = dict[str, Any]
"""Everything that decides what is estimated, as JSON holds it: settings, and the hashes of the models."""


@dataclass(frozen=True)
class AnnotateConfig(AudiovisualConfig):
    """Everything that can be set about annotating; raises EmotionError for a bad value."""

    audio: bool = parameter(False, "Hear the sound of the recordings, too.")
    topics: str = parameter("", "Which topics of bags, blanks between them; empty for the only ones of their kind.")
    every: int = parameter(1, "Only each so many-th picture is looked at.", low=1, high=1_000_000)


class Engine:
    """The models, from which each recording gets a pipeline of its own: nothing passes from one to the next.

    Args:
        config: see AnnotateConfig.

    Attributes:
        settings: see Settings; computers with equal ones estimate alike.

    Raises:
        EmotionError: a model is not here or damaged.
    """

    def __init__(self, config: AnnotateConfig) -> None:
        self.config = config
        self._detector = create_detector(config.detector, config.detection_size, config.min_score, config.threads)
        self._classifier = Classifier.load(config.model, config.threads, config.provider, config.prior)
        self._voice = VoiceModel.load(config.voice_model) if config.audio else None
        self.settings = self._settings()

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the estimates."""
        return self._classifier.card.labels

    @property
    def model(self) -> str:
        """Name of the facial model."""
        return self._classifier.card.name

    def senses(self) -> Senses:
        """A pipeline for one recording."""
        return Senses(self.config, self._detector, self._classifier, self._voice)

    def _settings(self) -> Settings:
        config = self.config
        names = [field.name for field in fields(AnnotateConfig if config.audio else FacialConfig)]
        settings = {name: getattr(config, name) for name in (*names, "audio", "topics", "every") if name != "threads"}
        settings |= {"model": self.model, "model_sha256": sha256(find_model(config.model))}
        settings["detector"] = self._detector.name
        if self._detector.name == "yunet":  # of which there are several, and the first that is here counts
            settings["detector_file"] = next(n for n in known_files_here() if KNOWN_FILES[n].kind == "yunet")
        if config.audio:
            settings["voice_model_sha256"] = sha256(find_model(config.voice_model))
            card = json.dumps(asdict(FusionCard.load(config.fusion)), sort_keys=True)
            settings["fusion_sha256"] = hashlib.sha256(card.encode()).hexdigest()
            if config.clip_model:
                settings["clip_model_sha256"] = sha256(find_model(config.clip_model))
        return settings


class Senses:
    """What sees, and with a voice model hears, one recording."""

    def __init__(self, config: AnnotateConfig, detector: Any, classifier: Classifier, voice: VoiceModel | None) -> None:
        self._both = None if voice is None else AudiovisualPipeline(config, detector, classifier, voice)
        self._facial = FacialPipeline(config, detector, classifier) if self._both is None else self._both.facial

    def see(self, image: Picture, stamp_s: float) -> Sequence[EmotionEstimate]:
        """See ``AudiovisualPipeline.see`` and ``FacialPipeline.process``."""
        return (self._both.see if self._both else self._facial.process)(image, stamp_s)

    def hear(self, sound: NDArray[Any], rate_hz: int, stamp_s: float) -> Sequence[EmotionEstimate]:
        """See ``AudiovisualPipeline.hear``."""
        return self._both.hear(sound, rate_hz, stamp_s) if self._both else ()


def differences(old: Settings, new: Settings) -> str:
    """What differs between two settings, for a person: ``every 1 -> 2, model esr_compact -> mine``."""
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    return ", ".join(f"{name} {_short(old.get(name))} -> {_short(new.get(name))}" for name in names)


def _short(value: object) -> str:
    return "none" if value is None else str(value)[:24]
