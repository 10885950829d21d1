"""``emotion eval`` for what is heard, or heard and seen: RAVDESS, and pairs of faces and voices."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion_core.cli.eval_pictures import Pictures
from emotion_core.cli.train_audiovisual import CLIP_SETS, SPLITS, TITLES, open_clips
from emotion_core.errors import EmotionError

if TYPE_CHECKING:
    from emotion_core.evaluation.metrics import Classification

ALL_MODES = "all"
"""Each mode of ``data.clips.MODES``, one after the other."""
_FUSION_MODES = {"audiovisual": "both", "onlyaudio": "voice", "onlyvideo": "face"}


def run_clips(args: argparse.Namespace) -> int:
    """Measure a voice model, an audiovisual network or the late fusion."""
    from emotion_core.runtime.classifier import Classifier
    from emotion_core.runtime.fusion import is_fusion
    from emotion_core.runtime.voice import INPUTS

    if args.dimensional or args.vote or args.protocol or args.tta:
        options = "--dimensional, --vote, --protocol and --tta"
        raise EmotionError(f"{options} go with faces, not with {' or '.join(CLIP_SETS)}")
    if args.per_voice < 1:
        raise EmotionError(f"--per-voice must be at least 1, got {args.per_voice}")
    if args.risk:
        raise EmotionError(f"--risk goes with faces, not with {' or '.join(CLIP_SETS)}")
    if is_fusion(args.model):
        return _late_fusion(args)
    classifier = Classifier.load(args.model, threads=0)
    Pictures(args, [args.data])  # before minutes of work
    if tuple(item.name for item in classifier.card.inputs) == INPUTS:
        _no_card(args, "a voice model, whose training writes them")
        return _voice(args)
    return _network(args, classifier)


def _voice(args: argparse.Namespace) -> int:
    """How well voices are judged, the more of each speaker was heard before."""
    from emotion_core.audio.mel import mel_frames
    from emotion_core.data.voices import load_ravdess
    from emotion_core.evaluation.voices import evaluate_voices
    from emotion_core.media.sound import read_sound
    from emotion_core.runtime.voice import VoiceModel

    if args.dataset != "ravdess":
        raise EmotionError("a voice model is measured on --dataset ravdess")
    if args.mode not in (ALL_MODES, "onlyaudio"):
        raise EmotionError(f"a voice model has no mode {args.mode}")
    model, voices = VoiceModel.load(args.model), load_ravdess(args.data, args.split)
    heard, pooled = [], []
    for index in range(len(voices)):
        sound = read_sound(voices.path(index))
        said = model.remember(mel_frames(sound.samples, sound.rate_hz))
        heard.append(said[0])
        pooled.append(said[1])
    remembered = np.concatenate(heard)

    def classify(_: Any, known: Any) -> Any:
        return model.judge(remembered, known)

    results = evaluate_voices(np.stack(pooled), np.asarray(voices.targets), voices.speakers, classify, voices.labels)
    told = {f"{count} utterances heard before": result for count, result in results.items()}
    _tell(args, model.card.name, voices.labels, told, "voices")
    return 0


def _network(args: argparse.Namespace, classifier: Any) -> int:
    """An audiovisual network in one mode, or in all."""
    from emotion_core.cli.eval import note_results
    from emotion_core.data.clips import MODES
    from emotion_core.evaluation.modes import evaluate_mode, mode_results
    from emotion_core.models.registry import read_entry

    card = classifier.card
    architecture, config = read_entry(card.architecture, args.model)
    if architecture.type != "audiovisual":
        raise EmotionError(f"{card.name} is of type {architecture.type}: expected a voice or an audiovisual network")
    data = open_clips(args.dataset, args.data, args.faces, args.split, config, args.per_voice)
    modes = MODES if args.mode == ALL_MODES else (args.mode,)
    found = {mode: evaluate_mode(classifier, data, card.inputs, card.labels, mode) for mode in modes}
    labels = next(iter(found.values())).categories.labels
    if args.into_card:
        split = SPLITS.get((args.dataset, args.split), args.split)
        note_results(args.model, mode_results(found, TITLES[args.dataset], split, card.precision))
    _tell(args, card.name, labels, {mode: result.categories.ensemble for mode, result in found.items()}, "clips")
    return 0


def _no_card(args: argparse.Namespace, whom: str) -> None:
    if args.into_card:
        raise EmotionError(f"--into-card does not go with {whom}")


def _late_fusion(args: argparse.Namespace) -> int:
    """Face, voice, and both, on pairs."""
    from emotion_core.data.ferplus import load_ferplus
    from emotion_core.data.pairs import draw_pairs
    from emotion_core.data.voices import load_ravdess
    from emotion_core.evaluation.evaluate import run_network
    from emotion_core.evaluation.pairs import hear_all, measure_conflicts, measure_pairs, sounds_of
    from emotion_core.runtime.classifier import Classifier
    from emotion_core.runtime.fusion import FusionCard, LateFusion
    from emotion_core.runtime.voice import VoiceModel

    if args.dataset != "pairs" or args.faces is None:
        raise EmotionError("the late fusion is measured on --dataset pairs, with --faces and with voices in --data")
    _no_card(args, "the late fusion, whose fitting writes them")
    if args.confusion or args.calibration:
        raise EmotionError("--confusion and --calibration go with networks, not with the late fusion")
    if args.mode not in (*_FUSION_MODES, ALL_MODES):
        raise EmotionError(f"the late fusion has no mode {args.mode}: use {', '.join(_FUSION_MODES)} or all")
    card = FusionCard.load(args.model)
    face, voice = Classifier.load(card.face_model, threads=0), VoiceModel.load(card.voice_model)
    faces, voices = load_ferplus(args.faces, args.split), load_ravdess(args.data, args.split)
    fusion = LateFusion(card, face.card.labels, voice.card.labels)
    seen = run_network(face, faces, face.card.inputs).probabilities.astype(np.float64)
    heard = hear_all(voice, sounds_of(voices))
    same = measure_pairs(fusion, draw_pairs(faces, voices, args.per_voice), seen, heard)
    conflicts = measure_conflicts(fusion, draw_pairs(faces, voices, args.per_voice, conflicting=True), seen, heard)
    if args.mode != ALL_MODES:
        key = _FUSION_MODES[args.mode]
        same |= {figure: {key: same[figure][key]} for figure in ("accuracy", "macro_recall")}
    report = {"model": card.name, "dataset": "pairs", "split": args.split, "same": same, "conflicting": conflicts}
    if args.json:
        print(json.dumps(report))
        return 0
    print(f"{card.name} on {same['n']} pairs of one class, {args.split}")
    for key in same["accuracy"]:
        print(f"{key}: accuracy {same['accuracy'][key]:.2f} %, macro recall {same['macro_recall'][key]:.2f} %")
    wins = ", ".join(f"{name} {share:.1f} %" for name, share in conflicts["wins"].items())
    print(f"where they are of two classes ({conflicts['n']} pairs), right is: {wins}")
    return 0


def _tell(
    args: argparse.Namespace, name: str, labels: tuple[str, ...], results: dict[str, Classification], what: str
) -> None:
    title = f"{name} on {args.dataset} {args.split}, {next(iter(results))}"
    if pictures := Pictures(args, [args.data]):
        condition, first = next(iter(results.items()))
        pictures.write({condition: first}, labels, title, what)
    if args.json:
        rows = {condition: result.to_dict(labels) for condition, result in results.items()}
        print(json.dumps({"model": name, "dataset": args.dataset, "split": args.split, "results": rows}))
        return
    print(f"{name} on {args.dataset} {args.split}, {next(iter(results.values())).n} each time")
    for condition, result in results.items():
        print(
            f"{condition}: accuracy {result.accuracy:.2f} %, macro F1 {result.macro_f1:.2f} %, "
            f"calibration error {result.calibration_error:.2f} %"
        )
