"""What a shell needs to complete the command line: a script, made from the parser itself."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass

from emotion_core.cli.commands import CommandParser

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class _Level:
    """What may stand behind some words of the command line: subcommands, options, and values."""

    words: tuple[str, ...]
    commands: dict[str, str]
    options: tuple[tuple[str, str], ...]
    choices: dict[str, tuple[str, ...]]


class Completion(argparse.Action):
    """Prints the script and ends."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, values: object, option: object = None
    ) -> None:
        """As argparse calls it."""
        print(script(parser, str(values)), end="")
        parser.exit()


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that completes subcommands, options and their choices; where none of them can stand, files.

    Args:
        parser: of the whole command.
        shell: one of SHELLS.
    """
    levels = list(_levels(parser))
    return _fish(parser.prog, levels) if shell == "fish" else _bash(parser.prog, levels, shell == "zsh")


def _levels(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[_Level]:
    if isinstance(parser, CommandParser):
        parser.load()
    commands: dict[str, str] = {}
    options: list[tuple[str, str]] = []
    choices: dict[str, tuple[str, ...]] = {}
    below: list[tuple[str, argparse.ArgumentParser]] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands = {item.dest: item.help or "" for item in action._choices_actions}
            below = [(name, action.choices[name]) for name in commands]
            continue
        for name in action.option_strings:
            options.append((name, _said(action)))
            if action.choices:
                choices[name] = tuple(map(str, action.choices))
    yield _Level(words, commands, tuple(options), choices)
    for name, child in below:
        yield from _levels(child, (*words, name))


def _said(action: argparse.Action) -> str:
    """What it is about, in some words."""
    text = "" if action.help in (None, argparse.SUPPRESS) else str(action.help)
    return re.split(r"[;:(]", text)[0].replace("%%", "%").strip()


def _bash(prog: str, levels: list[_Level], zsh: bool) -> str:
    """One function: the words so far say which level counts; zsh runs it, too."""
    lines = [f"# {prog} --completion {'zsh' if zsh else 'bash'}"]
    if zsh:
        lines += ["autoload -U +X compinit bashcompinit", "(( $+functions[compdef] )) || compinit", "bashcompinit"]
    lines += [
        f"_{prog}() {{",
        '  local now=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} level="" i word words=""',
        "  for ((i = 1; i < COMP_CWORD; i++)); do",
        "    word=${COMP_WORDS[i]}",
        '    case "$level $word" in',
        *(
            f'      "{_joined(level.words[:-1])} {level.words[-1]}") level="{_joined(level.words)}" ;;'
            for level in levels
            if level.words
        ),
        "    esac",
        "  done",
        '  case "$level $before" in',
        *(
            f'    "{_joined(level.words)} {option}") words="{" ".join(values)}" ;;'
            for level in levels
            for option, values in level.choices.items()
        ),
        "    *)",
        '      case "$level" in',
    ]
    for level in levels:
        names = [name for name, _ in level.options]
        lines += [
            f'        "{_joined(level.words)}")',
            f'          words="{" ".join(level.commands)}"',
            f'          [[ $now == -* ]] && words="{" ".join(names)}" ;;',
        ]
    return "\n".join(
        [
            *lines,
            "      esac ;;",
            "  esac",
            '  COMPREPLY=($(compgen -W "$words" -- "$now"))',
            '  [[ $now == -* || ${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$now"))',
            "}",
            f"complete -o filenames -F _{prog} {prog}",
            "",
        ]
    )


def _joined(words: tuple[str, ...]) -> str:
    return "/".join(words)


def _fish(prog: str, levels: list[_Level]) -> str:
    lines = [f"# {prog} --completion fish"]
    for level in levels:
        seen = [f"__fish_seen_subcommand_from {word}" for word in level.words]
        if level.commands:
            seen.append(f"not __fish_seen_subcommand_from {' '.join(level.commands)}")
        begin = f"complete -c {prog} -n {_quoted('; and '.join(seen))}"
        lines += [f"{begin} -f -a {name} -d {_quoted(text)}" for name, text in level.commands.items()]
        for name, text in level.options:
            kind = f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
            values = f" -x -a {_quoted(' '.join(level.choices[name]))}" if name in level.choices else ""
            lines.append(f"{begin} {kind}{values} -d {_quoted(text)}")
    return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    """For fish, within single quotes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
