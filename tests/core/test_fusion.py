"""Late fusion: exact where one sense is absent, weighed where both are there, and its card."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_core.data.voices import RAVDESS
from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET
from emotion_core.runtime.fusion import FaceNow, FusionCard, LateFusion, VoiceNow

CARD = FusionCard.load()
FLAT = ((0.0, 1.0), (1.0, 1.0))
EVEN = replace(
    CARD, face_weight=1.0, voice_weight=1.0, face_size_px=FLAT, detection_score=FLAT, voice_snr_db=FLAT,
    voice_speech_s=FLAT,
)  # fmt: skip
FUSION = LateFusion(CARD, AFFECTNET, RAVDESS)


def distribution(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(count))


def test_one_sense_alone_is_exactly_what_it_says():
    face, voice = distribution(8, 1), distribution(8, 2)
    np.testing.assert_array_equal(FUSION(FaceNow(face, 5.0, 0.1), None), face)
    heard = dict(zip(AFFECTNET, FUSION(None, VoiceNow(voice, 0.1, -10)), strict=True))
    said = dict(zip(RAVDESS, voice, strict=True))
    assert heard.pop("neutral") == said.pop("neutral") + said.pop("calm")
    assert heard.pop("contempt") == 0 and heard == said
    with pytest.raises(EmotionError, match="got neither"):
        FUSION(None, None)


def test_both_is_the_product_over_the_prior():
    face, voice = distribution(8, 3), distribution(8, 4)
    fusion = LateFusion(EVEN, AFFECTNET, RAVDESS)
    heard = fusion.voice(voice)
    prior = dict(zip(EVEN.labels, EVEN.prior, strict=True))
    wanted = np.array(
        [p * q / prior[name] if prior[name] else 0.0 for name, p, q in zip(AFFECTNET, face, heard, strict=True)]
    )
    only_seen = face[AFFECTNET.index("contempt")]
    wanted *= (1 - only_seen) / wanted.sum()
    wanted[AFFECTNET.index("contempt")] = only_seen
    np.testing.assert_allclose(fusion(FaceNow(face), VoiceNow(voice)), wanted, rtol=1e-9)


def test_contempt_is_for_the_face_alone():
    """Of a face that smiles and a voice that is angry nothing may be made that neither says."""
    face, voice = np.full(8, 0.02), np.full(8, 0.01)
    face[AFFECTNET.index("happy")], voice[RAVDESS.index("anger")] = 0.86, 0.93
    fused = FUSION(FaceNow(face, 100), VoiceNow(voice, 3.0, 50.0))
    assert fused[AFFECTNET.index("contempt")] == pytest.approx(0.02)
    assert AFFECTNET[int(fused.argmax())] in ("happy", "anger")


def test_the_prior_is_that_of_the_voices_that_were_learned_from():
    # RAVDESS: 4 neutral and 8 of each other class a speaker; calm means neutral.
    wanted = dict.fromkeys(AFFECTNET, 8 / 60) | {"neutral": 12 / 60, "contempt": 0.0}
    assert dict(zip(CARD.labels, CARD.prior, strict=True)) == pytest.approx(wanted)


def test_a_voice_that_says_what_it_says_of_everybody_changes_nothing():
    fusion, face = LateFusion(EVEN, AFFECTNET, RAVDESS), distribution(8, 5)
    usual = np.array([{"neutral": 4, "calm": 8}.get(name, 8) / 60 for name in RAVDESS])
    np.testing.assert_allclose(fusion(FaceNow(face), VoiceNow(usual)), face, rtol=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 10**6), st.floats(0, 400), st.floats(0, 1), st.one_of(st.just(math.nan), st.floats(-30, 90)),
    st.floats(0, 60),
)  # fmt: skip
def test_whatever_the_conditions_it_is_a_distribution(seed, size, score, snr, speech):
    fused = FUSION(
        FaceNow(distribution(8, seed), size, score, CARD.detector), VoiceNow(distribution(8, seed + 1), speech, snr)
    )
    assert np.isfinite(fused).all() and (fused >= 0).all() and fused.sum() == pytest.approx(1)


def test_certainty_of_both_senses_is_no_number_trouble():
    for i in range(8):
        for k in range(8):
            fused = FUSION(FaceNow(np.eye(8)[i]), VoiceNow(np.eye(8)[k]))
            assert np.isfinite(fused).all() and fused.sum() == pytest.approx(1)


def test_worse_conditions_never_weigh_more():
    face, voice = distribution(8, 1), distribution(8, 2)
    sizes = [FUSION.face_weight(FaceNow(face, size)) for size in (4, 8, 14, 20, 30, 48, 200)]
    scores = [FUSION.face_weight(FaceNow(face, 100, score, CARD.detector)) for score in (0.3, 0.6, 0.9, 0.99)]
    noises = [FUSION.voice_weight(VoiceNow(voice, 3, snr)) for snr in (-10, 0, 5, 12, 25, 60)]
    spoken = [FUSION.voice_weight(VoiceNow(voice, seconds, 40)) for seconds in (0.3, 0.7, 1.0, 2.0, 4.0)]
    for weights in (sizes, scores, noises, spoken):
        assert weights == sorted(weights)
    for weights in (sizes, noises, spoken):
        assert weights[0] < 0.7 * weights[-1]


def test_noise_hands_the_decision_to_the_face():
    face = np.where(np.array(AFFECTNET) == "happy", 0.6, 0.4 / 7)
    voice = np.where(np.array(RAVDESS) == "anger", 0.8, 0.2 / 7)
    said = {
        snr: AFFECTNET[int(FUSION(FaceNow(face, 100), VoiceNow(voice, 3.0, snr)).argmax())] for snr in (-10.0, 50.0)
    }
    assert said == {-10.0: "happy", 50.0: "anger"}
    tiny = FUSION(FaceNow(face, 8), VoiceNow(voice, 3.0, 50.0))
    assert AFFECTNET[int(tiny.argmax())] == "anger"


def test_labels_go_by_name_whatever_their_order():
    face, voice = distribution(8, 7), distribution(8, 8)
    order, other = np.array([3, 1, 0, 2, 7, 6, 5, 4]), np.array([7, 6, 5, 4, 3, 2, 1, 0])
    turned = LateFusion(CARD, [AFFECTNET[i] for i in order], [RAVDESS[i] for i in other])
    wanted = FUSION(FaceNow(face), VoiceNow(voice))
    np.testing.assert_allclose(turned(FaceNow(face[order]), VoiceNow(voice[other])), wanted[order])
    with pytest.raises(EmotionError, match="train a fusion for them"):
        LateFusion(CARD, AFFECTNET[:7], RAVDESS)
    with pytest.raises(EmotionError, match="train a fusion for them"):
        LateFusion(CARD, AFFECTNET, (*RAVDESS, "bored"))


def test_the_card_comes_back_from_its_file(tmp_path):
    CARD.write(tmp_path / "mine.json")
    assert FusionCard.load(tmp_path / "mine.json") == CARD


def test_the_bundled_card_tells_what_it_is_worth():
    results = {result["protocol"]: result for result in CARD.results}
    for protocol in ("pairs of one class", "pairs of one class, weights fitted on the other half"):
        accuracy = results[protocol]["accuracy"]
        assert accuracy["both"] >= max(accuracy["face"], accuracy["voice"]) + 3
    assert sum(results["pairs of two classes"]["wins"].values()) == pytest.approx(100, abs=0.05)
    assert "pairs of strangers" in CARD.notes and "CC BY-NC-SA" in CARD.licence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prior": [1.0]}, "1 priors for 8 labels"),
        ({"face_weight": 0}, "weights must be above 0"),
        ({"voice_snr_db": [[5, 1], [0, 1]]}, "in order"),
        ({"voice_snr_db": []}, "in order"),
        ({"voice_labels": {"calm": "bored"}}, "bored"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_damaged_card_says_so(tmp_path, change, words):
    path = tmp_path / "f.json"
    path.write_text(json.dumps({**CARD.to_dict(), **change}))
    with pytest.raises(EmotionError, match=words):
        FusionCard.load(path)


def test_a_missing_card_says_so(tmp_path):
    with pytest.raises(EmotionError, match="no fusion nothing"):
        FusionCard.load("nothing")
    (tmp_path / "f.json").write_text("[]")
    with pytest.raises(EmotionError, match="holds no fusion"):
        FusionCard.load(tmp_path / "f.json")
