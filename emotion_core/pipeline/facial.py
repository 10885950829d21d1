"""Frames in, estimates out: image -> faces -> tracks -> crops (one batch) -> network -> smoothing -> estimates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotion_core.cores import bound_opencv
from emotion_core.errors import EmotionError
from emotion_core.media.given import as_picture
from emotion_core.parameters import CheckedConfig, parameter
from emotion_core.pipeline.cadence import Cadence
from emotion_core.pipeline.finding import FaceFinder, GivenFaces, largest
from emotion_core.pipeline.smoothing import Smoother
from emotion_core.runtime.classifier import PROVIDERS, Classifier
from emotion_core.store.calibration import Calibration, parse_prior
from emotion_core.store.ensemble import ENSEMBLE, model_card
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.types import EmotionEstimate, Face, Picture
from emotion_core.vision.crop import crop_inputs
from emotion_core.vision.detect import DETECTORS, FaceDetector, create_detector
from emotion_core.vision.quality import judged
from emotion_core.vision.regions import Regions
from emotion_core.vision.track import IouTracker
from emotion_core.vision.yunet import YunetDetector


@dataclass(frozen=True)
class FacialConfig(CheckedConfig):
    """Everything that can be set about estimating emotions from faces; raises EmotionError for a bad value."""

    model: str = parameter(
        DEFAULT_MODEL,
        "Name of a bundled or downloaded model, or the path of an ONNX file or ensemble.",
        read_only=False,
    )
    provider: str = parameter(
        "auto",
        "What runs the network: auto takes CUDA where it starts, else the CPU; tensorrt builds its engine once.",
        choices=tuple(PROVIDERS),
        read_only=False,
    )
    prior: str = parameter(
        "",
        "How frequent each class is expected: uniform, learned (as in the model's data), or a number for each label; "
        "empty: as the model's card has it.",
        read_only=False,
    )
    detector: str = parameter(
        "auto",
        "Face detector; auto takes YuNet when its file is in the model store, else Haar.",
        choices=DETECTORS,
        read_only=False,
    )
    detect_every: int = parameter(
        3,
        "Faces are searched in every n-th frame and followed by optical flow in between.",
        low=1,
        high=30,
        read_only=False,
    )
    detection_size: int = parameter(
        320,
        "Faces are searched in the image shrunk to this many pixels on its longer side.",
        low=64,
        high=4096,
        read_only=False,
    )
    min_score: float = parameter(0.7, "Detections with a lower score are ignored.", low=0.0, high=1.0, read_only=False)
    min_face_px: int = parameter(
        0, "Faces whose shorter side has fewer pixels are ignored.", low=0, high=4096, read_only=False
    )
    regions: str = parameter(
        "",
        "Where faces count: x y width height as shares of the picture, more behind semicolons; empty for all of it.",
        read_only=False,
    )
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
        1,
        "CPU threads of detector and network; 0 takes all cores that this process may use.",
        low=0,
        high=256,
        read_only=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        Regions.parse(self.regions)


@dataclass(frozen=True)
class Sight:
    """A frame in which faces have been found, and not been judged yet.

    Attributes:
        image: (H, W, 3) uint8, BGR.
        stamp_s: its time.
        faces: in it, the largest first.
        people: whose they are, where somebody else follows them.
        gap_s: the longest time in seconds that a person may be unseen, at the rate at which frames come.
    """

    image: Picture
    stamp_s: float
    faces: Sequence[Face]
    people: Sequence[str] | None
    gap_s: float


class FacialPipeline:
    """Estimates emotions in a stream of frames; keeps one track and one smoothing state for each person.

    ``process`` is ``judge(look(…))``. One thread may look ahead while another judges, each frame after frame.

    OpenCV's threads, of which a process has one pool, are bounded by ``threads``.

    Args:
        config: see FacialConfig.
        detector, classifier: in place of the ones that the configuration names. The detector gets whole frames.
        first_id: number of the first person. Pass ``next_id`` of the pipeline that this one takes over from: ids are
            never used twice.

    Attributes:
        gap_s: the longest time in seconds that a person may be unseen, at the rate at which frames came.

    Raises:
        EmotionError: the model or the detector cannot be loaded, or an argument is none of its kind.
    """

    gap_s: float
    _tracker: IouTracker

    def __init__(
        self,
        config: FacialConfig | None = None,
        detector: FaceDetector | None = None,
        classifier: Classifier | None = None,
        first_id: int = 1,
    ) -> None:
        self.config = config = config or FacialConfig()
        _check_parts(config, detector, classifier)
        bound_opencv(config.threads)
        self._own_detector = detector is None
        self.detector = detector or _make_detector(config)
        self.classifier = classifier or Classifier.load(config.model, config.threads, config.provider, config.prior)
        self._finder = self._make_finder()
        self._start(first_id)

    @property
    def next_id(self) -> int:
        """Number of the next new person."""
        return self._tracker.next_id

    def check(self, config: FacialConfig) -> bool:
        """Whether ``prepare`` would have to load something; it looks at no more than the new model's card.

        Raises:
            EmotionError: there is no such model, or the prior is not one for it.
        """
        if (config.model, config.prior) != (self.config.model, self.config.prior):
            card = model_card(config.model)
            if config.prior and card.architecture.get("type") == ENSEMBLE:
                parse_prior(config.prior, card.labels)  # what its members can do is known when they are loaded
            elif config.prior:
                Calibration.from_dict(card.calibration).offsets(config.prior, card.labels)
        return self._other_network(config) or self._other_detector(config)

    def prepare(self, config: FacialConfig) -> FacialChange:
        """Load what new settings need, in any thread; nobody waits for it.

        Returns:
            What takes them over, to be called between two frames. Nobody is forgotten; with another network the
            smoothing starts anew.

        Raises:
            EmotionError: the model or the detector cannot be loaded; everything stays as it is.
        """
        detector, classifier, own = self.detector, self.classifier, self._own_detector
        if self._other_detector(config):
            detector, own = _make_detector(config), True
        if self._other_network(config):
            classifier = Classifier.load(config.model, config.threads, config.provider, config.prior)
        return FacialChange(self, config, detector, classifier, own)

    def _take_over(self, change: FacialChange) -> None:
        config = change.config
        bound_opencv(config.threads)
        if change.classifier is not self.classifier:
            self._smoother = Smoother(config.smoothing_s, self.gap_s)
        self.config, self.classifier = config, change.classifier
        self.detector, self._own_detector = change.detector, change.own_detector
        self._finder = self._make_finder()
        self._cadence.max_gap_s = config.max_gap_s
        self.gap_s = self._cadence.gap_s
        self._tracker.min_iou, self._smoother.time_constant_s = config.min_iou, config.smoothing_s

    def reconfigure(self, config: FacialConfig) -> None:
        """``prepare`` new settings and take them over."""
        self.prepare(config)()

    def reset(self) -> None:
        """Forget everybody; ids go on counting."""
        self._finder.reset()
        self._start(self.next_id)

    def process(
        self, image: Picture, stamp_s: float, given: Sequence[tuple[str, Face]] | None = None
    ) -> list[EmotionEstimate]:
        """Estimates for one frame, the largest face first.

        Args:
            image: (H, W, 3) uint8, BGR, or whatever else ``as_picture`` takes.
            stamp_s: time of the frame in seconds; the only clock there is. Where it stands still nothing is smoothed.
                A frame that comes late, within ``gap_s``, changes nobody's state; a larger step back, or frames that
                are late for longer than that, forget everybody.
            given: the faces in it and whose they are, where somebody else finds and follows them.

        Raises:
            EmotionError: the image is no picture, the stamp no finite number, or what is given no faces; nobody's
                state changes.
        """
        return self.judge(self.look(image, stamp_s, given))

    def look(self, image: Picture, stamp_s: float, given: Sequence[tuple[str, Face]] | None = None) -> Sight:
        """The first half of ``process``, which see: find the faces."""
        image = as_picture(image)
        gap_s = self._cadence.update(stamp_s)
        if given is None:
            return Sight(image, stamp_s, self._finder.find(image, stamp_s), None, gap_s)
        found = largest(given, self.config.max_faces)
        return Sight(image, stamp_s, [face for _, face in found], [person for person, _ in found], gap_s)

    def judge(self, sight: Sight) -> list[EmotionEstimate]:
        """The second half of ``process``, which see: follow whoever was found, and say what the faces show."""
        image, stamp_s, faces, people = sight.image, sight.stamp_s, sight.faces, sight.people
        self.gap_s = self._smoother.max_gap_s = self._tracker.max_gap_s = sight.gap_s
        if people is None:
            people = [track.track_id for track in self._tracker.update(faces, stamp_s)]
            self._smoother.forget_except({track.track_id for track in self._tracker.tracks})
        else:
            self._smoother.forget_except(set(people))
        if not faces:
            return []
        batches = crop_inputs(image, faces, self.classifier.card.faces, self.detector.framing)
        faces = judged(faces, batches[0], self.detector.framing, self.detector.name)
        output = self.classifier(*batches)
        estimates = []
        for face, person, p, va in zip(faces, people, output.probabilities, output.affect, strict=True):
            value = self._smoother.update(person, np.concatenate([p, va]), stamp_s)
            estimates.append(self._estimate(face, person, value, stamp_s))
        return estimates

    def _start(self, first_id: int) -> None:
        self._cadence = Cadence(self.config.max_gap_s)
        self.gap_s = self._cadence.gap_s
        self._tracker = IouTracker(self.config.min_iou, self.config.max_gap_s, first_id)
        self._smoother = Smoother(self.config.smoothing_s, self.config.max_gap_s)

    def _make_finder(self) -> FaceFinder:
        config, size = self.config, self.config.detection_size if self._own_detector else None
        regions = Regions.parse(config.regions)
        return FaceFinder(self.detector, size, config.detect_every, config.min_face_px, regions, config.max_faces)

    def _other_detector(self, config: FacialConfig) -> bool:
        if isinstance(self.detector, GivenFaces):
            return False  # whoever finds the faces goes on doing so
        names = ["detector", "detection_size", "min_score"]
        if self._own_detector and self.detector.name == YunetDetector.name:
            names.append("threads")  # of others they are a matter of the process, or of whoever made them
        return any(getattr(config, name) != getattr(self.config, name) for name in names)

    def _other_network(self, config: FacialConfig) -> bool:
        names = ("model", "provider", "threads", "prior")
        return any(getattr(config, name) != getattr(self.config, name) for name in names)

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


def _make_detector(config: FacialConfig) -> FaceDetector:
    return create_detector(config.detector, config.detection_size, config.min_score, config.threads)


def _check_parts(config: object, detector: object, classifier: object) -> None:
    """Raise EmotionError for names where things are expected."""
    if not isinstance(config, FacialConfig):
        raise EmotionError(f"expected a FacialConfig, got {config!r:.60}: FacialConfig(detector='yunet', …) makes one")
    for what, part, needed in (("detector", detector, "detect"), ("classifier", classifier, "card")):
        if part is not None and not hasattr(part, needed):
            raise EmotionError(f"expected a {what} with {needed!r}, got {part!r:.60}: names go into the FacialConfig")


@dataclass(frozen=True)
class FacialChange:
    """New settings of a pipeline and what was loaded for them; call it between two frames to take them over."""

    pipeline: FacialPipeline
    config: FacialConfig
    detector: FaceDetector
    classifier: Classifier
    own_detector: bool

    def __call__(self) -> None:
        """Take them over."""
        self.pipeline._take_over(self)
