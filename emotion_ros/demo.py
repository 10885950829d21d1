"""The whole chain on one machine: a source of images, the facial node and the recorder, each a process of its own.

python -m emotion_ros.demo [--video FILE | --camera N] [--duration 10] [--out out]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emotion_core.cli.mistakes import describe, escape_unprintable, one_line
from emotion_core.errors import EmotionError
from emotion_core.media.clip import pan_still
from emotion_core.recording.recording import Summary
from emotion_core.store.files import prepare_folder, user_path
from emotion_core.vision.detect import DETECTORS
from emotion_ros.process.children import Child, NodeError, stop_all
from emotion_ros.process.domains import free_domain
from emotion_ros.process.signals import interrupt_once

START_S = 60.0
"""So long may a node take until it is ready: the first one after an installation compiles."""
SILENCE_S = 30.0
"""So long may no frame be recorded before the demo gives up."""

_RECORDED = re.compile(r"recorded (\d+\.\d) s, (\d+) frames")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m emotion_ros.demo",
        description="Run source, facial and recorder node, and write down what they see.",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--video", metavar="FILE", help="a video or picture, or a folder of pictures")
    source.add_argument("--camera", metavar="N", help="a camera's number or device")
    parser.add_argument("--duration", type=_seconds, default=10.0, metavar="S", help="0: to the end, or until Ctrl-C")
    parser.add_argument("--out", default="out", metavar="DIR", help="folder for video, tables and picture (out)")
    parser.add_argument("--model", metavar="NAME", help="a bundled or downloaded model, or the path of an ONNX file")
    parser.add_argument("--detector", choices=DETECTORS, default="auto", help="face detector (auto)")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"expected seconds between 0 and 86400, got {text}")
    return value


def environment() -> dict[str, str]:
    """For the nodes: nothing leaves the machine, no other run is heard, and images fit into shared memory."""
    result = dict(os.environ)
    result.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if result.get("ROS_DISTRO") == "humble":  # which does not know the discovery range
        result.setdefault("ROS_LOCALHOST_ONLY", "1")
    if not result.get("ROS_DOMAIN_ID"):
        result["ROS_DOMAIN_ID"] = str(free_domain())
    profile = _profile()
    if profile is not None:
        for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):  # Fast DDS 2, Fast DDS 3
            result.setdefault(name, str(profile))
    result["PYTHONUNBUFFERED"] = "1"
    return result


def _profile() -> Path | None:
    """The Fast DDS profile, as installed or in the source tree."""
    prefixes = [
        Path(p) / "share" / "emotion_perception" for p in os.environ.get("AMENT_PREFIX_PATH", "").split(":") if p
    ]
    for folder in (*prefixes, Path(__file__).resolve().parent.parent):
        if (path := folder / "config" / "fastdds_shm.xml").is_file():
            return path
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns:
        0; 1 when a node failed; 2 for bad usage or input; 130 after Ctrl-C before the end.
    """
    escape_unprintable()
    args = build_parser().parse_args(argv)
    interrupt_once()
    try:
        for module in ("rclpy", "emotion_perception"):
            if find_spec(module) is None:
                raise EmotionError(f"{module} cannot be imported: start with `make demo` or scripts/run")
        with tempfile.TemporaryDirectory(prefix="emotion_demo_") as folder:
            return _run(args, Path(folder))
    except NodeError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return error.code
    except (EmotionError, OSError) as error:
        print(f"demo: error: {one_line(describe(error) or '')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130


def _run(args: argparse.Namespace, folder: Path) -> int:
    out = prepare_folder(args.out).resolve()
    source, title, loop = _source(args, folder)
    say(f"source: {title}")
    env = environment()
    facial = _parameters(detector=args.detector, model=args.model, overlay_size=0)  # the video is as large as the clip
    recorder = _parameters(out=str(out), duration_s=args.duration, title=f"Emotions: {title}")
    remapped = ["-r", "estimates:=/facial/estimates", "-r", "overlay:=/facial/overlay"]
    children: list[Child] = []
    with _stopping(children):
        children.append(Child("recorder", [*remapped, *recorder], env))
        children.append(Child("facial", facial, env))
        for child in children:
            child.wait_for(re.compile(r"\bready\b"), START_S)
        say(children[1].find(re.compile(r"\bmodel .*")) or "nodes are ready")
        children.append(Child("source", _parameters(source=source, loop=loop, wait_for_subscriber=True), env))
        try:
            _record(children, args.duration)
        except KeyboardInterrupt:
            say("stopping, and writing what there is")
            children[0].stop(60.0)
            if args.duration:
                _report(out)
                raise
    return _report(out)


def _source(args: argparse.Namespace, folder: Path) -> tuple[str, str, bool]:
    """(the source node's parameter, what to call it, whether to repeat it)."""
    if args.camera is not None:
        return args.camera, f"camera {args.camera}", False
    if args.video is not None:
        path = user_path(args.video)
        if not path.exists():
            raise EmotionError(f"--video: expected a video or pictures, but there is no {path}")
        return str(path.resolve()), path.name, False
    say("no --video and no --camera: making a clip from matplotlib's sample photo of Grace Hopper")
    path = folder / "still.mp4"
    pan_still(path)
    return str(path), "Grace Hopper (a still photo, slowly panned)", True


def _parameters(**values: Any) -> list[str]:
    """ROS arguments; text is quoted, since YAML would take 0 or on for something else."""
    result = []
    for name, value in values.items():
        if value is not None:
            result += ["-p", f"{name}:={json.dumps(value, ensure_ascii=False)}"]
    return result


def _record(children: Sequence[Child], duration_s: float) -> None:
    """Show progress until the recorder ends; raises NodeError when a node ends that should not."""
    recorder, facial, source = children
    last, heard_s = "", time.monotonic()
    with _progress(duration_s) as show:
        while recorder.code is None:
            time.sleep(0.1)
            found = recorder.find(_RECORDED)
            if found and found != last:
                last, heard_s = found, time.monotonic()
                show(float(found.split()[1]), int(found.split()[3]))
            if facial.code is not None:
                raise facial.failure()
            if source.code is not None:
                if source.code:
                    raise source.failure()
                time.sleep(1.0)  # the last frames are still on their way
                break
            if time.monotonic() > heard_s + SILENCE_S:
                raise NodeError(f"nothing was recorded for {SILENCE_S:.0f} s; facial says: {facial.last_words()}")
    if recorder.code is None:
        say("the source has ended")
        recorder.stop(60.0)
    if recorder.code:
        raise recorder.failure()


@contextlib.contextmanager
def _progress(duration_s: float) -> Iterator[Any]:
    """Yields show(seconds, frames): a bar on a terminal, a line every other second elsewhere."""
    if not sys.stdout.isatty():
        shown = [-2.0]

        def line(seconds: float, frames: int) -> None:
            if seconds >= shown[0] + 2:
                shown[0] = seconds
                say(f"recording: {seconds:.0f} s, {frames} frames")

        yield line
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("recording"), BarColumn(), TextColumn("{task.fields[frames]} frames"), TimeElapsedColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("recording", total=duration_s or None, frames=0)
        yield lambda seconds, frames: bar.update(task, completed=seconds, frames=frames)


@contextlib.contextmanager
def _stopping(children: list[Child]) -> Iterator[None]:
    try:
        yield
    finally:
        # A second Ctrl-C must not leave processes behind.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        stop_all(children)
        signal.signal(signal.SIGINT, previous)


def _report(out: Path) -> int:
    from emotion_ros.recorder_node import SUMMARY, print_results

    print_results(Summary.load(out / SUMMARY), out)
    say(
        "next: make demo VIDEO=clip.mp4, or CAMERA=0 for yourself\n"
        "      scripts/run emotion infer photo.jpg\n"
        "      scripts/run emotion node facial --ros-args -r image:=/camera/image_raw\n"
        "      in RViz: an Image display on /facial/overlay"
    )
    return 0


def say(text: str) -> None:
    """A line for people, at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
