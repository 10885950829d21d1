"""What flows through the library: boxes, faces, estimates. Frozen, and validated when made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import BadValue

FACE = 1
"""Bit of ``EmotionEstimate.modalities``: a face was seen."""
VOICE = 2
"""Bit of ``EmotionEstimate.modalities``: a voice was heard."""

Picture = NDArray[np.uint8]
"""(height, width, 3) uint8, BGR: the one kind of picture inside the library."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the source image; ``x``, ``y`` is its top left corner and may lie outside."""

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if not _are_finite(self.x, self.y, self.width, self.height):
            raise BadValue(f"a box needs finite numbers, got {self}")
        if self.width <= 0 or self.height <= 0:
            raise BadValue(f"a box needs a positive size, got {self.width} x {self.height}")

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) of the middle."""
        return self.x + self.width / 2, self.y + self.height / 2

    def intersection(self, other: Box) -> float:
        """Area that both cover, in square pixels."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return width * height if width > 0 and height > 0 else 0.0

    def iou(self, other: Box) -> float:
        """Intersection over union, in [0, 1]."""
        shared = self.intersection(other)
        return shared / (self.area + other.area - shared)

    def scaled(self, factor: float) -> Box:
        """The box in an image that is ``factor`` times as large."""
        return Box(self.x * factor, self.y * factor, self.width * factor, self.height * factor)

    def moved(self, dx: float, dy: float) -> Box:
        """The box shifted by (dx, dy) pixels."""
        return Box(self.x + dx, self.y + dy, self.width, self.height)

    def clamped(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(x, y, width, height) as whole pixels inside a width x height image; an outside box gives zero size."""
        left, top = max(0, math.floor(self.x)), max(0, math.floor(self.y))
        right, bottom = (
            min(width, math.ceil(self.x + self.width)),
            min(height, math.ceil(self.y + self.height)),
        )
        left, top = min(left, width), min(top, height)
        return left, top, max(0, right - left), max(0, bottom - top)


@dataclass(frozen=True)
class Face:
    """A detected face.

    Attributes:
        box: where, in pixels of the image.
        score: the detector's confidence in [0, 1].
        eyes: centres of the two eyes as ((x, y), (x, y)), the one further left in the image first, or None where the
            detector gives no landmarks.
        quality: how much of it can be made out, in [0, 1], see ``vision.quality``; NaN where nobody looked. What
            somebody thinks of a face makes it no other one.
    """

    box: Box
    score: float = 1.0
    eyes: tuple[tuple[float, float], tuple[float, float]] | None = None
    quality: float = field(default=math.nan, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.box, Box):
            raise BadValue(f"a face needs a Box, got {self.box!r:.60}")
        if not _are_finite(self.score) or not 0.0 <= self.score <= 1.0:
            raise BadValue(f"a detection score lies in [0, 1], got {self.score}")
        if not _is_nan(self.quality) and not (_are_finite(self.quality) and 0.0 <= self.quality <= 1.0):
            raise BadValue(f"the quality of a face lies in [0, 1] or is NaN, got {self.quality}")

    @property
    def roll_rad(self) -> float:
        """Angle of the line between the eyes, clockwise in the image; 0 without landmarks."""
        if self.eyes is None:
            return 0.0
        (x0, y0), (x1, y1) = self.eyes
        return math.atan2(y1 - y0, x1 - x0)

    def placed(self, factor: float, dx: float = 0.0, dy: float = 0.0) -> Face:
        """The face in an image that is ``factor`` times as large, and whose corner then lies at (dx, dy)."""
        eyes = self.eyes
        if eyes is not None:
            (x0, y0), (x1, y1) = eyes
            eyes = (x0 * factor + dx, y0 * factor + dy), (x1 * factor + dx, y1 * factor + dy)
        return Face(self.box.scaled(factor).moved(dx, dy), self.score, eyes, self.quality)


@dataclass(frozen=True)
class EmotionEstimate:
    """How one person seems to feel at one moment.

    Attributes:
        stamp_s: time of the source image, or of the end of the window of sound, in seconds.
        labels: names of the classes.
        probabilities: one for each label, in [0, 1], summing to 1.
        valence, arousal: in [-1, 1]; NaN where the model has none.
        face: where the face was, None for sound alone.
        track_id: the same for the same person from frame to frame; empty when nothing tracks.
        model: name of the model, as in its card.
        modalities: bits FACE and VOICE.
    """

    stamp_s: float
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    valence: float = math.nan
    arousal: float = math.nan
    face: Face | None = None
    track_id: str = ""
    model: str = ""
    modalities: int = FACE
    label: str = ""
    """The predicted label: the most probable one, the first of equals, unless a vote decided otherwise."""

    def __post_init__(self) -> None:
        if type(self.labels) is not tuple or type(self.probabilities) is not tuple:
            self._take(self.labels, self.probabilities)
        if len(self.labels) != len(self.probabilities) or not self.labels:
            raise BadValue(f"{len(self.labels)} labels, but {len(self.probabilities)} probabilities")
        finite = _are_finite(*self.probabilities)
        if not finite or min(self.probabilities) < -1e-6 or abs(sum(self.probabilities) - 1) > 1e-3:
            raise BadValue(f"probabilities must lie in [0, 1] and sum to 1, got {self.probabilities}")
        for name in ("valence", "arousal"):
            value = getattr(self, name)
            if not _is_affect(value):
                raise BadValue(f"{name} must lie in [-1, 1] or be NaN, got {value}")
        if not self.label:
            object.__setattr__(self, "label", self.labels[self.probabilities.index(max(self.probabilities))])
        elif self.label not in self.labels:
            raise BadValue(f"label {self.label!r} is none of {', '.join(self.labels)}")

    def __eq__(self, other: object) -> bool:
        """Whether all is equal, NaN among it; what dataclasses make says no for NaN since Python 3.13."""
        return self._key() == other._key() if isinstance(other, EmotionEstimate) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        values = (getattr(self, item.name) for item in fields(self) if item.compare)
        return tuple(
            None if isinstance(value, (float, np.floating)) and math.isnan(value) else value for value in values
        )

    @property
    def confidence(self) -> float:
        """Probability of ``label``."""
        return self.probabilities[self.labels.index(self.label)]

    def to_dict(self) -> dict[str, Any]:
        """Ready for ``json.dumps``: plain Python types, None for what has no value.

        Keys: ``stamp_s``, ``track_id``, ``label``, ``confidence``, ``probabilities`` {label: p}, ``valence``,
        ``arousal``, ``box`` [x, y, width, height] in pixels, ``score`` of the detection, ``quality`` of the face,
        ``model``, and ``modalities``, a list of "face" and "voice". For tables see
        ``emotion_core.recording.frames.to_pandas``.
        """
        box = None if self.face is None else self.face.box
        return {
            "stamp_s": float(self.stamp_s),
            "track_id": self.track_id,
            "label": self.label,
            "confidence": float(self.confidence),
            "probabilities": {name: float(p) for name, p in zip(self.labels, self.probabilities, strict=True)},
            "valence": None if math.isnan(self.valence) else float(self.valence),
            "arousal": None if math.isnan(self.arousal) else float(self.arousal),
            "box": None if box is None else [float(value) for value in (box.x, box.y, box.width, box.height)],
            "score": None if self.face is None else float(self.face.score),
            "quality": None if self.face is None or math.isnan(self.face.quality) else float(self.face.quality),
            "model": self.model,
            "modalities": [name for name, bit in (("face", FACE), ("voice", VOICE)) if self.modalities & bit],
        }

    def _take(self, labels: Any, probabilities: Any) -> None:
        """Lists and arrays as the tuples that they stand for."""
        try:
            if isinstance(labels, str):
                raise TypeError("one text")
            object.__setattr__(self, "labels", tuple(labels))
            object.__setattr__(self, "probabilities", tuple(float(p) for p in probabilities))
        except (TypeError, ValueError) as error:
            raise BadValue(
                f"an estimate needs labels and their probabilities as tuples, got {labels!r:.60} and "
                f"{probabilities!r:.60} ({error})"
            ) from None


def check_estimates(estimates: Any) -> None:
    """Raise EmotionError unless this is a sequence of estimates, which may be empty."""
    known = isinstance(estimates, Sequence) and not isinstance(estimates, str)
    if not known or not all(isinstance(item, EmotionEstimate) for item in estimates):
        raise BadValue(f"expected a list of EmotionEstimate, got {estimates!r:.60}")


def _are_finite(*values: Any) -> bool:
    """Whether all are finite numbers."""
    try:
        return all(map(math.isfinite, values))
    except TypeError:
        return False


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_affect(value: Any) -> bool:
    """Whether it is a number in [-1, 1], or NaN."""
    try:
        return math.isnan(value) or -1.0 <= value <= 1.0
    except TypeError:
        return False
