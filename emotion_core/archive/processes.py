"""Work in several processes, of which any may die."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

_J = TypeVar("_J")
_R = TypeVar("_R")

_END_S = 10.0


def in_processes(
    work: Callable[[_J], _R], died: Callable[[_J, str], _R], jobs: Sequence[_J], count: int
) -> Generator[_R, None, None]:
    """The results of ``work`` for all jobs, in the order in which they are done. Closing the generator ends the work.

    A process does one job after the other. When one dies, as in a decoder that a damaged file crashes or for lack of
    memory, its job has what ``died`` makes of it for a result, and another process takes its place.

    Args:
        work: a function of a module; its argument and its result are pickled. It raises nothing.
        died: gets the job and how its process ended.
        jobs: in the order in which they are begun.
        count: of processes.
    """
    waiting = list(reversed(jobs))
    context = multiprocessing.get_context("spawn")  # a fork would inherit locks that the threads of others hold
    processes: dict[Connection, BaseProcess] = {}
    busy: dict[Connection, _J] = {}

    def start() -> Connection:
        here, there = context.Pipe()
        processes[here] = context.Process(target=_serve, args=(there, work), daemon=True)
        processes[here].start()
        there.close()  # so that the end of the process is the end of the pipe
        return here

    def give(pipe: Connection) -> None:
        busy[pipe] = waiting.pop()
        with contextlib.suppress(OSError):  # it has died since: found out below
            pipe.send(busy[pipe])

    try:
        while waiting or busy:
            while waiting and len(busy) < count:
                give(start())
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                job = busy.pop(pipe)
                try:
                    result = pipe.recv()
                except (EOFError, OSError):
                    processes[pipe].join()
                    result = died(job, _how(processes.pop(pipe).exitcode))
                else:
                    if waiting:
                        give(pipe)
                yield result
    finally:
        for pipe, process in processes.items():
            if pipe in busy:
                process.terminate()
            pipe.close()  # which ends one that waits for a job
        for process in processes.values():
            process.join(_END_S)


def _serve(pipe: Connection, work: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    signal.signal(signal.SIGTERM, _leave)
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(work(job))


def _leave(number: int, _: object) -> None:
    """Ends the process in order: no temporary file is left behind."""
    raise SystemExit(128 + number)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"
