"""``emotion infer``: find and label the faces in pictures, and the voices in recordings."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotion_core.cli.arguments import BLUR_HELP, BLURS
from emotion_core.cli.mistakes import one_line
from emotion_core.data.voices import SOUND_SUFFIXES
from emotion_core.errors import EmotionError
from emotion_core.store.finding import DEFAULT_MODEL, DEFAULT_VOICE
from emotion_core.vision.detect import DETECTORS


@dataclass(frozen=True)
class _Job:
    image: Path
    overlay: Path | None

    @property
    def is_sound(self) -> bool:
        """Whether it is a recording, by its name."""
        return self.image.suffix.lower() in SOUND_SUFFIXES


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "infer",
        help="find and label the faces in pictures, the voice in a recording",
        description="Find the faces in pictures and say what they show; say what the voice in a recording sounds like, "
        f"each file ({' '.join(SOUND_SUFFIXES)}) taken for one utterance. A file that cannot be read is reported on "
        "stderr and the rest goes on; the exit code is then 2.",
    )
    parser.add_argument(
        "images", nargs="+", metavar="FILE", help="picture, recording of a voice, or a folder of pictures"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="M", help="model name or path (default: %(default)s)")
    parser.add_argument(
        "--voice-model", default=DEFAULT_VOICE, metavar="M", help="for recordings (default: %(default)s)"
    )
    parser.add_argument("--detector", default="auto", choices=DETECTORS, help="face detector (default: %(default)s)")
    parser.add_argument(
        "--vote", action="store_true", help="label by the branches' vote instead of their mean probability"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line a file")
    parser.add_argument(
        "--draw",
        metavar="DIR",
        help="also write the pictures with their estimates into this folder, as PNG; of several with one name the "
        "later ones get -2, -3, … in their order",
    )
    parser.add_argument("--blur", choices=BLURS, default="none", help=f"with --draw: {BLUR_HELP}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Label every picture and every voice."""
    import sys

    from emotion_core.pipeline.still import StillPipeline

    if args.blur != "none" and args.draw is None:
        raise EmotionError("--blur is about what is drawn: add --draw DIR")
    jobs = _jobs(args.images, args.draw)
    blur: Any = None
    if args.blur != "none":
        from emotion_core.vision.blur import FaceBlur

        blur = FaceBlur(args.detector)
    pipeline: Any = None
    voice: Any = None
    if any(not job.is_sound for job in jobs):
        pipeline = StillPipeline(args.model, args.detector, vote=args.vote)
    if any(job.is_sound for job in jobs):
        from emotion_core.runtime.voice import VoiceModel

        voice = VoiceModel.load(args.voice_model)
    code = 0
    for job in jobs:
        try:
            result = _infer_voice(voice, job) if job.is_sound else _infer(pipeline, job, blur)
        except EmotionError as error:
            print(f"emotion: error: {one_line(str(error))}", file=sys.stderr)
            code = 2
            continue
        print(json.dumps(result) if args.json else _sentence(result), flush=True)
    return code


def _jobs(names: list[str], draw: str | None) -> list[_Job]:
    from emotion_core.media.frames import IMAGE_SUFFIXES, pictures_in
    from emotion_core.store.outputs import Outputs

    files: list[Path] = []
    for name in map(Path, names):
        if not name.is_dir():
            files.append(name)
        elif found := pictures_in(name):
            files += found
        else:
            raise EmotionError(f"{name} holds no picture ({', '.join(IMAGE_SUFFIXES)})")
    if draw is None:
        return [_Job(path, None) for path in files]
    pictures = [path for path in files if path.suffix.lower() not in SOUND_SUFFIXES]
    overlays = Outputs(files).claim_each(draw, [path.stem for path in pictures], ".png", "--draw")
    drawn = dict(zip(pictures, overlays, strict=True))
    return [_Job(path, drawn.get(path)) for path in files]


def _infer(pipeline: Any, job: _Job, blur: Any) -> dict[str, Any]:
    from emotion_core.media.pictures import read_picture, write_picture
    from emotion_core.vision.draw import draw_estimates

    stored = read_picture(job.image)
    estimates = pipeline.process(stored.image)
    if job.overlay is not None:
        shown = stored.image
        if blur is not None:
            blur.reset()
            shown = blur(shown, estimates, 0.0)
        write_picture(job.overlay, draw_estimates(shown, estimates))
    faces = []
    for estimate in estimates:
        assert estimate.face is not None
        faces.append(
            {
                "box": list(estimate.face.box.scaled(stored.scale).clamped(stored.width, stored.height)),
                "score": round(estimate.face.score, 4),
                "label": estimate.label,
                "confidence": round(estimate.confidence, 4),
                "probabilities": {k: round(p, 4) for k, p in zip(estimate.labels, estimate.probabilities, strict=True)},
                "valence": _number(estimate.valence),
                "arousal": _number(estimate.arousal),
            }
        )
    return {"source": str(job.image), "width": stored.width, "height": stored.height, "faces": faces}


def _infer_voice(model: Any, job: _Job) -> dict[str, Any]:
    """A recording as one utterance; "voice" is None where nobody speaks."""
    from emotion_core.audio.activity import RATE_HZ
    from emotion_core.media.sound import read_sound
    from emotion_core.pipeline.voice import hear_whole

    sound = read_sound(job.image, RATE_HZ)
    heard = hear_whole(model, sound.samples, sound.duration_s)
    result: dict[str, Any] = {"source": str(job.image), "seconds": round(sound.duration_s, 3), "voice": None}
    if heard is not None:
        said = dict(zip(model.card.labels, heard.probabilities.tolist(), strict=True))
        label = max(said, key=lambda name: said[name])
        result["voice"] = {
            "label": label,
            "confidence": round(said[label], 4),
            "probabilities": {name: round(p, 4) for name, p in said.items()},
            "speech_s": round(heard.speech_s, 3),
            "snr_db": _number(heard.snr_db),
        }
    return result


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if value != value else round(value, 4)


def _sentence(result: dict[str, Any]) -> str:
    if "voice" in result:
        voice = result["voice"]
        if voice is None:
            return f"{result['source']}: no voice"
        noise = "" if voice["snr_db"] is None else f", {voice['snr_db']:.0f} dB above the noise"
        return (
            f"{result['source']}: {voice['label']} {voice['confidence']:.0%} ({voice['speech_s']:.1f} s spoken{noise})"
        )
    if not result["faces"]:
        return f"{result['source']}: no face"
    parts = [
        f"{face['label']} {face['confidence']:.0%} at {','.join(map(str, face['box']))}" for face in result["faces"]
    ]
    return f"{result['source']}: {'; '.join(parts)}"
