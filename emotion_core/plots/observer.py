"""Frames in, pictures of what was seen in them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.order import SoundCounts
from emotion_core.errors import EmotionError
from emotion_core.pipeline.audiovisual import AudiovisualConfig, AudiovisualPipeline
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.pipeline.still_config import StillConfig
from emotion_core.plots.branches import SIZE_PX, BranchReading, check_size, draw_branches, letterbox
from emotion_core.plots.saliency import grad_cam, load_explained
from emotion_core.plots.sound_strip import MIN_WIDTH_PX, SECONDS, SoundReading, draw_strip, strip_height
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.types import EmotionEstimate, Picture
from emotion_core.vision.blur import FaceBlur
from emotion_core.vision.crop import FER2013, crop_face
from emotion_core.vision.draw import draw_estimates, placed
from emotion_core.vision.trace import AffectTrace, AffectTraces

_AS_STILLS = ("detection_size", "max_faces")


class Observer:
    """Estimates and draws one frame after the other; single pictures without tracks and smoothing.

    Args:
        model: name or path of a model.
        detector: name of a face detector, see ``create_detector``.
        stills: whether the frames are single pictures; else they are one video or camera.
        size: (width, height) in pixels of what is drawn; by default the frame's, with ``panel`` SIZE_PX.
        panel: whether to draw beside the frame what each branch says of one face, see ``draw_branches``.
        gradcam: draw the panel, and in it which part of the face made each branch say so; takes torch.
        voice_model: name or path of a voice model, for frames that come with sound: ``hear`` takes it, and a strip
            below the frame shows it.
        blur: whether to draw nobody's face, see ``FaceBlur``: also not in the panel.
        settings: all else that the pipeline's configuration has, by name: FacialConfig, with sound AudiovisualConfig.

    Raises:
        EmotionError: the model or the detector is not here or damaged, there are no weights for ``gradcam``, or the
            size has no room for the panel.
    """

    def __init__(
        self,
        model: str,
        detector: str = "auto",
        *,
        stills: bool,
        size: tuple[int, int] | None = None,
        panel: bool = False,
        gradcam: bool = False,
        voice_model: str | None = None,
        blur: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        chosen = {**(settings or {}), "model": model, "detector": detector}
        self._blur = FaceBlur(detector) if blur else None
        self._stills, self._panel = stills, panel or gradcam
        self._size = size or (SIZE_PX if self._panel else None)
        # A picture of a size that was asked for holds frame and strip; else the strip comes below the whole frame.
        self._strip_px = 0
        if voice_model is not None and size is not None:
            self._strip_px = strip_height(size[1])
            if size[0] < MIN_WIDTH_PX or size[1] < 2 * self._strip_px:
                raise EmotionError(f"frame and sound take at least {MIN_WIDTH_PX}x144 pixels, got {size[0]}x{size[1]}")
            self._size = size[0], size[1] - self._strip_px
        if self._panel and self._size is not None:
            check_size(self._size)
        if stills:
            chosen = {"smoothing_s": 0.0} | {name: getattr(StillConfig, name) for name in _AS_STILLS} | chosen
        # Without sound, what is about voices has nothing to say.
        known = {item.name for item in fields(FacialConfig if voice_model is None else AudiovisualConfig)}
        chosen = {name: value for name, value in chosen.items() if name in known}
        config = FacialConfig(**chosen) if voice_model is None else AudiovisualConfig(**chosen, voice_model=voice_model)
        loaded = Classifier.load(model, config.threads, config.provider, config.prior)
        self._watched = _Watched(loaded)
        self._network = load_explained(model, self._watched.card) if gradcam else None
        classifier = cast("Classifier", self._watched)
        self._senses: AudiovisualPipeline | None = None
        if isinstance(config, AudiovisualConfig):
            self._senses = AudiovisualPipeline(config, classifier=classifier)
            self._pipeline = self._senses.facial
        else:
            self._pipeline = FacialPipeline(config, classifier=classifier)
        self._trace, self._traces = AffectTrace(), AffectTraces()
        self._estimates: list[EmotionEstimate] = []
        self._focus = 0

    @property
    def labels(self) -> tuple[str, ...]:
        """The model's, in the order of its probabilities."""
        return self._watched.card.labels

    @property
    def model(self) -> str:
        """The name in the model's card."""
        return self._watched.card.name

    @property
    def detector(self) -> str:
        """The name of the detector in use."""
        return self._pipeline.detector.name

    @property
    def output(self) -> EnsembleOutput | None:
        """What the network said of the faces of the last frame, None without any."""
        return self._watched.output

    def look(self, image: Picture, stamp_s: float) -> list[EmotionEstimate]:
        """The estimates of one frame, the largest face first.

        Args:
            image: (H, W, 3) uint8, BGR; not changed.
            stamp_s: its time in seconds.
        """
        self._watched.output = None
        if self._stills:
            self._pipeline.reset()
            self._trace = AffectTrace()
        last = self._estimates[self._focus].track_id if self._estimates else ""
        found = (self._senses.see if self._senses else self._pipeline.process)(image, stamp_s)
        self._trace.max_gap_s = self._pipeline.gap_s
        self._estimates = [replace(e, track_id="") for e in found] if self._stills else found
        if found:
            areas = [e.face.box.area if e.face else 0.0 for e in found]
            ids = [e.track_id for e in self._estimates]
            # Of two faces of almost the same size the column stays with the one that it is about.
            self._focus = ids.index(last) if last in ids and areas[ids.index(last)] > 0.6 * areas[0] else 0
            self._trace.add(self._estimates[self._focus])
        self._traces.add(self._estimates, stamp_s)
        return self._estimates

    def hear(self, sound: NDArray[Any], rate_hz: int, stamp_s: float) -> None:
        """Take a chunk of the sound that goes with the frames; see ``AudiovisualPipeline.hear``."""
        assert self._senses is not None
        self._senses.hear(sound, rate_hz, stamp_s)

    def voice(self, stamp_s: float) -> tuple[float, ...] | None:
        """What the voice says at a time, in the labels of the answers; None while nobody speaks."""
        heard = None if self._senses is None else self._senses.opinion(stamp_s)
        if heard is None or self._senses is None:
            return None
        return tuple(self._senses.fusion.voice(heard.probabilities).tolist())

    @property
    def sound_counts(self) -> SoundCounts | None:
        """What was wrong with the sound so far; None without any."""
        return None if self._senses is None else self._senses.voice.counts

    def draw(self, image: Picture, stamp_s: float) -> Picture:
        """The frame that was looked at last, with what was seen.

        Args:
            image: (H, W, 3) uint8, BGR, as given to ``look``; not changed.
            stamp_s: its time in seconds.

        Returns:
            (height, width, 3) uint8, BGR, of the size asked for.
        """
        if self._blur is not None:
            if self._stills:
                self._blur.reset()
            image = self._blur(image, self._estimates, stamp_s)
        if self._senses is None:
            return self._draw_frame(image, stamp_s, self._size)
        frame = self._draw_frame(image, stamp_s, self._size)
        height, width = frame.shape[:2]
        if width < MIN_WIDTH_PX:
            return frame  # there is no room for a strip
        below = self._strip_px or strip_height(height)
        strip = draw_strip(width, below, self._sound_reading(self._senses, stamp_s), self._estimates)
        return np.concatenate([frame, strip])

    def _draw_frame(self, image: Picture, stamp_s: float, size: tuple[int, int] | None) -> Picture:
        traces = self._traces.points(self._estimates, stamp_s)
        if size is None:
            return draw_estimates(image, self._estimates, traces=traces)
        if self._panel:
            points = self._trace.points(stamp_s)
            return draw_branches(image, self._estimates, self._reading(image), points, size)
        canvas, factor, offset = letterbox(image, size)
        return draw_estimates(canvas, placed(self._estimates, factor, offset), traces=traces)

    def _sound_reading(self, senses: AudiovisualPipeline, stamp_s: float) -> SoundReading:
        said, samples = self.voice(stamp_s), senses.voice.window(SECONDS, stamp_s)
        labels = () if said is None else senses.fusion.labels
        return SoundReading(samples, senses.voice.speech, stamp_s, labels, said or ())

    def _reading(self, image: Picture) -> BranchReading | None:
        output, i = self._watched.output, self._focus
        if output is None or (face := self._estimates[i].face) is None:
            return None
        probabilities = output.branch_probabilities[i]
        saliency = None
        if self._network is not None:
            saliency = grad_cam(self._network, self._watched.faces[i : i + 1], probabilities.argmax(axis=1))[0]
        framing = self._watched.card.faces[0].framing or FER2013  # that of what the network saw, and explains
        crop = crop_face(image, face, 240, self._pipeline.detector.framing, framing)
        return BranchReading(self._estimates[i], probabilities, output.branch_affect[i], crop, saliency)


class _Watched:
    """A classifier that remembers the last batch and what it said about it."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier, self.card = classifier, classifier.card
        self.faces: Any = None
        self.output: EnsembleOutput | None = None

    def __call__(self, *inputs: Any) -> EnsembleOutput:
        self.faces, self.output = inputs[0], self._classifier(*inputs)
        return self.output
