"""Label orders, defined once, words that mean the same, and where each emotion lies in the valence-arousal plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from emotion_core.errors import EmotionError

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


VOICE_MEANINGS = MappingProxyType({"calm": "neutral"})
"""What a voice's label means where a face's is wanted: nobody labels faces as calm."""


def meaning(label: str) -> str:
    """The word of a face's label for a voice's."""
    return VOICE_MEANINGS.get(canonical(label), canonical(label))


def translate(labels: Sequence[str], wanted: Sequence[str], who: str, whose: str) -> list[int]:
    """Where what each label means, see ``meaning``, stands among the wanted ones; several may mean one.

    Args:
        who, whose: what the labels and the wanted ones belong to, for the message.

    Raises:
        EmotionError: a label means none of them.
    """
    words = [canonical(label) for label in wanted]
    if lacking := [label for label in labels if meaning(label) not in words]:
        raise EmotionError(f"{who} tells {', '.join(lacking)}, which {whose} does not know")
    return [words.index(meaning(label)) for label in labels]


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


def match_labels(labels: Sequence[str], wanted: Sequence[str]) -> list[int | None]:
    """Where each wanted label stands among others: the same word, else one that means the same; None where it lacks.

    Raises:
        EmotionError: two labels mean the same, so that it cannot be told which of them is the wanted one, or two wanted
            ones which of them is the label.
    """
    places: list[int | None] = [labels.index(name) if name in labels else None for name in wanted]
    free = {i: canonical(name) for i, name in enumerate(labels) if i not in places}
    for k, name in enumerate(wanted):
        if places[k] is not None:
            continue
        found = [i for i, meant in free.items() if meant == canonical(name)]
        if len(found) > 1:
            names = " and ".join(labels[i] for i in found)
            raise EmotionError(f"the labels {names} mean the same, and {name} could be either: rename one of them")
        if found:
            places[k] = found[0]
            del free[found[0]]
    return places


def share_labels(model: Sequence[str], data: Sequence[str]) -> SharedLabels:
    """Match labels by what they mean, see ALIASES, whatever their order and number; raises as ``match_labels``."""
    places = match_labels(model, data)
    shared = [(name, place, i) for i, (name, place) in enumerate(zip(data, places, strict=True)) if place is not None]
    return SharedLabels(
        tuple(name for name, _, _ in shared),
        tuple(place for _, place, _ in shared),
        tuple(i for _, _, i in shared),
        tuple(name for i, name in enumerate(model) if i not in places),
        tuple(name for name, place in zip(data, places, strict=True) if place is None),
    )
