"""Frames in, estimates out: image -> faces -> tracks -> crops (one batch) -> network -> smoothing -> estimates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotion_core.parameters import CheckedConfig, parameter
from emotion_core.pipeline.cadence import Cadence
from emotion_core.pipeline.smoothing import Smoother
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.types import EmotionEstimate, Face, Picture
from emotion_core.vision.crop import crop_batch
from emotion_core.vision.detect import DETECTORS, FaceDetector, create_detector
from emotion_core.vision.track import IouTracker


@dataclass(frozen=True)
class FacialConfig(CheckedConfig):
    """Everything that can be set about estimating emotions from faces; raises EmotionError for a bad value."""

    model: str = parameter(DEFAULT_MODEL, "Name of a bundled or downloaded model, or the path of an ONNX file.")
    detector: str = parameter(
        "auto",
        "Face detector; auto takes YuNet when its file is in the model store, else Haar.",
        choices=DETECTORS,
    )
    detection_size: int = parameter(
        320,
        "Faces are searched in the image shrunk to this many pixels on its longer side.",
        low=64,
        high=4096,
        read_only=False,
    )
    min_score: float = parameter(0.7, "Detections with a lower score are ignored.", low=0.0, high=1.0, read_only=False)
    max_faces: int = parameter(
        16, "Only this many of the largest faces are classified.", low=1, high=256, read_only=False
    )
    min_iou: float = parameter(
        0.3,
        "Least overlap of a face with its place in the last frame to be the same person.",
        low=0.05,
        high=0.95,
        read_only=False,
    )
    max_gap_s: float = parameter(
        0.5,
        "A person unseen for this many seconds, and for three frames, is forgotten and gets a new id.",
        low=0.0,
        high=60.0,
        read_only=False,
    )
    smoothing_s: float = parameter(
        0.25,
        "Time constant in seconds of the smoothing of each person's values; 0 switches it off.",
        low=0.0,
        high=60.0,
        read_only=False,
    )
    threads: int = parameter(
        1, "CPU threads of the network; 0 takes all cores that this process may use.", low=0, high=256
    )


class FacialPipeline:
    """Estimates emotions in a stream of frames; keeps one track and one smoothing state for each person.

    Args:
        config: see FacialConfig.
        detector, classifier: in place of the ones that the configuration names.
        first_id: number of the first person. Pass ``next_id`` of the pipeline that this one takes over from: ids are
            never used twice.

    Raises:
        EmotionError: the model or the detector cannot be loaded.
    """

    def __init__(
        self,
        config: FacialConfig | None = None,
        detector: FaceDetector | None = None,
        classifier: Classifier | None = None,
        first_id: int = 1,
    ) -> None:
        self.config = config = config or FacialConfig()
        self.detector = detector or create_detector(config.detector, config.detection_size, config.min_score)
        self.classifier = classifier or Classifier.load(config.model, config.threads)
        self._start(first_id)

    @property
    def next_id(self) -> int:
        """Number of the next new person."""
        return self._tracker.next_id

    @property
    def gap_s(self) -> float:
        """The longest time in seconds that a person may be unseen, at the rate at which frames come."""
        return self._cadence.gap_s

    def reconfigure(self, config: FacialConfig) -> None:
        """Take over new settings and forget everybody; network and detector stay unless the latter's settings changed.

        Raises:
            EmotionError: the detector cannot be loaded; everything is then as it was.
        """
        old = self.config
        if (old.detector, old.detection_size, old.min_score) != (
            config.detector,
            config.detection_size,
            config.min_score,
        ):
            self.detector = create_detector(config.detector, config.detection_size, config.min_score)
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forget everybody; ids go on counting."""
        self._start(self.next_id)

    def _start(self, first_id: int) -> None:
        self._cadence = Cadence(self.config.max_gap_s)
        self._tracker = IouTracker(self.config.min_iou, self.config.max_gap_s, first_id)
        self._smoother = Smoother(self.config.smoothing_s, self.config.max_gap_s)

    def process(self, image: Picture, stamp_s: float) -> list[EmotionEstimate]:
        """Estimates for one frame, the largest face first.

        Args:
            image: (H, W, 3) uint8, BGR.
            stamp_s: time of the frame in seconds; the only clock there is. Where it stands still nothing is smoothed.
                A frame that comes late, within ``gap_s``, changes nobody's state; a larger step back, or frames that
                are late for longer than that, forget everybody.
        """
        self._tracker.max_gap_s = self._smoother.max_gap_s = self._cadence.update(stamp_s)
        faces = self.detector.detect(image)[: self.config.max_faces]
        tracks = self._tracker.update(faces, stamp_s)
        self._smoother.forget_except({track.track_id for track in self._tracker.tracks})
        if not faces:
            return []
        probabilities, affect = self._classify(image, faces)
        estimates = []
        for face, track, p, va in zip(faces, tracks, probabilities, affect, strict=True):
            value = self._smoother.update(track.track_id, np.concatenate([p, va]), stamp_s)
            estimates.append(self._estimate(face, track.track_id, value, stamp_s))
        return estimates

    def _classify(self, image: Picture, faces: Sequence[Face]) -> tuple[np.ndarray, np.ndarray]:
        card = self.classifier.card
        batch = crop_batch(image, faces, card.face, self.detector.framing)
        output = self.classifier(batch)
        return output.probabilities, output.affect

    def _estimate(self, face: Face, track_id: str, value: np.ndarray, stamp_s: float) -> EmotionEstimate:
        count = len(self.classifier.card.labels)
        return EmotionEstimate(
            stamp_s=stamp_s,
            labels=self.classifier.card.labels,
            probabilities=tuple(value[:count].tolist()),
            valence=float(value[count]),
            arousal=float(value[count + 1]),
            face=face,
            track_id=track_id,
            model=self.classifier.card.name,
        )
