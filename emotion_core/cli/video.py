"""``emotion video``: label the faces in pictures, in videos and before a camera, branch by branch."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_core.cli.arguments import BLUR_HELP, BLURS, count, seconds
from emotion_core.cli.pipeline_options import add_pipeline_options, given_options, read_pipeline_options
from emotion_core.cli.progress import media_progress
from emotion_core.cli.source_options import PICTURES_HELP, add_source_options
from emotion_core.cli.subtitles import Subtitles
from emotion_core.cli.tally import Tally, sentence
from emotion_core.cli.video_table import open_table
from emotion_core.errors import EmotionError
from emotion_core.media.addresses import shown
from emotion_core.media.sinks import PictureSink, Sink, VideoSink, WindowSink
from emotion_core.pipeline.audiovisual import AudiovisualConfig
from emotion_core.pipeline.still_config import as_in_streams
from emotion_core.store.files import user_path
from emotion_core.store.outputs import Outputs, model_files

if TYPE_CHECKING:
    from emotion_core.media.frames import FrameSource
    from emotion_core.types import Picture

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoConfig(AudiovisualConfig):
    """The parameters of the nodes, with all cores: nothing else runs meanwhile."""

    threads: int = as_in_streams("threads", 0)


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Find, follow and label faces. Without --out a window shows the result until q or Esc is "
        "pressed. What is drawn of a video is smoothed over time; the table holds the values of each frame alone. A "
        "frame that cannot be read or processed is counted, and the rest goes on. In single pictures faces are "
        "searched with the defaults of emotion infer."
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help=f"picture, video, index of a camera, rtsp or http(s) stream, or {PICTURES_HELP}",
    )
    add_source_options(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="the .mp4 to write; of a picture .png or .jpg; of a folder .mp4, or a folder for its pictures one by one, "
        "as PNG (of several with one name the later ones get -2, -3, … in the order of the files' names)",
    )
    parser.add_argument(
        "--audio",
        nargs="?",
        const=True,
        metavar="FILE",
        help="hear too: the sound track of SOURCE (then put --audio behind it), or this file; a strip below the frame "
        "shows what was heard and what the voice says",
    )
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="write a row for each frame, face and member of the ensemble, with --audio also for voice and both",
    )
    parser.add_argument("--srt", metavar="FILE", help="write subtitles of a video: what each person shows, in spans")
    parser.add_argument("--every", type=count, default=1, metavar="N", help="process each Nth frame (default: all)")
    parser.add_argument("--branches", action="store_true", help="show beside the frame what each branch says")
    parser.add_argument(
        "--gradcam",
        action="store_true",
        help="and which part of the face made it say so (takes torch, and M's .safetensors beside its .onnx)",
    )
    parser.add_argument("--blur", choices=BLURS, default="none", help=BLUR_HELP)
    parser.add_argument(
        "--size", type=_size, metavar="WxH", help="of the result (default: the frame's; 1280x720 with branches)"
    )
    parser.add_argument("--duration", type=seconds, default=math.inf, metavar="S", help="stop after S seconds")
    parser.add_argument("--json", action="store_true", help="print a JSON line about the run at its end")
    add_pipeline_options(parser, VideoConfig)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Process the source; 130 when interrupted before its end."""
    from emotion_core.cli.video_sound import open_sound
    from emotion_core.media.frames import open_frames
    from emotion_core.plots.observer import Observer

    path = user_path(args.source)
    config = read_pipeline_options(args, VideoConfig)
    tally, subtitles, interrupted = Tally(), Subtitles(), False
    with contextlib.ExitStack() as stack:
        given = {"recursive": args.recursive, "allow_private": args.allow_private}
        source = stack.enter_context(open_frames(args.source, **given))
        picture, folder = source.is_picture, source.are_pictures
        stills = picture or (folder and Path(args.out or "").suffix.lower() != ".mp4")
        files = list(source.files) or [path]
        if args.srt and stills:
            raise EmotionError(f"--srt goes with a video, and {shown(args.source)} is none")
        sound = open_sound(args, source.is_live or folder or picture)
        heard = [user_path(args.audio)] if isinstance(args.audio, str) else []
        models = [*model_files(config.model), *(model_files(config.voice_model) if sound is not None else ())]
        outputs = Outputs([*files, *heard, *models])
        observer = Observer(
            config.model,
            config.detector,
            stills=stills,
            size=args.size,
            panel=args.branches,
            gradcam=args.gradcam,
            voice_model=None if sound is None else config.voice_model,
            settings=given_options(args, VideoConfig) | {"threads": config.threads},
            blur=args.blur == "faces",
        )
        sink, names = _sink(args, source, outputs, picture, [file.stem for file in files] if stills else [])
        stack.enter_context(contextlib.closing(sink))
        srt = outputs.claim(args.srt, "--srt") if args.srt else None
        table = stack.enter_context(open_table(outputs.claim(args.csv, "--csv"), observer.labels)) if args.csv else None
        try:
            with media_progress(_length_s(args, source, stills, path)) as tell:
                for index, stamp_s, image, name in _frames(source, files, names, folder and stills, tally):
                    if stamp_s >= args.duration and not stills:
                        break
                    tally.frames += 1
                    if sound is not None:
                        sound.play(observer, stamp_s)
                    if index % args.every:
                        continue
                    try:
                        estimates = observer.look(image, stamp_s)
                        drawn = observer.draw(image, stamp_s) if sink.shows else None
                    except Exception as error:  # whatever is wrong with this frame, the next may be well
                        tally.fail(error)
                        continue
                    tally.add(estimates, stamp_s)
                    if srt is not None:
                        subtitles.add(stamp_s, estimates)
                    if table is not None:
                        table.add(index, stamp_s, estimates, observer.output, observer.voice(stamp_s))
                    if drawn is not None and not sink.put(drawn, stamp_s, name):
                        break
                    tell(stamp_s, tally.processed)
        except KeyboardInterrupt:
            interrupted = True
        tally.check(shown(args.source), interrupted)
        sink.close()
        if srt is not None:
            subtitles.write(srt)
        report = {"source": shown(args.source), "model": observer.model, "detector": observer.detector}
        report |= tally.report(source.skipped) | {"written": sink.written}
        report |= {"out": args.out, "csv": args.csv, "srt": args.srt}
        if sound is not None:
            report |= sound.report(observer) | {"senses": tally.senses()}
    print(json.dumps(report) if args.json else sentence(report, ("out", "csv", "srt")))
    return 130 if interrupted and not source.is_live else 0


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and 16 <= int(part) <= 7680 for part in parts):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT in pixels, each of 16 to 7680, got {text!r}")
    return int(parts[0]), int(parts[1])


def _frames(
    source: FrameSource, files: list[Path], names: list[str], one_by_one: bool, tally: Tally
) -> Iterator[tuple[int, float, Picture, str]]:
    """Index, time in seconds, picture and name of each frame; an end before its time is told, not raised."""
    from emotion_core.media.frames import STILLS_RATE_HZ
    from emotion_core.media.pictures import read_picture

    if one_by_one:
        for index, (file, name) in enumerate(zip(files, names, strict=True)):
            try:
                image = read_picture(file).image
            except EmotionError as error:
                tally.fail(error)
            else:
                yield index, index / STILLS_RATE_HZ, image, name
        return
    try:
        for index, (image, stamp_s) in enumerate(source):
            yield index, stamp_s, image, names[0] if names else ""
    except EmotionError as error:
        if not tally.processed:
            raise
        _LOG.warning("%s", error)


def _sink(
    args: argparse.Namespace, source: FrameSource, outputs: Outputs, picture: bool, stems: list[str]
) -> tuple[Sink, list[str]]:
    """What --out asks for, else a window; nothing where only the table is wanted and there is no window.

    Also the names under which it takes pictures, one for each of ``stems``, which are empty for a video.
    """
    from emotion_core.media.frames import is_still

    if args.out is None:
        try:
            return WindowSink(f"emotion video {shown(args.source)}", waits=bool(stems)), stems
        except EmotionError as error:
            if args.csv or args.srt:
                return Sink(), stems
            raise EmotionError(f"{error}: add --out FILE to write the result") from None
    out = user_path(args.out)
    if picture:
        if not is_still(out):
            raise EmotionError(f"--out {out}: expected a file ending in .png or .jpg, for {args.source} is a picture")
        return PictureSink(outputs.claim(out, "--out"), True), stems
    if stems:
        if out.suffix and not out.is_dir():
            raise EmotionError(
                f"--out {out}: expected a folder or a file ending in .mp4, for {args.source} is a folder"
            )
        return PictureSink(out, False), [path.stem for path in outputs.claim_each(out, stems, ".png", "--out")]
    if out.suffix.lower() != ".mp4":
        raise EmotionError(f"--out {out}: expected a file ending in .mp4, for {shown(args.source)} is a video")
    rate_hz = (source.rate_hz or 30.0) / args.every
    return VideoSink(outputs.claim(out, "--out"), rate_hz, source.is_live), []


def _length_s(args: argparse.Namespace, source: FrameSource, stills: bool, path: Path) -> float | None:
    """Seconds that there are to process, None where that is not known."""
    length = math.inf
    if not (stills or source.is_live or source.are_pictures):
        import av

        with (
            contextlib.suppress(Exception),
            av.open(str(path.absolute())) as container,
        ):  # a guess for the progress only
            length = (container.duration or math.inf) / 1e6
    length = min(length, args.duration)
    return length if math.isfinite(length) else None
