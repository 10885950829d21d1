"""``emotion annotate``: the estimates of any number of recordings, as tables with an index."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from emotion_core.cli.arguments import count
from emotion_core.cli.mistakes import one_line
from emotion_core.cli.pipeline_options import add_pipeline_options, read_pipeline_options
from emotion_core.pipeline.audiovisual import AudiovisualConfig

if TYPE_CHECKING:
    from emotion_core.archive.archive import Archive, Report
    from emotion_core.archive.work import Outcome

_LINES = 100  # of progress at most, where there is no terminal


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Write the estimates of each bag and video into DIR/<its name>.parquet, and a list of all into "
        "DIR/index.parquet. May be stopped at any time: the same command goes on from there, and does anew only what "
        "changed, recordings or settings. Exit code 1 when some recordings failed, 2 when all did."
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="DIR|GLOB",
        help="folders with all below them, patterns such as '*/*.mp4', bags and videos",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the tables")
    parser.add_argument("--audio", action="store_true", help="hear, too, where a recording has sound")
    parser.add_argument(
        "--topics",
        nargs="+",
        default=[],
        metavar="NAME",
        help="of bags: one with pictures, one with sound (default: the only ones of their kind)",
    )
    parser.add_argument("--every", type=count, default=1, metavar="N", help="look at each Nth picture (default: all)")
    parser.add_argument("--again", action="store_true", help="also what is annotated already")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=count, metavar="N", help="processes (default: one a usable core)")
    where.add_argument("--ray", metavar="ADDRESS", help="work on this Ray cluster; auto for the one that runs here")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON line")
    add_pipeline_options(parser, AudiovisualConfig)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Annotate; 1 when some of the recordings failed, 2 when all did."""
    from emotion_core.archive.archive import Archive, here, on_cluster
    from emotion_core.archive.engine import AnnotateConfig
    from emotion_core.archive.inputs import find_inputs
    from emotion_core.cores import usable_cores

    args.topics = " ".join(args.topics)
    config = read_pipeline_options(args, AnnotateConfig)
    archive = Archive(find_inputs(args.inputs), args.out, config, args.again)
    if args.ray is not None:
        work = partial(on_cluster, address=args.ray)
    else:
        work = partial(here, processes=args.jobs or usable_cores())
    with _progress(archive) as tell:
        report = archive.run(work, tell)
    total = len(archive.jobs) + len(archive.done)
    print(json.dumps(_as_json(report, total)) if args.json else _sentence(report, total))
    if not report.failures:
        return 0
    return 2 if len(report.failures) == total else 1


@contextlib.contextmanager
def _progress(archive: Archive) -> Iterator[Callable[[Outcome], None]]:
    """A bar on a terminal, lines elsewhere; failures are told at once in both."""
    from rich.console import Console

    console, total, done = Console(stderr=True), len(archive.jobs), 0
    if archive.done:
        print(f"{len(archive.done)} of {total + len(archive.done)} are annotated already", file=sys.stderr)
    if not console.is_terminal:

        def line(outcome: Outcome) -> None:
            nonlocal done
            done += 1
            if outcome.entry.error or done * _LINES // total > (done - 1) * _LINES // total:
                print(f"{done} of {total}: {_told(outcome)}", file=sys.stderr, flush=True)

        yield line
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    # The bar goes by bytes, which tell better than a number of recordings how long they take.
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"0 of {total}", total=sum(job.size for job in archive.jobs))

        def show(outcome: Outcome) -> None:
            if outcome.entry.error:
                bar.console.print(_told(outcome), markup=False, highlight=False)
            nonlocal done
            done += 1
            bar.update(task, advance=outcome.entry.size, description=f"{done} of {total}")

        yield show


def _told(outcome: Outcome) -> str:
    entry = outcome.entry
    if entry.error:
        return one_line(f"{entry.input} failed: {entry.error}")
    again = f" (anew: {outcome.reason})" if outcome.reason not in ("", "new") else ""
    notes = f"; {entry.notes}" if entry.notes else ""
    return one_line(f"{entry.input}: {entry.processed} frames, {entry.faces} faces{again}{notes}")


def _as_json(report: Report, total: int) -> dict[str, Any]:
    return {
        "inputs": total,
        "annotated": sum(report.annotated.values()),
        "reasons": report.annotated,
        "unchanged": report.unchanged,
        "failed": [{"input": entry.input, "error": entry.error} for entry in report.failures],
        "frames": report.frames,
        "faces": report.faces,
        "index": str(report.index),
    }


def _sentence(report: Report, total: int) -> str:
    reasons = ", ".join(f"{number} {reason}" for reason, number in report.annotated.items())
    parts = [f"{sum(report.annotated.values())} annotated" + (f" ({reasons})" if reasons else "")]
    parts.append(f"{report.unchanged} unchanged")
    parts += [f"{len(report.failures)} failed"] if report.failures else []
    text = f"{total} recordings: {', '.join(parts)}; {report.frames} frames, {report.faces} faces; {report.index}"
    return "\n".join([text, *(one_line(f"  {entry.input}: {entry.error}") for entry in report.failures)])
