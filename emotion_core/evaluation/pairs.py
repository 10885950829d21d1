"""Faces and voices of one class, or of two, judged by the late fusion; see ``data.pairs``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.activity import RATE_HZ
from emotion_core.data.pairs import Pairs
from emotion_core.data.voices import Voices
from emotion_core.media.sound import read_sound
from emotion_core.pipeline.voice import hear_whole
from emotion_core.runtime.fusion import LateFusion
from emotion_core.runtime.voice import VoiceModel

_WEIGHTS = np.geomspace(0.02, 4.0, 300)


def best_weight(probabilities: NDArray[np.float64], truths: NDArray[np.int64]) -> float:
    """The exponent that makes the truths most likely.

    Args:
        probabilities: (N, classes); they need not sum to 1.
        truths: (N,) classes.
    """
    logs, rows = np.log(np.maximum(probabilities, 1e-9)), np.arange(len(truths))

    def cost(weight: float) -> float:
        scores = weight * logs
        top = scores.max(1, keepdims=True)
        return float((np.log(np.exp(scores - top).sum(1)) + top[:, 0] - scores[rows, truths]).mean())

    return float(_WEIGHTS[np.argmin([cost(weight) for weight in _WEIGHTS])])


def sounds_of(voices: Voices) -> list[NDArray[np.float32]]:
    """Every recording at 16 kHz."""
    return [read_sound(voices.path(i), RATE_HZ).samples for i in range(len(voices))]


def hear_all(model: VoiceModel, sounds: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """(N, classes): each sound judged as one utterance, see ``hear_whole``; where nobody is heard every class alike."""
    count = len(model.card.labels)
    found = [hear_whole(model, sound, 0.0) for sound in sounds]
    return np.array([np.full(count, 1 / count) if heard is None else heard.probabilities for heard in found])


def measure_pairs(
    fusion: LateFusion,
    pairs: Pairs,
    seen: NDArray[np.float64],
    heard: NDArray[np.float64],
    halves: bool = False,
) -> dict[str, Any]:
    """Accuracy in percent of face, voice and both on pairs of the same class.

    Args:
        fusion: whose weights count, under the best conditions.
        pairs: which belong together.
        seen, heard: (N, classes) probabilities of all faces and of all voices.
        halves: fit the weights on one half of the faces and of the voices and measure on the other, and the other way
            round, so that nothing is measured on what it was fitted on.
    """
    card = fusion.card
    truths = np.array([fusion.labels.index(name) for name in pairs.labels])[pairs.face_classes]
    if halves:
        fused = np.zeros((len(pairs), len(fusion.labels)))
        odd_face, odd_voice = pairs.faces % 2 == 1, _second_half(pairs.voices)
        inside = np.zeros(len(pairs), bool)
        for test in (False, True):
            learn = (odd_face != test) & (odd_voice != test)
            measured = (odd_face == test) & (odd_voice == test)
            weights = _fitted(fusion, seen[pairs.faces[learn]], heard[pairs.voices[learn]], truths[learn])
            fused[measured] = fusion.pool(seen[pairs.faces[measured]], heard[pairs.voices[measured]], *weights)
            inside |= measured
    else:
        fused = fusion.pool(seen[pairs.faces], heard[pairs.voices], card.face_weight, card.voice_weight)
        inside = np.ones(len(pairs), bool)
    answers = {"face": seen[pairs.faces], "voice": fusion.voice(heard[pairs.voices]), "both": fused}
    hits = {name: said[inside].argmax(1) == truths[inside] for name, said in answers.items()}
    recalls = {
        name: np.mean([hit[truths[inside] == k].mean() for k in np.unique(truths[inside])])
        for name, hit in hits.items()
    }
    return {
        "protocol": "pairs of one class" + (", weights fitted on the other half" if halves else ""),
        "n": int(inside.sum()),
        "accuracy": {name: round(100 * float(hit.mean()), 2) for name, hit in hits.items()},
        "macro_recall": {name: round(100 * float(recall), 2) for name, recall in recalls.items()},
    }


def measure_conflicts(
    fusion: LateFusion, pairs: Pairs, seen: NDArray[np.float64], heard: NDArray[np.float64]
) -> dict[str, Any]:
    """Which sense wins where face and voice are of different classes, in percent of the pairs."""
    card = fusion.card
    places = np.array([fusion.labels.index(name) for name in pairs.labels])
    fused = fusion.pool(seen[pairs.faces], heard[pairs.voices], card.face_weight, card.voice_weight).argmax(1)
    face, voice = fused == places[pairs.face_classes], fused == places[pairs.voice_classes]
    return {
        "protocol": "pairs of two classes",
        "n": len(pairs),
        "wins": {
            "face": round(100 * float(face.mean()), 2),
            "voice": round(100 * float(voice.mean()), 2),
            "neither": round(100 * float((~face & ~voice).mean()), 2),
        },
    }


def _fitted(
    fusion: LateFusion, seen: NDArray[np.float64], heard: NDArray[np.float64], truths: NDArray[np.int64]
) -> tuple[float, float]:
    """Weights of both senses, each fitted alone on what it says in some pairs."""
    known = np.flatnonzero(np.array(fusion.card.prior) > 0)
    place = np.searchsorted(known, truths)
    return best_weight(seen, truths), best_weight(fusion.voice(heard)[:, known], place)


def _second_half(voices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Voices are listed speaker by speaker: nobody is in both halves."""
    return voices > np.median(np.unique(voices))
