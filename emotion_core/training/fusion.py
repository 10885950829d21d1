"""Fitting the late fusion: how far a face and a voice can be trusted, from what each says on validation data.

The weight of a sense under some condition is the exponent of its probabilities that makes the truth most likely, one
over the temperature of

    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks. ICML 2017.

Conditions are made: faces are shrunk, a fan is mixed into the voices, and less of them is heard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.activity import FRAME, RATE_HZ
from emotion_core.data.clips import PER_VOICE
from emotion_core.data.dataset import FaceDataset
from emotion_core.data.pairs import draw_pairs
from emotion_core.data.relabel import order_of
from emotion_core.data.voices import Voices
from emotion_core.errors import EmotionError
from emotion_core.evaluation.pairs import best_weight, hear_all, measure_conflicts, measure_pairs, sounds_of
from emotion_core.labels import translate
from emotion_core.pipeline.voice import HeardVoice, VoiceSense
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.fusion import Curve, FusionCard, LateFusion
from emotion_core.runtime.voice import VoiceModel
from emotion_core.vision.crop import fit_faces
from emotion_core.vision.detect import FaceDetector

SIZES_PX = (8, 12, 16, 20, 24, 32, 48)
SNRS_DB = (0, 5, 10, 15, 20, 30)
SPEECH_S = (0.3, 0.6, 0.9, 1.2, 1.6)
ENOUGH_S = 1.2
"""Seconds of speech from which on the noise decides, and not how much was heard."""

_CHUNK = 480
_SCORE_BINS = 4
_LEAST_SCORE = 0.3
_BATCH = 256
_PAUSE_S = 2.0  # of nothing but the noise before and after a voice


@dataclass(frozen=True)
class Said:
    """What voices are heard to say under one condition: probabilities (N, classes), truths (N,), and of each (N,) the
    seconds of speech and the ratio to the noise in decibels."""

    probabilities: NDArray[np.float64]
    truths: NDArray[np.int64]
    speech_s: NDArray[np.float64]
    snr_db: NDArray[np.float64]


def with_fan(
    sound: NDArray[np.float32], snr_db: float, rng: np.random.Generator, pause_s: float = 0.0
) -> NDArray[np.float32]:
    """(n,) float32 at 16 kHz with noise as a fan makes it, weaker towards high tones.

    Args:
        sound: a voice.
        snr_db: ratio of the louder half of the voice to the noise.
        rng: decides the noise.
        pause_s: of nothing but the noise, before and after.
    """
    padded = np.pad(sound, round(pause_s * RATE_HZ))
    spectrum = np.fft.rfft(rng.standard_normal(len(padded)))
    noise = np.fft.irfft(spectrum / np.maximum(np.fft.rfftfreq(len(padded), 1 / RATE_HZ), 60.0) ** 0.8, len(padded))
    powers = np.square(sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)).mean(1)
    loud = powers[powers >= np.median(powers)].mean()
    level = np.sqrt(loud / np.square(noise).mean() / 10 ** (snr_db / 10))
    return np.asarray(padded + level * noise, np.float32)


def fit_fusion(
    name: str,
    face: Classifier,
    faces: FaceDataset,
    voice: VoiceModel,
    voices: Voices,
    heard_from: Voices,
    detector: FaceDetector | None = None,
    seed: int = 0,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> FusionCard:
    """Fit a fusion, and measure it on pairs.

    Args:
        name: of the fusion.
        face, faces: a network, and labelled faces that it did not learn from.
        voice, voices: a network, and labelled voices that it did not learn from.
        heard_from: the voices that it did learn from, whose classes are its prior.
        detector: whose scores are looked at; None leaves them out.
        seed: decides noise and pairs.
        on_progress: called with what is done, and how much of it.

    Returns:
        The card, without licence and command.
    """
    tell = on_progress or (lambda what, done, total: None)
    labels = face.card.labels
    places = translate(voice.card.labels, labels, voice.card.name, face.card.name)
    place_of = dict(zip(voice.card.labels, places, strict=True))
    for listed in (voices, heard_from):
        if unknown := [label for label in listed.labels if label not in place_of]:
            raise EmotionError(f"the voices have the classes {', '.join(unknown)}, which {voice.card.name} lacks")
    order = order_of(faces.labels, labels, "the faces", "the network")
    face_truth = np.argsort(order)[np.asarray(faces.targets)]
    by_size = {}
    for done, size in enumerate(SIZES_PX, 1):
        by_size[size] = shrunk(face, faces, size)
        tell("sizes of faces", done, len(SIZES_PX))
    seen = by_size[SIZES_PX[-1]]
    face_weight = best_weight(seen, face_truth)
    sizes = _curve([(float(s), best_weight(p, face_truth) / face_weight) for s, p in by_size.items()])
    scores = _score_curve(detector, faces, seen, face_truth, face_weight)

    truths = [place_of[voices.labels[k]] for k in voices.targets]
    rows = list(zip(sounds_of(voices), truths, strict=True))
    learned = [place_of[heard_from.labels[k]] for k in heard_from.targets]
    prior = np.bincount(learned, minlength=len(labels))
    spread = np.eye(len(labels))[places]
    known = spread.any(0)

    def weight(probabilities: NDArray[np.float64], truths: NDArray[np.int64]) -> float:
        return best_weight((probabilities @ spread)[:, known], (np.cumsum(known) - 1)[truths])

    whole = hear_all(voice, [sound for sound, _ in rows])
    voice_weight = weight(whole, np.array(truths))
    by_noise = {}
    for done, snr in enumerate((None, *SNRS_DB), 1):
        by_noise[snr] = _streamed(voice, rows, snr, seed)
        tell("noise in the voices", done, 1 + len(SNRS_DB))
    clean = by_noise.pop(None)

    def factor(said: Said, best: float) -> float:
        return weight(said.probabilities, said.truths) / best

    long = [_some(said, said.speech_s >= ENOUGH_S) for said in (*by_noise.values(), clean)]
    if not len(long[-1].truths):
        raise EmotionError(f"none of the {len(voices)} voices holds {ENOUGH_S:g} s of speech: too little to fit on")
    base = factor(long[-1], 1.0)
    noise = _curve([(float(np.nanmedian(s.snr_db)), factor(s, base)) for s in long if np.isfinite(s.snr_db).any()])
    ends = (*SPEECH_S[1:], np.inf)
    spoken = [_some(clean, (clean.speech_s >= a) & (clean.speech_s < b)) for a, b in zip(SPEECH_S, ends, strict=True)]
    found = [(a, factor(said, voice_weight)) for a, said in zip(SPEECH_S, spoken, strict=True) if len(said.truths)]
    speech = _curve(found)
    card = FusionCard(
        name, face.card.name, voice.card.name, labels, {label: labels[k] for label, k in place_of.items()},
        tuple((prior / prior.sum()).tolist()),
        round(face_weight, 3), round(voice_weight, 3), sizes, scores, noise, speech,
        "" if detector is None else detector.name,
    )  # fmt: skip
    fusion = LateFusion(card, labels, voice.card.labels)
    pairs = draw_pairs(faces, voices, PER_VOICE, seed)
    conflicts = draw_pairs(faces, voices, PER_VOICE, seed, conflicting=True)
    results = [
        measure_pairs(fusion, pairs, seen, whole),
        measure_pairs(fusion, pairs, seen, whole, halves=True),
        measure_conflicts(fusion, conflicts, seen, whole),
    ]
    return replace(card, results=results)


def shrunk(face: Classifier, faces: FaceDataset, size: int) -> NDArray[np.float64]:
    """(N, classes): what a network says of faces that had only so many pixels a side."""
    item, said = face.card.face, []
    for start in range(0, len(faces), _BATCH):
        batch = [faces.face(i) for i in range(start, min(start + _BATCH, len(faces)))]
        if size < len(batch[0]):
            batch = [np.asarray(cv2.resize(one, (size, size), interpolation=cv2.INTER_AREA), np.uint8) for one in batch]
        said.append(face(fit_faces(np.stack(batch), item)).probabilities)
    return np.concatenate(said).astype(np.float64)


def _streamed(
    model: VoiceModel, rows: Sequence[tuple[NDArray[np.float32], int]], snr_db: float | None, seed: int
) -> Said:
    """Every opinion on recordings that come as a microphone's chunks, with a fan at a ratio to the louder half."""
    found: list[tuple[HeardVoice, int]] = []
    for index, (sound, truth) in enumerate(rows):
        if snr_db is None:
            samples = np.pad(sound, round(_PAUSE_S * RATE_HZ))
        else:
            samples = with_fan(sound, snr_db, np.random.default_rng([seed, index]), _PAUSE_S)
        sense = VoiceSense(model)
        for start in range(0, len(samples), _CHUNK):
            part = samples[start : start + _CHUNK]
            found += [(heard, truth) for heard in sense.push(part, RATE_HZ, start / RATE_HZ)]
    return Said(
        np.array([heard.probabilities for heard, _ in found]).reshape(-1, len(model.card.labels)),
        np.array([truth for _, truth in found], np.int64),
        np.array([heard.speech_s for heard, _ in found]),
        np.array([heard.snr_db for heard, _ in found]),
    )


def _some(said: Said, chosen: NDArray[np.bool_]) -> Said:
    return Said(said.probabilities[chosen], said.truths[chosen], said.speech_s[chosen], said.snr_db[chosen])


def _score_curve(
    detector: FaceDetector | None,
    faces: FaceDataset,
    seen: NDArray[np.float64],
    truths: NDArray[np.int64],
    base: float,
) -> Curve:
    """Weight by the detector's score, relative to that of all faces; faces are enlarged for the detector."""
    if detector is None:
        return ((0.0, 1.0), (1.0, 1.0))
    scores = np.full(len(faces), _LEAST_SCORE)  # a face that is missed has a score below the least
    for i in range(len(faces)):
        face = faces.face(i)
        colour = cv2.cvtColor(face, cv2.COLOR_GRAY2BGR) if face.ndim == 2 else face
        side = len(colour) // 3
        framed = cv2.copyMakeBorder(colour, side, side, side, side, cv2.BORDER_REPLICATE)
        found = detector.detect(np.asarray(cv2.resize(framed, (240, 240)), np.uint8))
        if found:
            scores[i] = max(_LEAST_SCORE, found[0].score)
    edges = np.quantile(scores, np.linspace(0, 1, _SCORE_BINS + 1))
    points = []
    for low, high in pairwise(edges):
        inside = (scores >= low) & (scores <= high)
        points.append((float(np.median(scores[inside])), best_weight(seen[inside], truths[inside]) / base))
    return _curve(points)


def _curve(points: Sequence[tuple[float, float]]) -> Curve:
    """Weights that never fall from worse to better conditions, and never exceed 1."""
    ordered = sorted(points)
    rising = np.minimum(np.maximum.accumulate([weight for _, weight in ordered]), 1.0)
    return tuple((round(value, 2), round(float(weight), 3)) for (value, _), weight in zip(ordered, rising, strict=True))
