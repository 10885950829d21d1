"""Late fusion: what a face and a voice say, pooled by how far each can be trusted now.

    Genest, Zidek: Combining Probability Distributions: A Critique and an Annotated Bibliography. Statistical Science 1
    (1), 1986 (logarithmic opinion pools).
    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks. ICML 2017 (temperature scaling).

p(c) is proportional to face(c)^w · (voice(c) / prior(c))^v. The exponents w and v are one over the temperature that
each sense needs under its present conditions, so a sense that is less sure than it says counts less. The prior is that
of the data from which the voice was learned; the face keeps its own, so that a voice of which nothing can be told
leaves the face's answer as it is. A class that only the face knows (contempt) keeps the probability that the face gives
it, and the voice decides about the rest: with no evidence it would win whenever the two contradict each other.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.labels import match_labels
from emotion_core.store.files import atomic_write, is_file, user_path
from emotion_core.store.finding import BUNDLED, is_ensemble, model_dir

DEFAULT_FUSION = "late_fusion"

_TINY = 1e-9

Curve = tuple[tuple[float, float], ...]
"""(value, weight) pairs in order; between them weights are interpolated, beyond them they stay."""


@dataclass(frozen=True)
class FusionCard:
    """Everything that the fusion needs to know, and what was measured.

    Attributes:
        name: of the fusion, as in messages.
        face_model, voice_model: names of the models for which it was fitted.
        labels: of the answer, those of the face.
        voice_labels: for each label of the voice the label of the answer that it means.
        prior: of the voice's training data, over ``labels``; 0 where the voice knows no such class.
        face_weight, voice_weight: exponents under the best conditions.
        face_size_px: factor of the face's weight by the side of the square that frames the face, in pixels.
        detection_score: the same by the detector's score; of the detector ``detector``, 1 for any other.
        voice_snr_db, voice_speech_s: factors of the voice's weight by its ratio to the noise and by the seconds of
            speech that were heard.
        detector: for which ``detection_score`` holds.
        licence, training, results, notes: as in a model's card.

    Raises:
        EmotionError: entries contradict each other.
    """

    name: str
    face_model: str
    voice_model: str
    labels: tuple[str, ...]
    voice_labels: Mapping[str, str]
    prior: tuple[float, ...]
    face_weight: float
    voice_weight: float
    face_size_px: Curve
    detection_score: Curve
    voice_snr_db: Curve
    voice_speech_s: Curve
    detector: str = ""
    licence: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    results: Sequence[Mapping[str, Any]] = ()
    notes: str = ""

    def __post_init__(self) -> None:
        unknown = [name for name in self.voice_labels.values() if name not in self.labels]
        curves = (self.face_size_px, self.detection_score, self.voice_snr_db, self.voice_speech_s)
        for ok, problem in (
            (not unknown, f"voice_labels lead to {', '.join(unknown)}, which the answer does not have"),
            (len(self.prior) == len(self.labels), f"{len(self.prior)} priors for {len(self.labels)} labels"),
            (all(p >= 0 for p in self.prior) and abs(sum(self.prior) - 1) < 1e-3, f"prior {self.prior}"),
            (min(self.face_weight, self.voice_weight) > 0, "weights must be above 0"),
            (
                all(
                    curve and list(curve) == sorted(curve) and all(0 <= w <= 1 and math.isfinite(x) for x, w in curve)
                    for curve in curves
                ),
                "curves need (value, weight) pairs in order, with weights in [0, 1]",
            ),
        ):
            if not ok:
                raise EmotionError(f"{self.name}: {problem}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return json.loads(json.dumps(asdict(self)))

    def to_json(self) -> str:
        """The card as indented JSON."""
        return json.dumps(self.to_dict(), indent=1) + "\n"

    def write(self, path: str | Path) -> None:
        """As JSON; the file is whole or absent."""
        with atomic_write(path) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, name: str | Path = DEFAULT_FUSION) -> FusionCard:
        """Read a card by its name (bundled, or in the model store) or path.

        Raises:
            EmotionError: there is no such card, or it is damaged.
        """
        if str(name).endswith(".json"):
            path = user_path(name)
        else:
            path = next((p for d in (BUNDLED, model_dir()) if is_file(p := d / f"{name}.json")), Path(f"{name}.json"))
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            curves = ("face_size_px", "detection_score", "voice_snr_db", "voice_speech_s")
            content |= {key: tuple((float(x), float(w)) for x, w in content[key]) for key in curves}
            content |= {key: tuple(content[key]) for key in ("labels", "prior", "results")}
            return cls(**content)
        except OSError as error:
            raise EmotionError(f"no fusion {name}: expected the name or the path of its card ({error})") from None
        except (ValueError, TypeError, KeyError) as error:
            raise EmotionError(f"{path} holds no fusion: {error!r}") from None


def fusion_names() -> list[str]:
    """Names of the fusions that are bundled, and of those in the model store: cards without a network beside them."""
    found: dict[str, None] = {}
    for folder in (BUNDLED, model_dir()):
        try:
            paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
        except OSError:  # a store that is not there or may not be read is an empty one
            continue
        for path in paths:
            if not is_file(path.with_suffix(".onnx")):
                with contextlib.suppress(EmotionError):
                    FusionCard.load(path)
                    found[path.stem] = None
    return list(found)


def is_fusion(name: str) -> bool:
    """Whether a name or path means a fusion, rather than a network."""
    return (name.endswith(".json") and not is_ensemble(name)) or name in fusion_names()


@dataclass(frozen=True)
class FaceNow:
    """What a face says, and how well it is seen.

    Attributes:
        probabilities: (classes,), of the card's labels.
        size_px: side of the square that frames it.
        score: of the detection, in [0, 1].
        detector: that gave the score.
    """

    probabilities: NDArray[np.float64]
    size_px: float = math.inf
    score: float = 1.0
    detector: str = ""


@dataclass(frozen=True)
class VoiceNow:
    """What a voice says, and how well it is heard.

    Attributes:
        probabilities: (voice's classes,).
        speech_s: seconds of speech that the opinion is about.
        snr_db: ratio to the noise; NaN where it is not known.
    """

    probabilities: NDArray[np.float64]
    speech_s: float = math.inf
    snr_db: float = math.nan


class LateFusion:
    """Pools the opinions of a face and a voice.

    Args:
        card: see FusionCard.
        face_labels, voice_labels: of the two networks, in the order of their outputs.

    Attributes:
        labels: of the answers, in the order of the face's network.

    Raises:
        EmotionError: the card is for other labels.
    """

    def __init__(self, card: FusionCard, face_labels: Sequence[str], voice_labels: Sequence[str]) -> None:
        self.card, self.labels = card, tuple(face_labels)
        places = match_labels(card.labels, self.labels)
        lacking = [name for name in voice_labels if name not in card.voice_labels]
        if None in places or len(self.labels) != len(card.labels) or lacking:
            raise EmotionError(
                f"{card.name} is for {', '.join(card.labels)} of a face and {', '.join(card.voice_labels)} of a voice; "
                f"these networks have {', '.join(face_labels)} and {', '.join(voice_labels)}: train a fusion for them"
            )
        order = np.array(places, np.int64)
        self._prior = np.array(card.prior)[order]
        self._mapping = np.zeros((len(voice_labels), len(self.labels)))
        for row, name in enumerate(voice_labels):
            self._mapping[row, int(np.flatnonzero(order == card.labels.index(card.voice_labels[name]))[0])] = 1.0

    def voice(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., voice's classes) -> (..., classes): the voice's answer in the labels of the fusion."""
        return probabilities @ self._mapping

    def face_weight(self, face: FaceNow) -> float:
        """Exponent of the face's opinion."""
        known = face.detector == self.card.detector
        score = _read(self.card.detection_score, face.score) if known else 1.0
        return self.card.face_weight * _read(self.card.face_size_px, face.size_px) * score

    def voice_weight(self, voice: VoiceNow) -> float:
        """Exponent of the voice's opinion. A ratio to the noise that is not known counts as the best."""
        noise = 1.0 if math.isnan(voice.snr_db) else _read(self.card.voice_snr_db, voice.snr_db)
        return self.card.voice_weight * noise * _read(self.card.voice_speech_s, voice.speech_s)

    def __call__(self, face: FaceNow | None, voice: VoiceNow | None) -> NDArray[np.float64]:
        """(classes,) that sum to 1: exactly what one sense says where the other is absent.

        Raises:
            EmotionError: both are absent.
        """
        if face is None and voice is None:
            raise EmotionError("expected a face, a voice or both, got neither")
        if voice is None:
            assert face is not None
            return face.probabilities
        if face is None:
            return self.voice(voice.probabilities)
        return self.pool(face.probabilities, voice.probabilities, self.face_weight(face), self.voice_weight(voice))

    def pool(
        self,
        face: NDArray[np.float64],
        voice: NDArray[np.float64],
        face_weight: float | NDArray[np.float64],
        voice_weight: float | NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """(..., classes) and (..., voice's classes), with exponents that broadcast over classes -> (..., classes)."""
        known = self._prior > 0
        scores = face_weight * np.log(np.maximum(face, _TINY)) + voice_weight * self.evidence(voice)
        scores = np.where(known, scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        left = 1.0 - np.where(known, 0.0, face).sum(-1, keepdims=True)
        return np.where(known, left * shares / shares.sum(-1, keepdims=True), face)

    def evidence(self, voice: NDArray[np.float64]) -> NDArray[np.float64]:
        """log(voice / prior) of each label, 0 where the voice knows no such class."""
        known = self._prior > 0
        ratio = np.maximum(self.voice(voice), _TINY) / np.where(known, self._prior, 1.0)
        return np.where(known, np.log(ratio), 0.0)


def _read(curve: Curve, value: float) -> float:
    return float(np.interp(value, [x for x, _ in curve], [w for _, w in curve]))
