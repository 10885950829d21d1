"""Label orders, defined once, and where each emotion lies in the valence-arousal plane."""

from __future__ import annotations

from types import MappingProxyType

AFFECTNET = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
"""Order of AffectNet, of the published ESR weights and of everything that this project trains with 8 classes."""

FERPLUS = ("neutral", "happy", "surprise", "sad", "anger", "disgust", "fear", "contempt")
"""Order of the vote columns of FER+, without its last two, unknown and NF (no face)."""

FER2013 = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Order of the FER2013 challenge."""

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
