"""The ``emotion`` command: one module a subcommand, see ``commands.py``."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence

from emotion_core.cli.commands import Parser, add_commands
from emotion_core.cli.completion import SHELLS, Completion
from emotion_core.cli.mistakes import describe, escape_unprintable, one_line, silence_stdout, was_interrupted
from emotion_core.errors import EmotionError

EXAMPLES = """\
examples:
  emotion infer photo.jpg                       what do the faces in a photo show?
  emotion video clip.mp4 --branches --out seen.mp4
  emotion node facial                           run the ROS 2 node on the topic `image`
  emotion run --config robot.yaml               run several nodes in one process
  emotion replay bag --output estimates.mcap    what does a recorded bag show?
  emotion annotate recordings --out estimates   tables of any number of bags and videos
  emotion models                                which models are here, and how good are they?
  emotion bench                                 how fast are the networks on this machine?
  emotion doctor                                what is installed and set up here, and what is not?
  emotion download yunet                        get the better one of the face detectors
  emotion train esr --data ferplus --out run    train the bundled network anew
  emotion eval --dataset ferplus --data ferplus --split valid

exit codes: 0 success, 2 bad usage or bad input, with one line on stderr, 1 a defect (annotate: some recordings failed;
doctor: faces cannot be judged here), 130 Ctrl-C
"""


class _Plugin(argparse.Action):
    """Loads at once: what it registers counts for the rest of the command line."""

    def __call__(self, parser: object, namespace: object, values: object, option_string: object = None) -> None:
        from emotion_core.plugins import load_plugin

        load_plugin(str(values))


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = Parser(
        prog="emotion",
        description="Estimate emotions from faces: run, evaluate, train and export models.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show details of what is going on")
    parser.add_argument(
        "--plugin",
        action=_Plugin,
        metavar="FILE.py",
        help="import a file, or a module by its name, that registers architectures and datasets (before COMMAND)",
    )
    parser.add_argument(
        "--completion", action=Completion, choices=SHELLS, help="print what completes this command in a shell, and end"
    )
    add_commands(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 2 for bad usage or input, 1 for a defect, 130 after Ctrl-C."""
    escape_unprintable()
    verbose = False
    try:
        parser = build_parser()
        args, rest = parser.parse_known_args(argv)
        if rest and args.command not in ("node", "record", "run"):
            parser.prog += f" {args.command}"
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        _refuse_empty(vars(args))
        args.rest, verbose = rest, args.verbose
        logging.basicConfig(
            level=logging.INFO if args.verbose else logging.WARNING,
            format="%(levelname)s %(message)s",
            stream=sys.stderr,
        )
        with _ended_in_order():
            code = int(args.run(args))
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk or a closed pipe behind it is found out here
        return code
    except BrokenPipeError:
        silence_stdout()  # the reader of a pipe has gone: nothing left to say
        return 0
    except (KeyboardInterrupt, Exception) as error:
        if was_interrupted(error):
            print("emotion: interrupted", file=sys.stderr)
            return 130
        return _failed(error, verbose)


def _refuse_empty(arguments: Mapping[str, object]) -> None:
    """An empty name, such as that of an unset variable of a shell, would stand for the working folder."""
    for name, value in arguments.items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise EmotionError(f"the argument {name.replace('_', '-')} is empty: expected a name or a path")


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM, as services and containers are stopped, ends the work like Ctrl-C: no half-written file is left."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # nobody else may set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failed(error: BaseException, verbose: bool) -> int:
    """Say in one line what went wrong; returns the exit code."""
    text = describe(error)
    code = 2
    if text is None:
        text = f"this is a defect, please report it: {type(error).__name__}: {error} (emotion -v … shows where)"
        code = 1
    if verbose:
        traceback.print_exception(error)
    if isinstance(error, OSError):
        silence_stdout(only_if_broken=True)
    print(f"emotion: error: {one_line(text)}", file=sys.stderr)
    return code
