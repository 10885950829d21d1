"""``emotion doctor``: what is installed and set up here, with a verdict and what to do in each line."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

OK, WARNING, MISSING = "ok", "warning", "missing"
PROBES = ("system", "packages", "extras", "providers", "detector", "models", "cameras", "sound", "ros", "dds")
LIMIT_S = 20.0
"""For all probes together, each in a process of its own: what hangs or crashes there costs its line."""

# The working folder is not searched: a file there may be called as a module is.
_PROBE = """
import sys
sys.path = [*filter(None, sys.path), sys.argv[1]]
from emotion_core.cli.doctor_probes import tell
tell(sys.argv[2])
"""
_COLOURS = {OK: "green", WARNING: "yellow", MISSING: "red"}


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        topic: what it is about.
        verdict: OK, WARNING or MISSING.
        text: what was found.
        fix: what to do, empty where all is well.
        needed: whether nobody's face can be judged without it; else only who wants it needs it.
    """

    topic: str
    verdict: str
    text: str
    fix: str = ""
    needed: bool = False


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Look at versions, models, face detectors, cameras, sound, ROS and its middleware. Each line is "
        "ok, a warning or missing, the latter two with what to do. Folders of users are shortened; of the environment "
        "only ROS's settings are shown. Exit code 1 where faces cannot be judged here; the rest is optional."
    )
    parser.add_argument("--json", action="store_true", help="print a JSON line for each finding")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look at everything; 1 where something is missing that everybody needs."""
    findings = [private(finding) for finding in examine()]
    if args.json:
        for finding in findings:
            print(json.dumps(asdict(finding)))
    else:
        _print(findings)
    return 1 if any(finding.needed and finding.verdict == MISSING for finding in findings) else 0


def examine(probes: tuple[str, ...] = PROBES, limit_s: float = LIMIT_S) -> list[Finding]:
    """What all probes find, side by side; one that hangs or crashes is a finding, too.

    Args:
        probes: names of functions of ``doctor_probes``.
        limit_s: seconds after which those that are still at work are ended.
    """
    command = [sys.executable, "-c", _PROBE, str(Path(__file__).parents[2])]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = {name: subprocess.Popen([*command, name], **quiet) for name in probes}  # type: ignore[call-overload]
    end_s = time.monotonic() + limit_s
    found: list[Finding] = []
    try:
        for name, process in processes.items():
            found += _result(name, process, max(0.1, end_s - time.monotonic()))
    finally:
        for process in processes.values():
            process.kill()
    return found


def _result(name: str, process: subprocess.Popen[str], limit_s: float) -> list[Finding]:
    try:
        output, errors = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:  # not waited for: a driver may hold it where no signal reaches it
        return [Finding(name, WARNING, "did not answer in time", "try again; if it stays so, report it with this line")]
    if process.returncode == 0:
        return [Finding(**json.loads(line)) for line in output.splitlines() if line.startswith("{")]
    said = (errors.strip().splitlines() or [f"ended with code {process.returncode}"])[-1][:200]
    return [Finding(name, WARNING, f"could not be looked at: {said}", "report it with this line")]


def private(finding: Finding) -> Finding:
    """The finding without the names of users in paths."""
    return Finding(finding.topic, finding.verdict, _shortened(finding.text), _shortened(finding.fix), finding.needed)


def _shortened(text: str) -> str:
    home = os.environ.get("HOME", "").rstrip("/")
    if home:
        text = re.sub(rf"{re.escape(home)}(?=/|\W|$)", "~", text)
    return re.sub(r"/(?:home|Users)/[^/\s:,;]+", "~", text)


def _print(findings: list[Finding]) -> None:
    """Columns; a narrow terminal wraps within the last one, and what is no terminal gets whole lines."""
    from rich.table import Table
    from rich.text import Text

    from emotion_core.cli.terminal import output

    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        text = f"{finding.text} -> {finding.fix}" if finding.fix else finding.text
        table.add_row(Text(finding.verdict, style=_COLOURS[finding.verdict]), finding.topic, Text(text))
    console = output()
    if console.is_terminal:
        console.print(table)
        return
    for finding in findings:
        fix = f" -> {finding.fix}" if finding.fix else ""
        print(f"{finding.verdict:<7}  {finding.topic:<10}  {finding.text}{fix}")


def shared_memory() -> Path:
    """Where Fast DDS keeps what it hands from process to process."""
    return Path("/dev/shm")
