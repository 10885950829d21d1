"""``emotion infer``: find and label the faces in pictures."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotion_core.cli.mistakes import one_line
from emotion_core.errors import EmotionError
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.vision.detect import DETECTORS


@dataclass(frozen=True)
class _Job:
    image: Path
    overlay: Path | None


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "infer",
        help="find and label the faces in pictures",
        description="Find the faces in pictures and say what they show. A file that cannot be read is reported on "
        "stderr and the rest goes on; the exit code is then 2.",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="picture, or a folder of pictures")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="M", help="model name or path (default: %(default)s)")
    parser.add_argument("--detector", default="auto", choices=DETECTORS, help="face detector (default: %(default)s)")
    parser.add_argument(
        "--vote", action="store_true", help="label by the branches' vote instead of their mean probability"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line a picture")
    parser.add_argument(
        "--draw",
        metavar="DIR",
        help="also write the pictures with their estimates into this folder, as PNG; of several with one name the "
        "later ones get -2, -3, … in their order",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Label every picture."""
    import sys

    from emotion_core.pipeline.still import StillPipeline

    jobs = _jobs(args.images, args.draw)
    pipeline = StillPipeline(args.model, args.detector, vote=args.vote)
    code = 0
    for job in jobs:
        try:
            result = _infer(pipeline, job)
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
    overlays = Outputs(files).claim_each(draw, [path.stem for path in files], ".png", "--draw")
    return [_Job(path, overlay) for path, overlay in zip(files, overlays, strict=True)]


def _infer(pipeline: Any, job: _Job) -> dict[str, Any]:
    from emotion_core.media.pictures import read_picture, write_picture
    from emotion_core.vision.draw import draw_estimates

    stored = read_picture(job.image)
    estimates = pipeline.process(stored.image)
    if job.overlay is not None:
        write_picture(job.overlay, draw_estimates(stored.image, estimates))
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


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if value != value else round(value, 4)


def _sentence(result: dict[str, Any]) -> str:
    if not result["faces"]:
        return f"{result['source']}: no face"
    parts = [
        f"{face['label']} {face['confidence']:.0%} at {','.join(map(str, face['box']))}" for face in result["faces"]
    ]
    return f"{result['source']}: {'; '.join(parts)}"
