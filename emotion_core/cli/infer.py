"""``emotion infer``: find and label the faces in pictures."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.vision.detect import DETECTORS

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


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
    parser.add_argument("--draw", metavar="DIR", help="also write the pictures with their estimates into this folder")
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
            print(f"emotion: error: {error}", file=sys.stderr)
            code = 2
            continue
        print(json.dumps(result) if args.json else _sentence(result), flush=True)
    return code


def _jobs(names: list[str], draw: str | None) -> list[_Job]:
    files: list[Path] = []
    for name in map(Path, names):
        if name.is_dir():
            found = sorted(path for path in name.iterdir() if path.suffix.lower() in SUFFIXES)
            if not found:
                raise EmotionError(f"{name} holds no picture ({', '.join(sorted(SUFFIXES))})")
            files += found
        else:
            files.append(name)
    if draw is None:
        return [_Job(path, None) for path in files]
    folder = Path(draw)
    folder.mkdir(parents=True, exist_ok=True)
    return [_Job(path, folder / f"{path.stem}.png") for path in files]


def _infer(pipeline: Any, job: _Job) -> dict[str, Any]:
    import cv2

    from emotion_core.media.pixels import decode_compressed
    from emotion_core.store.files import atomic_write
    from emotion_core.vision.draw import draw_estimates

    if not job.image.is_file():
        raise EmotionError(f"{job.image} does not exist")
    try:
        image = decode_compressed(job.image.read_bytes())
    except (EmotionError, OSError) as error:
        raise EmotionError(f"{job.image} is not a readable picture: {error}") from None
    estimates = pipeline.process(image)
    if job.overlay is not None:
        with atomic_write(job.overlay) as path:
            cv2.imwrite(str(path), draw_estimates(image, estimates))
    faces = []
    for estimate in estimates:
        assert estimate.face is not None
        faces.append(
            {
                "box": list(estimate.face.box.clamped(image.shape[1], image.shape[0])),
                "score": round(estimate.face.score, 4),
                "label": estimate.label,
                "confidence": round(estimate.confidence, 4),
                "probabilities": {k: round(p, 4) for k, p in zip(estimate.labels, estimate.probabilities, strict=True)},
                "valence": _number(estimate.valence),
                "arousal": _number(estimate.arousal),
            }
        )
    return {"source": str(job.image), "width": image.shape[1], "height": image.shape[0], "faces": faces}


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
