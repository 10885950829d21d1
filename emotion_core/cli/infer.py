"""``emotion infer``: find and label the faces in pictures, and the voices in recordings."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_core.cli.arguments import BLUR_HELP, BLURS
from emotion_core.cli.boxes import Boxes
from emotion_core.cli.mistakes import one_line
from emotion_core.cli.pipeline_options import add_pipeline_options, read_pipeline_options
from emotion_core.cli.result_tables import ResultTables
from emotion_core.cli.results import of_picture, of_voice, sentence
from emotion_core.cli.source_options import PICTURES_HELP, add_source_options
from emotion_core.data.voices import SOUND_SUFFIXES
from emotion_core.errors import EmotionError
from emotion_core.pipeline.still_config import DETECT, StillConfig
from emotion_core.store.finding import DEFAULT_VOICE

if TYPE_CHECKING:
    from emotion_core.cli.sources import Source
    from emotion_core.pipeline.stages import Stages
    from emotion_core.types import EmotionEstimate, Picture


@dataclass(frozen=True)
class _Job:
    source: Source
    overlay: Path | None

    @property
    def is_sound(self) -> bool:
        """Whether it is a recording, by its name."""
        return self.source.suffix in SOUND_SUFFIXES


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Find the faces in pictures and say what they show; say what the voice in a recording sounds like, "
        f"each file ({' '.join(SOUND_SUFFIXES)}) taken for one utterance. A file that cannot be read is reported on "
        "stderr and the rest goes on. Exit code 1 when some files failed, 2 when all did."
    )
    parser.add_argument("images", nargs="+", metavar="FILE", help=f"picture, recording of a voice, or {PICTURES_HELP}")
    add_source_options(parser)
    parser.add_argument(
        "--voice-model", default=DEFAULT_VOICE, metavar="M", help="for recordings (default: %(default)s)"
    )
    parser.add_argument(
        "--vote", action="store_true", help="label by the branches' vote instead of their mean probability"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line a file, also for one that failed")
    parser.add_argument("--csv", metavar="FILE", help="write a row for each face and voice, see docs/pictures.md")
    parser.add_argument("--parquet", metavar="FILE", help="the same as Parquet (takes pyarrow)")
    parser.add_argument(
        "--boxes",
        metavar="FILE",
        help="where the faces are: a CSV file with the columns source,x,y,width,height in pixels; nothing is searched",
    )
    parser.add_argument("--timings", action="store_true", help="tell what each stage took, in milliseconds")
    parser.add_argument(
        "--draw",
        metavar="DIR",
        help="also write the pictures with their estimates into this folder, as PNG; of several with one name the "
        "later ones get -2, -3, … in their order",
    )
    parser.add_argument("--blur", choices=BLURS, default="none", help=f"with --draw: {BLUR_HELP}")
    add_pipeline_options(parser, StillConfig)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Label every picture and every voice; 1 when some of them failed, 2 when all did."""
    import sys

    if args.blur != "none" and args.draw is None:
        raise EmotionError("--blur is about what is drawn: add --draw DIR")
    config = read_pipeline_options(args, StillConfig)
    if args.boxes and config.faces != DETECT:
        raise EmotionError(f"--boxes says where the faces are: leave out --faces {config.faces}")
    jobs = _jobs(args)
    tables = ResultTables(args, [job.source.path for job in jobs if job.source.path is not None])
    tools = _Tools(args, config, jobs)
    failed = 0
    for job in jobs:
        try:
            result = tools.infer(job)
        except EmotionError as error:
            result = {"source": job.source.name, "error": one_line(str(error))}
            print(f"emotion: error: {result['error']}", file=sys.stderr)
            failed += 1
        tables.add(result, tools.models)
        if args.json:
            print(json.dumps(result), flush=True)
        elif "error" not in result:
            print(sentence(result), flush=True)
    tables.write(tools.labels)
    return 0 if not failed else 2 if failed == len(jobs) else 1


class _Tools:
    """What the files need: the models for faces and voices where there are such files, the blur, the boxes."""

    def __init__(self, args: argparse.Namespace, config: StillConfig, jobs: list[_Job]) -> None:
        self.models: dict[str, str] = {}
        self.labels: list[str] = []
        self._pipeline: Any = None
        self._voice: Any = None
        self._blur: Any = None
        self._boxes = Boxes(args.boxes) if args.boxes else None
        self._timings = args.timings
        if args.blur != "none":
            from emotion_core.vision.blur import FaceBlur

            self._blur = FaceBlur(config.detector)
        if any(not job.is_sound for job in jobs):
            from emotion_core.pipeline.still import StillPipeline

            self._pipeline = StillPipeline(vote=args.vote, **asdict(config))
            self._know("face", self._pipeline.classifier.card)
        if any(job.is_sound for job in jobs):
            from emotion_core.runtime.voice import VoiceModel

            self._voice = VoiceModel.load(args.voice_model)
            self._know("voice", self._voice.card)

    def infer(self, job: _Job) -> dict[str, Any]:
        """What is told about a file, as JSON holds it; raises EmotionError where it cannot be read."""
        from emotion_core.pipeline.stages import Stages

        stages = Stages()
        result = of_voice(Path(job.source.given), self._voice, stages) if job.is_sound else self._see(job, stages)
        if self._timings:
            result["timings_ms"] = {name: round(ms, 2) for name, ms in stages.ms.items()}
        return result

    def _see(self, job: _Job, stages: Stages) -> dict[str, Any]:
        with stages.time("read"):
            stored = job.source.read()
        given = None
        if self._boxes is not None:
            given = [face.placed(1 / stored.scale) for face in self._boxes.of(job.source.name)]
        estimates = self._pipeline.process(stored.image, given)
        stages.ms |= self._pipeline.timings_ms
        if job.overlay is not None:
            with stages.time("draw"):
                _draw(job.overlay, stored.image, estimates, self._blur)
        return of_picture(job.source.name, stored, estimates)

    def _know(self, kind: str, card: Any) -> None:
        self.models[kind] = card.name
        self.labels += [label for label in card.labels if label not in self.labels]


def _jobs(args: argparse.Namespace) -> list[_Job]:
    from emotion_core.cli.sources import resolve
    from emotion_core.store.outputs import Outputs

    sources = resolve(args.images, args.recursive, args.allow_private)
    if args.draw is None:
        return [_Job(source, None) for source in sources]
    pictures = [source for source in sources if source.suffix not in SOUND_SUFFIXES]
    files = [source.path for source in sources if source.path is not None]
    overlays = iter(Outputs(files).claim_each(args.draw, [source.stem for source in pictures], ".png", "--draw"))
    return [_Job(source, None if source.suffix in SOUND_SUFFIXES else next(overlays)) for source in sources]


def _draw(path: Path, image: Picture, estimates: list[EmotionEstimate], blur: Any) -> None:
    from emotion_core.media.pictures import write_picture
    from emotion_core.vision.draw import draw_estimates

    if blur is not None:
        blur.reset()
        image = blur(image, estimates, 0.0)
    write_picture(path, draw_estimates(image, estimates))
