"""``emotion download``: get published weights, detectors and demo media."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_core.errors import EmotionError

if TYPE_CHECKING:
    from emotion_core.store.artifacts import Artifact
    from emotion_core.store.download import Progress

_STEP = 0.25
"""Where there is no terminal, a line tells of every further quarter."""


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Show what can be downloaded, or get it into the model store. Downloads continue where they were "
        "interrupted and are checked by hash where one is known; nothing is unpacked. The environment variable "
        "EMOTION_MIRROR holds URLs of folders (http, https or file, separated by spaces) that are asked first."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="what to get; without it, or with --list, show what is")
    parser.add_argument("--to", metavar="DIR", help="folder to write to (default: the model store)")
    parser.add_argument("--yes", action="store_true", help="do not ask before downloading")
    parser.add_argument("--list", action="store_true", help="show what can be downloaded, and what is here")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show the table, or get one entry of it."""
    from emotion_core.store.artifacts import ARTIFACTS

    if args.name is not None and args.name not in ARTIFACTS:
        raise EmotionError(f"nothing is known as {args.name!r}: expected one of {', '.join(ARTIFACTS)}")
    if args.name is None or args.list:
        names = [args.name] if args.name else list(ARTIFACTS)
        rows = [_row(name, ARTIFACTS[name], args.to) for name in names]
        print(json.dumps(rows)) if args.json else _print(rows)
        return 0
    files = _get(args.name, ARTIFACTS[args.name], args.to, args.yes, sys.stderr if args.json else sys.stdout)
    if args.json:
        print(json.dumps({"name": args.name, "files": files}))
    else:
        for file in files:
            print(f"{file['path']}: {'downloaded' if file['fetched'] else 'is here already'}, sha256 {file['sha256']}")
    return 0


def _row(name: str, artifacts: tuple[Artifact, ...], folder: str | None) -> dict[str, Any]:
    from emotion_core.store.artifacts import is_here, target

    sizes = [artifact.size for artifact in artifacts]
    here = sum(is_here(artifact, folder) for artifact in artifacts)
    return {
        "name": name,
        "files": [artifact.name for artifact in artifacts],
        "size": None if None in sizes else sum(size or 0 for size in sizes),
        "licence": artifacts[0].licence,
        "description": artifacts[0].description,
        "source": artifacts[0].urls[0].rpartition("/")[0],
        "folder": str(target(artifacts[0], folder).parent),
        "here": here,
    }


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from emotion_core.cli.terminal import output

    table = Table(title="What `emotion download NAME` gets", title_justify="left")
    for name in ("name", "size", "licence", "description", "here"):
        table.add_column(name, justify="right" if name == "size" else "left", overflow="fold")
    for row in rows:
        count = len(row["files"])
        here = {0: "no", count: "yes"}.get(row["here"], f"{row['here']} of {count}")
        table.add_row(row["name"], _megabytes(row["size"]), row["licence"], row["description"], here)
    output().print(table)


def _get(name: str, artifacts: tuple[Artifact, ...], folder: str | None, yes: bool, out: Any) -> list[dict[str, Any]]:
    from emotion_core.store.artifacts import fetch, is_here, mirrors, target
    from emotion_core.store.download import digest

    missing = [artifact for artifact in artifacts if not is_here(artifact, folder)]
    if missing:
        row = _row(name, artifacts, folder)
        sources = ", ".join((*mirrors(), row["source"]))
        count = f"{len(missing)} file{'s' * (len(missing) > 1)}"
        print(f"{name}: {row['description']}", file=out)
        print(f"  {count}, size {_megabytes(row['size'])}, into {row['folder']}", file=out)
        print(f"  licence: {row['licence']}", file=out)
        print(f"  from {sources}", file=out, flush=True)
        _confirm(yes)
        _prepare(folder, artifacts)
    files = []
    for artifact in artifacts:
        fetched = artifact in missing
        if fetched:
            with _progress(artifact.name) as on_progress:
                fetch(artifact, folder, on_progress=on_progress)
        path: Path = target(artifact, folder)
        files.append({"path": str(path), "size": path.stat().st_size, "sha256": digest(path), "fetched": fetched})
    return files


def _prepare(folder: str | None, artifacts: tuple[Artifact, ...]) -> None:
    """Try the folders before anybody is asked for a file."""
    from emotion_core.store.artifacts import target
    from emotion_core.store.files import prepare_output

    try:
        for artifact in artifacts:
            prepare_output(target(artifact, folder))
    except EmotionError as error:
        raise EmotionError(f"{error} (--to DIR and EMOTION_MODEL_DIR name another)") from None


def _confirm(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise EmotionError("downloading takes a yes, and there is no terminal to ask on: add --yes")
    print("Download it? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise EmotionError("nothing was downloaded: expected a yes")


@contextmanager
def _progress(name: str) -> Iterator[Progress]:
    """A bar on a terminal, plain lines elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(name)
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    def __init__(self, name: str) -> None:
        self._name, self._told = name, -1

    def __call__(self, done: int, total: int | None) -> None:
        # Without a total, every 10 MB.
        step = int(done / total / _STEP) if total else done // 10_000_000
        if step != self._told:
            self._told = step
            of = f" of {_megabytes(total)}" if total else ""
            print(f"{self._name}: {_megabytes(done)}{of}", file=sys.stderr, flush=True)


def _megabytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e6:.2f} MB"
