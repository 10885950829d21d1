"""What the documents tell to type exists: commands and their options, targets of make, scripts, files, launch files."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from emotion_core.cli import build_parser

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = {"emotion", "make", "mypy", "pytest", "python", "ros2", "ruff", "scripts/run"}
# What others made: it is not here to be asked.
OTHERS = {
    "apt-get", "cd", "colcon", "curl", "df", "docker", "echo", "export", "find", "git", "ls", "mkdir", "mount", "pip",
    "python3", "rosdep", "source", "sudo", "tensorboard", "touch", "torchrun", "ulimit", "xacro",
}  # fmt: skip


def blocks(document: Path) -> Iterator[str]:
    """The blocks of shell: those marked so, and unmarked ones that begin with a program known here."""
    pattern = r"^```(\w*)\n(.*?)^```$"
    for language, text in re.findall(pattern, document.read_text(), re.MULTILINE | re.DOTALL):
        first = text.split(maxsplit=1)[0] if text.strip() else ""
        if language in ("sh", "bash") or (not language and first in OURS | OTHERS):
            yield text


def commands(document: Path) -> Iterator[list[str]]:
    """The words of every command, without comments, variables before it, and scripts/run.

    What needs a plugin is left out: the plugin is made by the test of the document that describes it.
    """
    for block in blocks(document):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s(?:&&|\|\||\||;)\s", line):
                words = shlex.split(part, comments=True)
                while words and ("=" in words[0] or words[0].endswith("scripts/run")):
                    words.pop(0)
                if words and "--plugin" not in words:
                    yield words


ALL = [(document.name, words) for document in DOCUMENTS for words in commands(document)]


def test_the_documents_show_commands():
    seen = {words[0] for _, words in ALL}
    assert {"make", "emotion", "ros2"} <= seen


@pytest.mark.parametrize(("document", "words"), ALL, ids=[f"{name}: {' '.join(words)[:60]}" for name, words in ALL])
def test_a_command_exists(document, words):
    program, *rest = words
    if program == "emotion":
        for alternative in rest[1].split("|") if len(rest) > 1 and rest[0] in ("train", "node") else [""]:
            understood([rest[0], *([alternative] if alternative else []), *rest[1 + bool(alternative) :]])
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text()
        for word in rest:
            name, is_variable, _ = word.partition("=")
            pattern = rf"^(?:export )?{name}\b" if is_variable else rf"^{name}:"
            assert re.search(pattern, makefile, re.MULTILINE), f"make knows no {word}"
    elif program == "ros2" and rest[0] in ("launch", "run") and rest[1] == "emotion_perception":
        folder, suffix = ("launch", "") if rest[0] == "launch" else ("emotion_ros", "_node.py")
        assert (ROOT / folder / f"{rest[2]}{suffix}").is_file()
    elif program in ("python", ".venv/bin/python"):
        place = Path(*rest[1].split(".")) if rest[0] == "-m" else Path(rest[0])
        assert any((ROOT / p).exists() for p in (place, place.with_suffix(".py"))), f"no {place} here"
    elif "/" in program:
        assert (ROOT / program).is_file()
    else:
        assert program in OURS | OTHERS, f"{program}: not a command known here"


def understood(arguments: list[str]) -> None:
    """The command line takes the arguments; nothing is run."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            _, rest = build_parser().parse_known_args(arguments)
    except SystemExit as end:
        assert end.code in (0, None), errors.getvalue()
    else:
        assert not rest or arguments[0] == "node", f"unknown: {rest}"
