"""``emotion replay``: a recorded bag through the pipeline of the nodes, offline, or back into ROS."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from emotion_core.cli.arguments import BLUR_HELP, BLURS, seconds
from emotion_core.cli.pipeline_options import add_pipeline_options, read_pipeline_options
from emotion_core.cli.progress import media_progress
from emotion_core.cli.tally import Tally, sentence
from emotion_core.errors import EmotionError
from emotion_core.pipeline.audiovisual import AudiovisualConfig
from emotion_core.pipeline.facial import FacialConfig
from emotion_core.store.files import user_path
from emotion_core.store.outputs import Outputs, model_files

if TYPE_CHECKING:
    from emotion_core.media.bags import BagReader, Sample
    from emotion_core.recording.estimate_bag import EstimateBag
    from emotion_core.recording.recording import Recording
    from emotion_core.recording.replay import Pipeline, Step

_LOG = logging.getLogger(__name__)
OVERLAYS = ("compressed", "raw")


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Drive the pipeline of the nodes with the pictures and the sound of a bag, offline and by the "
        "stamps in it: the same bag always gives the same estimates. Of a damaged bag what can be read is read, and "
        "the rest is told."
    )
    parser.add_argument("bag", metavar="BAG", help="folder of a bag, or one of its files: .mcap or .db3")
    parser.add_argument(
        "--topics",
        nargs="+",
        default=[],
        metavar="NAME",
        help="one with pictures, one with sound (default: the only ones of their kind)",
    )
    parser.add_argument("--no-sound", action="store_true", help="look only, also where the bag has sound")
    parser.add_argument(
        "--output",
        metavar="OUT",
        help="write a bag with the estimates: OUT.mcap, OUT.db3, or a folder for any other name",
    )
    parser.add_argument(
        "--overlay",
        nargs="?",
        const=OVERLAYS[0],
        choices=OVERLAYS,
        help="with --output, also the pictures with what is drawn into them, as JPEG or raw",
    )
    parser.add_argument("--blur", choices=BLURS, default="none", help=f"with --overlay: {BLUR_HELP}")
    parser.add_argument(
        "--estimates-topic",
        metavar="NAME",
        help="in OUT (default: /facial/estimates, with sound /audiovisual/estimates)",
    )
    parser.add_argument("--csv", metavar="FILE", help="write a row for each estimate")
    parser.add_argument("--plot", metavar="FILE", help="draw a timeline, a .png")
    parser.add_argument("--realtime", action="store_true", help="no faster than it was recorded")
    parser.add_argument("--duration", type=seconds, default=math.inf, metavar="S", help="stop after S seconds")
    parser.add_argument("--json", action="store_true", help="print a JSON line about the run at its end")
    ros = parser.add_argument_group("into ROS", "instead of estimating here")
    ros.add_argument(
        "--publish", action="store_true", help="play the bag's messages into ROS, with its time on /clock, as recorded"
    )
    ros.add_argument("--rate", type=float, metavar="X", help="times as fast as recorded (default: 1)")
    ros.add_argument(
        "--wait-for",
        metavar="NAME",
        help="topic of estimates that each next picture waits for, so that none is dropped: /facial/estimates",
    )
    add_pipeline_options(parser, AudiovisualConfig)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay the bag; 130 when interrupted before its end, and what there is till then is written."""
    from emotion_core.media.bags import BagReader
    from emotion_core.recording.replay import make_pipeline

    if args.publish:
        return _publish(args)
    if args.rate is not None or args.wait_for is not None:
        raise EmotionError("--rate and --wait-for go with --publish: add it, or leave them out")
    if args.overlay and not args.output:
        raise EmotionError("--overlay goes into a bag: name it with --output OUT.mcap")
    if args.blur != "none" and not args.overlay:
        raise EmotionError("--blur is about what is drawn: add --overlay, and --output OUT.mcap")
    with BagReader(args.bag, args.topics, not args.no_sound) as reader:
        config = read_pipeline_options(args, FacialConfig if reader.audio is None else AudiovisualConfig)
        outputs = Outputs(_models(config), [reader.path])
        table = outputs.claim(args.csv, "--csv") if args.csv else None
        plot = outputs.claim(args.plot, "--plot") if args.plot else None
        done = _Done(make_pipeline(config))
        with _bag(args, outputs, reader, config.detector) as bag:
            done.go_through(reader, bag, args.duration, args.realtime)
            if reader.image is not None:
                done.tally.check(args.bag, done.interrupted)
        if table is not None:
            done.recording.write_csv(table)
        if plot is not None:
            _plot(done.recording, plot, reader.path.name)
        for line in reader.damage:
            _LOG.warning("%s: %s", args.bag, line)
        report = done.report(reader) | {"source": args.bag, "written": bag.written if bag else 0}
        report |= {"output": args.output, "csv": args.csv, "plot": args.plot}
    if args.json:
        print(json.dumps(report))
    else:
        _print(report, done.recording)
    return 130 if done.interrupted else 0


def _publish(args: argparse.Namespace) -> NoReturn:
    """Become the node that plays bags."""
    from emotion_core.cli.node import become, need_ros, ros_parameters

    if (files := [name for name in ("output", "csv", "plot") if getattr(args, name)]) or args.json:
        raise EmotionError(f"--publish estimates nothing: leave out --{(files or ['json'])[0]}")
    need_ros()
    values = {"bag": str(user_path(args.bag).absolute()), "topics": " ".join(args.topics), "rate": args.rate or 1.0}
    become("bag_player", *ros_parameters(**values, wait_for=args.wait_for or ""))


class _Done:
    """What a replay has come to so far."""

    def __init__(self, pipeline: Pipeline) -> None:
        from emotion_core.recording.recording import Recording

        self.pipeline, self.tally, self.recording = pipeline, Tally(), Recording()
        self.interrupted = False
        self._took_s = 0.0

    def go_through(self, reader: BagReader, bag: EstimateBag | None, duration_s: float, realtime: bool) -> None:
        """Estimate, and write into the bag, until the end, the duration or Ctrl-C."""
        from emotion_core.recording.replay import replay

        start_ns, end_ns = reader.span_ns
        began_s = time.monotonic()
        try:
            with media_progress(min(duration_s, (end_ns - start_ns) / 1e9)) as tell:
                for step in replay(_until(reader, start_ns, duration_s, realtime), self.pipeline):
                    self._add(step, (step.sample.bag_ns - start_ns) / 1e9)
                    if bag is not None:
                        bag.add(step)
                    tell((step.sample.bag_ns - start_ns) / 1e9, self.tally.processed)
        except KeyboardInterrupt:
            self.interrupted = True
        self._took_s = time.monotonic() - began_s

    def _add(self, step: Step, media_s: float) -> None:
        from emotion_core.media.bags import BagPicture

        picture = isinstance(step.sample, BagPicture)
        self.tally.frames += picture
        if step.failure is not None:
            self.tally.fail(step.failure)
        elif picture:
            self.tally.add(step.estimates, media_s)
            self.recording.add(step.sample.stamp_s, step.estimates, math.nan)  # offline, nothing is on its way
        elif step.estimates:
            self.tally.hear(step.estimates)
            self.recording.add(step.estimates[0].stamp_s, step.estimates, math.nan)

    def report(self, reader: BagReader) -> dict[str, Any]:
        """The figures, for JSON."""
        from emotion_core.recording.replay import model_of

        model, detector = model_of(self.pipeline)
        counts = self.tally.report(reader.counts.bad)
        topics = [topic.name for topic in (reader.image, reader.audio) if topic is not None]
        report = {
            "model": model,
            "detector": detector,
            "topics": topics,
            **counts,
            "chunks": reader.counts.chunks,
            "first_bad": reader.counts.first_bad,
            "damage": list(reader.damage),
            "speed": round(counts["seconds"] / self._took_s, 2) if self._took_s else 0.0,
        }
        return report if reader.audio is None else report | {"senses": self.tally.senses()}


def _models(config: FacialConfig) -> list[Path]:
    """The files of the models, as sources."""
    voice = model_files(config.voice_model) if isinstance(config, AudiovisualConfig) else []
    return [*model_files(config.model), *voice]


@contextlib.contextmanager
def _bag(args: argparse.Namespace, outputs: Outputs, reader: BagReader, detector: str) -> Iterator[EstimateBag | None]:
    """What --output asks for."""
    from emotion_core.media.bag_writer import STORAGES
    from emotion_core.recording.estimate_bag import EstimateBag
    from emotion_core.vision.blur import FaceBlur

    if args.output is None:
        yield None
        return
    out = user_path(args.output)
    if out.suffix in STORAGES:
        outputs.claim(out, "--output")
    node = "facial" if reader.audio is None else "audiovisual"
    blur = FaceBlur(detector) if args.blur == "faces" else None
    with EstimateBag(out, args.estimates_topic or f"/{node}/estimates", args.overlay or "", blur) as bag:
        yield bag


def _until(reader: BagReader, start_ns: int, duration_s: float, realtime: bool) -> Iterator[Sample]:
    """The samples of the first seconds, each in its time if that is wanted."""
    began_s = time.monotonic()
    for sample in reader:
        media_s = (sample.bag_ns - start_ns) / 1e9
        if media_s > duration_s:
            return
        if realtime and (early_s := media_s - (time.monotonic() - began_s)) > 0:
            time.sleep(early_s)
        yield sample


def _plot(recording: Recording, path: Path, name: str) -> None:
    from emotion_core.plots.timeline import plot_timeline

    plot_timeline(recording.rows, path, f"Emotions: {name}", stamps_s=recording.stamps_s)


def _print(report: dict[str, Any], recording: Recording) -> None:
    """A line about the run, and one for each person."""
    from emotion_core.cli.strips import strips
    from emotion_core.cli.terminal import output

    print(sentence(report, ("output", "csv", "plot")))
    if report["seconds"]:
        print(f"{report['seconds']:.1f} s of the bag at {report['speed']:.1f} times their speed")
    console = output()
    for line in strips(recording.rows, recording.stamps_s, min(console.width, 100)):
        console.print(line)
