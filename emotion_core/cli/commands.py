"""The subcommands by name, and a parser of each that loads no more than what is asked for."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any, NoReturn

from emotion_core.cli.mistakes import one_line

SUMMARIES = {
    "infer": "find and label the faces in pictures, the voice in a recording",
    "video": "label the faces in a picture, a video, a folder or before a camera",
    "annotate": "write the estimates of any number of bags and videos into tables",
    "eval": "measure a model on a dataset",
    "yardstick": "how good a recipe is: five folds, photos, intervals",
    "ensemble": "make one model of several",
    "prepare": "prepare a dataset for training",
    "train": "train a network",
    "export": "write a trained network as ONNX",
    "bench": "measure how fast networks are on this machine",
    "check": "whether recordings show the emotions that they should",
    "doctor": "what is installed and set up here, to paste into a report",
    "models": "list models, or show a model's card",
    "download": "get published weights, detectors and demo media",
    "node": "run a ROS 2 node",
    "record": "record topics of ROS 2 into a bag",
    "replay": "estimate what a recorded bag (rosbag2) shows",
    "run": "run several ROS 2 nodes in one process",
}
"""In the order of ``--help``. Each is a module beside this one, with ``add(parser)`` and ``run(args) -> exit code``."""
_OWN_HELP = ("node",)
"""Those that answer ``--help`` themselves: behind the name of a node it asks for the node's."""


class Parser(argparse.ArgumentParser):
    """One line for bad usage, as for any other mistake; the whole usage is in ``--help``."""

    def error(self, message: str) -> NoReturn:
        """End with 2."""
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")


class CommandParser(Parser):
    """The parser of a subcommand, empty until it is asked: importing all of them takes half a second.

    Args:
        module: of the subcommand; None for one below it, which adds its arguments itself.
        options: of ``argparse.ArgumentParser``.
    """

    def __init__(self, *, module: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._module = module

    def load(self) -> None:
        """Add its arguments, if that has not been done."""
        module, self._module = self._module, None
        if module is not None:
            importlib.import_module(module).add(self)

    def parse_known_args(  # type: ignore[override]  # argparse has overloads by the type of the namespace
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As in argparse, which asks the parser of the subcommand that was named."""
        self.load()
        return super().parse_known_args(args, namespace)


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add all subcommands to the parser of the whole command."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=CommandParser)
    for name, summary in SUMMARIES.items():
        module, help_added = f"emotion_core.cli.{name}", name not in _OWN_HELP
        commands.add_parser(name, help=summary, add_help=help_added, module=module)
