"""Label orders, defined once, words that mean the same, and where each emotion lies in the valence-arousal plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

AFFECTNET = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
"""Order of AffectNet, of the published ESR weights and of everything that this project trains with 8 classes."""

FERPLUS = ("neutral", "happy", "surprise", "sad", "anger", "disgust", "fear", "contempt")
"""Order of the vote columns of FER+, without its last two, unknown and NF (no face)."""

FER2013 = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Order of the FER2013 challenge."""

ALIASES = MappingProxyType(
    {
        "angry": "anger",
        "disgusted": "disgust",
        "fearful": "fear",
        "scared": "fear",
        "happiness": "happy",
        "joy": "happy",
        "sadness": "sad",
        "surprised": "surprise",
        "contemptuous": "contempt",
    }
)
"""Other words for the labels above, as datasets, folders and REP-155 write them."""

AFFECT_COORDINATES = MappingProxyType(
    {
        "neutral": (0.00, 0.00),
        "happy": (0.81, 0.51),
        "sad": (-0.63, -0.27),
        "surprise": (0.40, 0.67),
        "fear": (-0.64, 0.60),
        "disgust": (-0.60, 0.35),
        "anger": (-0.51, 0.59),
    }
)
"""Mean (valence, arousal) in [-1, 1] of an emotion word. Russell and Mehrabian, Evidence for a three-factor theory of
emotions, Journal of Research in Personality 11 (1977), pleasure and arousal of happy, sad, surprised, fearful,
disgusted and angry; neutral is the origin by definition. Contempt has no entry."""


def canonical(label: str) -> str:
    """The word that this library uses for a label, in lower case; an unknown label stays as it is."""
    word = label.strip().lower()
    return ALIASES.get(word, word if word in AFFECTNET else label)


@dataclass(frozen=True)
class SharedLabels:
    """The labels that a model and a dataset have in common, in the dataset's order and words.

    Attributes:
        names: the shared labels.
        model, data: index of each among the model's labels and among the dataset's.
        only_model, only_data: labels that the other side lacks.
    """

    names: tuple[str, ...]
    model: tuple[int, ...]
    data: tuple[int, ...]
    only_model: tuple[str, ...]
    only_data: tuple[str, ...]


def share_labels(model: Sequence[str], data: Sequence[str]) -> SharedLabels:
    """Match labels by what they mean, see ALIASES, whatever their order and number."""
    places = {canonical(name): i for i, name in enumerate(model)}
    shared = [(name, places[canonical(name)], i) for i, name in enumerate(data) if canonical(name) in places]
    known = {canonical(name) for name in data}
    return SharedLabels(
        tuple(name for name, _, _ in shared),
        tuple(i for _, i, _ in shared),
        tuple(i for _, _, i in shared),
        tuple(name for name in model if canonical(name) not in known),
        tuple(name for name in data if canonical(name) not in places),
    )
