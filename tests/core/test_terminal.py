"""Output as terminals, pipes and shells want it."""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from emotion_core.cli import completion, eval, terminal
from emotion_core.cli.strips import strips
from emotion_core.types import Box, EmotionEstimate, Face

LABELS = ("contentment", "embarrassment", "disappointment", "bewilderment", "amusement", "anticipation", "awkwardness")


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def report() -> dict[str, object]:
    rows = [[int(i == j) for j in range(len(LABELS))] for i in range(len(LABELS))]
    each = dict.fromkeys(LABELS, 50.0)
    figures = {"accuracy": 50.0, "n": 7, "macro_f1": 50.0, "calibration_error": 1.0}
    head = {"model": "mine", "dataset": "own", "split": "valid", "protocol": "", "parts": "branches"}
    shares = {
        "recall": each,
        "precision": each,
        "f1": each,
        "branch_accuracy": [50.0],
        "left_out": {"model": [], "data": []},
    }
    return {**head, **figures, **shares, "confusion": {"labels": list(LABELS), "rows": rows}}


def test_class_names_in_a_pipe_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    eval._print(report())
    head, *rows = [line for line in capsys.readouterr().out.splitlines() if "contentment" in line]
    assert all(label in head for label in LABELS)
    assert rows


def test_a_narrow_terminal_wraps_and_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(
        terminal, "output", lambda: Console(file=shown, force_terminal=True, width=40, color_system=None)
    )
    eval._print(report())
    assert "…" not in shown.getvalue()
    assert max(map(len, shown.getvalue().splitlines())) <= 40


@pytest.mark.parametrize("width", [40, 1000])
def test_the_legend_of_a_replay_is_whole(width: int) -> None:
    estimates = [
        EmotionEstimate(
            float(i), LABELS, tuple(float(i // 2 == j) for j in range(7)), face=Face(Box(1, 1, 9, 9)), track_id="1"
        )
        for i in range(14)
    ]
    shown = io.StringIO()
    console = Console(file=shown, width=width, highlight=False)
    for line in strips(estimates, [e.stamp_s for e in estimates], min(width, 100)):
        console.print(line)
    legend = " ".join(shown.getvalue().split())
    assert all(label in legend for label in LABELS)
    assert max(map(len, shown.getvalue().splitlines())) <= width


@pytest.mark.parametrize(("wish", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals_whose_user_wants_them(
    wish: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in wish.items():
        monkeypatch.setenv(name, value)
    reader, writer = os.openpty()
    with os.fdopen(writer, "w") as file:
        monkeypatch.setattr("sys.stdout", file)
        terminal.output().print("happy", style="red")
        file.flush()
    assert (b"\x1b[31m" in os.read(reader, 1000)) == coloured
    os.close(reader)


# ---- completion ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("emotion")
    commands = made.add_subparsers()
    infer = commands.add_parser("infer", help="it's about faces: all of them")
    infer.add_argument("--blur", choices=("none", "faces"), help="show nobody (100 %%)")
    infer.add_argument("--draw", help=argparse.SUPPRESS)
    train = commands.add_parser("train", help="learn").add_subparsers()
    train.add_parser("classifier", help="any").add_argument("--epochs")
    return made


ASKED = {
    ("",): {"infer", "train"},
    ("in",): {"infer"},
    ("infer", "--b"): {"--blur"},
    ("infer", "--blur", ""): {"none", "faces"},
    ("train", "c"): {"classifier"},
    ("train", "classifier", "--e"): {"--epochs"},
    ("infer", "pho"): {"photo.jpg"},
}


def completed(shell: str, script: str, words: tuple[str, ...], folder: Path) -> set[str]:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here to complete anything")
    path = folder / "script"
    path.write_text(script)
    (folder / "photo.jpg").touch()
    if shell == "fish":
        ask = f"source script; complete -C 'emotion {' '.join(words)}'"
        arguments = [program, "--no-config", "-c", ask]
    else:
        ask = 'source ./script; COMP_WORDS=(emotion "$@"); COMP_CWORD=$#; _emotion; printf "%s\\n" "${COMPREPLY[@]}"'
        arguments = [program, "--norc", "-c", ask, "bash", *words]
    environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return {line.split("\t")[0] for line in done.stdout.splitlines() if line}


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_a_shell_completes(shell: str, words: tuple[str, ...], parser: argparse.ArgumentParser, tmp_path: Path) -> None:
    assert completed(shell, completion.script(parser, shell), words, tmp_path) == ASKED[words]


def test_zsh_takes_the_script(parser: argparse.ArgumentParser, tmp_path: Path) -> None:
    program = shutil.which("zsh")
    if program is None:
        pytest.skip("no zsh here to complete anything")
    (tmp_path / "script").write_text(completion.script(parser, "zsh"))
    ask = "source ./script; echo $_comps[emotion]; whence -w _emotion"
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [program, "-f", "-c", ask], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split("\n")[:2] == ["_bash_complete -o filenames -F _emotion", "_emotion: function"], done.stderr


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_command_prints_it_and_ends(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    from emotion_core.cli import build_parser

    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["--completion", shell])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("doctor", "completion", "blur"))
