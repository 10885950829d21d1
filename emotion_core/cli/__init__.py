"""The ``emotion`` command: one module a subcommand, each with ``add(subparsers)`` and ``run(args) -> exit code``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from emotion_core.cli import bench, download, eval, export, infer, models, node, prepare, train, video
from emotion_core.errors import EmotionError

EXAMPLES = """\
examples:
  emotion infer photo.jpg                       what do the faces in a photo show?
  emotion video clip.mp4 --branches --out seen.mp4
  emotion node facial                           run the ROS 2 node on the topic `image`
  emotion models                                which models are here, and how good are they?
  emotion bench                                 how fast are the networks on this machine?
  emotion download yunet                        get the better one of the face detectors
  emotion train esr --data ferplus --out run    train the bundled network anew
  emotion eval --dataset ferplus --data ferplus --split valid

exit codes: 0 success, 2 bad usage or bad input, with one line on stderr
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = argparse.ArgumentParser(
        prog="emotion",
        description="Estimate emotions from faces: run, evaluate, train and export models.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show details of what is going on")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (infer, video, eval, prepare, train, export, bench, models, download, node):
        module.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    if rest and args.command != "node":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.rest = rest
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING,
        format="%(levelname)s %(message)s",
        stream=sys.stderr,
    )
    try:
        return int(args.run(args))
    except EmotionError as error:
        print(f"emotion: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("emotion: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has gone: nothing left to say
        return 0
    except ImportError as error:
        print(f"emotion: error: {_missing(error)}", file=sys.stderr)
        return 2


def _missing(error: ImportError) -> str:
    """What to install for a module that is not there."""
    name = (error.name or "").partition(".")[0]
    extras = {
        "train": ("torch", "onnx", "onnxscript", "safetensors", "tensorboard", "yaml"),
        "media": ("av", "matplotlib"),
    }
    for extra, modules in extras.items():
        if name in modules:
            return f"this command needs {name}: install it with pip install 'emotion-perception[{extra}]'"
    return str(error)
