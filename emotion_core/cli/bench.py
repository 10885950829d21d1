"""``emotion bench``: how fast networks are on this machine."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from emotion_core.bench.bench import BACKENDS, DEVICES, MODELS, BenchConfig
from emotion_core.evaluation.published import FER2013

if TYPE_CHECKING:
    from rich.console import Console

    from emotion_core.bench.bench import BenchReport, BenchRow

PUBLISHED = MappingProxyType(
    {
        "esr9": (87.17, 20.35, 402.99, 22.23, 27.08, 28.79, 117.91, 0.96, 0.67),
        "esr15": (88.59, 33.67, 455.61, 13.86, 17.76, 18.17, 91.78, 1.16, 0.93),
        "esr_star9": (89.15, 20.83, 406.83, 5.24, 6.60, 12.45, 33.40, 3.38, 1.41),
        "esr_star15": (89.34, 34.47, 460.73, 3.38, 4.18, 8.47, 20.57, 6.26, 2.51),
    }
)
"""What the OpenDR toolkit's documentation of its FacialEmotionLearner gives, in the order of ``PUBLISHED_COLUMNS``."""
PUBLISHED_COLUMNS = (
    "accuracy %", "params M", "GPU memory MB", "Xeon 6230R 1/s", "Jetson TX2 1/s", "Jetson Xavier 1/s",
    "RTX 2080 Ti 1/s", "Jetson TX2 J", "Jetson Xavier J",
)  # fmt: skip
_PUBLISHED_TITLE = "Published by the OpenDR toolkit (eager PyTorch; ESR* is its diversified ESR)"
_FER2013_TITLE = (
    "Published by the authors of the Residual Masking Network: accuracy on FER2013 PrivateTest; beside it, the fastest "
    "of the above"
)
_WIDTH = 140  # of tables that go into a file or a pipe

Table = tuple[list[str], list[list[str]]]
"""Head and rows."""


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    default = BenchConfig()
    parser.description = (
        "Measure evaluations a second of single faces, memory and, where the machine tells, energy: eager "
        "PyTorch against ONNX Runtime in float32, float16 (on a GPU) and int8 (on a CPU). Run it on an idle machine; "
        "the largest networks take minutes."
    )
    parser.add_argument(
        "--model", nargs="+", default=MODELS, metavar="M",
        help="names or paths of models (.onnx, .safetensors) or names of architectures, which get random weights "
        f"(default: {' '.join(MODELS)})",
    )  # fmt: skip
    parser.add_argument("--threads", nargs="+", type=int, default=(), metavar="N", help="default: one, and all cores")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS, help="default: all")
    parser.add_argument("--device", choices=DEVICES, default=default.device,
                        help="auto is cuda where all backends have it (default: %(default)s)")  # fmt: skip
    parser.add_argument("--runs", type=int, default=default.runs, metavar="N", help="default: %(default)s")
    parser.add_argument("--warmup", type=int, default=default.warmup, metavar="N",
                        help="evaluations before, not counted (default: %(default)s)")  # fmt: skip
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="do not measure the memory")
    parser.add_argument(
        "--published", action="store_true", help="also show the figures that were published for ESR and on FER2013"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--markdown", action="store_true", help="print a table for a README")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from emotion_core.bench.bench import bench

    config = BenchConfig(
        tuple(args.model), tuple(args.threads), tuple(args.backends), args.runs, args.warmup, args.memory, args.device
    )
    with _progress() as on_progress:
        report = bench(config, on_progress)
    if args.json:
        published = {name: dict(zip(PUBLISHED_COLUMNS, row, strict=True)) for name, row in PUBLISHED.items()}
        published["fer2013_test"] = {name: accuracy for name, (_, accuracy) in FER2013.items()}
        print(json.dumps(report.to_dict() | ({"published": published} if args.published else {})))
    elif args.markdown:
        print("\n".join(_markdown(report, args.published)))
    else:
        _print(report, args.published)
    return 0


def _head(report: BenchReport) -> list[str]:
    """Sentences on where and how."""
    machine, protocol = report.machine, report.protocol
    where = f"{machine['gpu']} with {machine['cpu']}" if machine["gpu"] else machine["cpu"]
    cores = f"{machine['cores']} core{'s' * (machine['cores'] != 1)}"
    return [
        f"Evaluations a second on {where} ({cores}), PyTorch {machine['torch']}, "
        f"ONNX Runtime {machine['onnxruntime']}, {machine['provider']}.",
        f"One face at a time, mean of {protocol['runs']} after {protocol['warmup']} to warm up, "
        f"{protocol['included']} included. The backends take turns in {protocol['blocks']} blocks in one process; "
        "'ratio' is over eager PyTorch with as many threads.",
    ]


def _table(rows: Sequence[BenchRow]) -> Table:
    columns: dict[str, Callable[[BenchRow], str]] = {
        "network": lambda row: row.network,
        "params M": lambda row: f"{row.params_m:.2f}",
        "threads": lambda row: str(row.threads),
        "backend": lambda row: row.backend,
        "1/s": lambda row: _rate(row.per_s),
        "1/s, median": lambda row: _rate(row.median_per_s),
        "ratio": lambda row: "" if row.ratio is None else f"{row.ratio:.2f}",
        "memory MB": lambda row: "" if row.memory_mb is None else f"{row.memory_mb:.0f}",
        "file MB": lambda row: f"{row.file_mb:.1f}",
        "J": lambda row: "" if row.joules is None else f"{row.joules:.3g}",
    }
    for name in ("ratio", "memory MB", "J"):
        if not any(columns[name](row) for row in rows):
            del columns[name]
    return list(columns), [[value(row) for value in columns.values()] for row in rows]


def _rate(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _published_tables(report: BenchReport) -> dict[str, Table]:
    """By their titles."""
    esr = [[name, *map(str, row)] for name, row in PUBLISHED.items()]
    fastest: dict[str, float] = {}
    for row in report.rows:
        fastest[row.network] = max(row.per_s, fastest.get(row.network, 0.0))
    fer2013 = [
        [title, f"{accuracy:.2f}", _rate(fastest[name]) if name in fastest else "not measured here"]
        for name, (title, accuracy) in FER2013.items()
    ]
    return {
        _PUBLISHED_TITLE: (["network", *PUBLISHED_COLUMNS], esr),
        _FER2013_TITLE: (["network", "accuracy %", "1/s here"], fer2013),
    }


def _markdown(report: BenchReport, published: bool) -> list[str]:
    lines = [*_head(report), "", *_markdown_table(_table(report.rows)), "", *(f"- {note}" for note in report.notes)]
    for title, table in _published_tables(report).items() if published else ():
        lines += ["", f"{title}:", "", *_markdown_table(table)]
    return lines


def _markdown_table(table: Table) -> list[str]:
    head, rows = table
    aligned = ["---" if name in ("network", "backend") else "---:" for name in head]
    return [f"| {' | '.join(cells)} |" for cells in (head, aligned, *rows)]


def _print(report: BenchReport, published: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=_WIDTH)
    for line in _head(report):
        console.print(line)
    _print_table(console, _table(report.rows))
    for note in report.notes:
        console.print(note)
    for title, table in _published_tables(report).items() if published else ():
        console.print(f"\n{title}:")
        _print_table(console, table)


def _print_table(console: Console, table: Table) -> None:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    head, rows = table
    drawn = RichTable(box=box.SIMPLE_HEAD)
    for name in head:
        drawn.add_column(name, justify="left" if name in ("network", "backend") else "right", overflow="fold")
    grouped = len({row[0] for row in rows}) < len(rows)
    for row, following in zip(rows, [*rows[1:], [""]], strict=True):
        drawn.add_row(*map(Text, row), end_section=grouped and following[0] != row[0])
    console.print(drawn)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    """A bar on a terminal, a line for each thing that is measured elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("starting", total=1.0)
            yield lambda share, text: bar.update(task, completed=share, description=text)
        return
    told = ""

    def tell(share: float, text: str) -> None:
        nonlocal told
        if text != told:
            told = text
            print(f"{share:4.0%} {text}", file=sys.stderr, flush=True)

    yield tell
