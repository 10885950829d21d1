"""``emotion train fusion``: how far to trust a face and a voice."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from emotion_core.data.voices import VOICE_SETS
from emotion_core.runtime.fusion import DEFAULT_FUSION
from emotion_core.store.finding import DEFAULT_MODEL, DEFAULT_VOICE
from emotion_core.vision.detect import DETECTORS


def add_fusion(learners: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    fusion = learners.add_parser(
        "fusion",
        help="how far to trust a face and a voice when both speak of one person",
        description="Fit the weights of the late fusion on validation data of both models: by the size of the face, "
        "the detector's score, the noise, and how much was said. Measures it on random pairs of faces and voices, "
        "since no data here has both at once. Writes the card of the fusion.",
    )
    fusion.add_argument("--faces", required=True, metavar="DIR", help="FER+, of which PublicTest is taken")
    fusion.add_argument("--voices", required=True, metavar="DIR", help="voices, of which the validation split is taken")
    fusion.add_argument(
        "--dataset", choices=VOICE_SETS, default="ravdess", help="what --voices is (default: %(default)s)"
    )
    fusion.add_argument("--face-model", default=DEFAULT_MODEL, metavar="M", help="name or path (default: %(default)s)")
    fusion.add_argument("--voice-model", default=DEFAULT_VOICE, metavar="M", help="name or path (default: %(default)s)")
    fusion.add_argument("--detector", choices=DETECTORS, default="auto", help="whose scores are looked at")
    fusion.add_argument("--out", required=True, metavar="FILE.json", help="the card to write")
    fusion.add_argument("--name", default=DEFAULT_FUSION, help="in the card (default: %(default)s)")
    fusion.add_argument("--seed", type=int, default=0, metavar="N", help="decides noise and pairs (default: 0)")
    fusion.add_argument("--json", action="store_true", help="print the card as one JSON line")
    fusion.set_defaults(run=run_fusion)


def run_fusion(args: argparse.Namespace) -> int:
    """Fit, write the card and tell what it measured."""
    from rich.console import Console
    from rich.progress import Progress

    from emotion_core.data.ferplus import load_ferplus
    from emotion_core.runtime.classifier import Classifier
    from emotion_core.runtime.voice import VoiceModel
    from emotion_core.store.outputs import Outputs
    from emotion_core.training.fusion import fit_fusion
    from emotion_core.vision.detect import create_detector

    kind = VOICE_SETS[args.dataset]
    out = Outputs([args.faces, args.voices]).claim(args.out, "--out")
    face, voice = Classifier.load(args.face_model, threads=0), VoiceModel.load(args.voice_model)
    faces, voices = load_ferplus(args.faces, "valid"), kind.read(args.voices, "valid")
    detector = create_detector(args.detector, min_score=0.3)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, object] = {}

        def tell(what: str, done: int, total: int) -> None:
            task = tasks.setdefault(what, progress.add_task(what, total=total))
            progress.update(task, completed=done)  # type: ignore[arg-type]

        card = fit_fusion(
            args.name, face, faces, voice, voices, kind.read(args.voices, "train"), detector, args.seed, tell
        )
    card = replace(
        card,
        licence=f"{voice.card.licence}; faces: {face.card.licence}",
        training={
            "faces": f"FER+ PublicTest, {len(faces)} faces",
            "voices": f"{kind.title} validation, {len(voices)} utterances of {len(set(voices.speakers))} speakers",
            "command": f"emotion train fusion --faces ferplus --voices {args.dataset} --detector {detector.name} "
            f"--seed {args.seed} --out {args.name}.json",
            "seed": args.seed,
        },
        notes="No data here has face and voice of the same moment: the weights come from the calibration of each sense "
        "alone, and the accuracies from pairs of strangers of one class.",
    )
    card.write(out)
    if args.json:
        print(json.dumps(card.to_dict()))
        return 0
    print(f"{out}: face {card.face_weight:g}, voice {card.voice_weight:g}")
    for result in card.results:
        for key in ("accuracy", "macro_recall", "wins"):
            if key in result:
                said = ", ".join(f"{name} {value:.2f} %" for name, value in result[key].items())
                print(f"{result['protocol']}, n {result['n']}: {key.replace('_', ' ')} {said}")
    return 0
