"""Annotates any number of recordings: finds out what there is to do, has it done, keeps the index."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from emotion_core.archive.cluster import on_ray
from emotion_core.archive.engine import AnnotateConfig, Engine
from emotion_core.archive.index import FAILED, INDEX, Entry, printable, read_index, write_index
from emotion_core.archive.inputs import Input, glance
from emotion_core.archive.processes import in_processes
from emotion_core.archive.work import AGAIN, CHANGED, Job, Outcome, annotate, failed, reason_for, recorded
from emotion_core.errors import EmotionError
from emotion_core.store.files import UNFINISHED, prepare_folder

SUFFIX = ".parquet"
Outcomes = Generator[Outcome, None, None]


@dataclass
class Report:
    """What a run came to.

    Attributes:
        annotated: recordings annotated in this run, by the reason.
        unchanged: those that were annotated before.
        failures: the entries of those that failed.
        frames, faces: in the tables of all these recordings, whenever they were made.
        index: path of the index.
    """

    annotated: dict[str, int] = field(default_factory=dict)
    unchanged: int = 0
    failures: list[Entry] = field(default_factory=list)
    frames: int = 0
    faces: int = 0
    index: Path = Path()

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        entry = outcome.entry
        self.frames, self.faces = self.frames + entry.frames, self.faces + entry.faces
        if entry.status == FAILED:
            self.failures.append(entry)
        elif outcome.reason:
            self.annotated[outcome.reason] = self.annotated.get(outcome.reason, 0) + 1
        else:
            self.unchanged += 1


class Archive:
    """The recordings, and the folder of their tables. One process at a time may work on a folder.

    Args:
        inputs: the recordings.
        out: the folder; it is made where it is missing.
        config: how to annotate.
        again: also what is annotated already.

    Attributes:
        jobs: what there is to do, the largest first, so that no core waits long for the last one.
        done: the entries of what is annotated already.

    Raises:
        EmotionError: a model is not here, the folder cannot be written to, or it holds the table of another recording
            under the name of one of these.
    """

    def __init__(self, inputs: Sequence[Input], out: str | Path, config: AnnotateConfig, again: bool = False) -> None:
        settings = Engine(config).settings
        self.folder = prepare_folder(out).resolve()
        self._former = read_index(self.folder)
        _remove_unfinished(self.folder)
        self.jobs: list[Job] = []
        self.done: list[Entry] = []
        for item in inputs:
            job = Job(item.path, self.folder, item.name + SUFFIX, config, settings, size=_size(item.path))
            if job.name == INDEX:
                raise EmotionError(f"{item.path}: its table would be {INDEX}, which is the index: rename it")
            entry = recorded(job)
            reason = _reason(job, entry)
            if entry is not None and reason:
                _refuse_another(job, entry)
            if entry is not None and not reason and not again:
                self.done.append(entry)
            else:
                self.jobs.append(replace(job, reason=AGAIN if entry is not None and again else reason))
        self.jobs.sort(key=lambda job: job.size, reverse=True)

    def run(self, work: Callable[[Sequence[Job]], Outcomes], tell: Callable[[Outcome], None]) -> Report:
        """Do what there is to do, and write the index, also when interrupted.

        Args:
            work: does the jobs, see ``here`` and ``on_cluster``.
            tell: gets each outcome as it comes.
        """
        report = Report(index=self.folder / INDEX)
        for entry in self.done:
            report.add(Outcome(entry, ""))
        entries = {entry.output: entry for entry in self._former if self._is_there(entry)}
        entries |= {entry.output: entry for entry in self.done}
        try:
            with contextlib.closing(work(self.jobs)) as outcomes:
                for outcome in outcomes:
                    report.add(outcome)
                    entries[outcome.entry.output] = outcome.entry
                    tell(outcome)
        finally:
            write_index(self.folder, entries.values())
        return report

    def _is_there(self, entry: Entry) -> bool:
        return entry.status == FAILED or (self.folder / entry.output).is_file()


def here(jobs: Sequence[Job], processes: int) -> Outcomes:
    """The outcomes of jobs done by processes of this computer."""
    return in_processes(annotate, failed, jobs, processes)


def on_cluster(jobs: Sequence[Job], address: str) -> Outcomes:
    """The outcomes of jobs done by a Ray cluster; see ``on_ray``."""
    return on_ray(annotate, failed, jobs, address)


def _reason(job: Job, entry: Entry | None) -> str:
    try:
        return reason_for(job, entry, look_inside=False)
    except OSError:
        return CHANGED  # it is gone: whoever does the job will say so


def _refuse_another(job: Job, entry: Entry) -> None:
    other = Path(entry.input)
    if entry.input != printable(job.path) and other.exists():
        raise EmotionError(
            f"{job.folder / job.name} is the table of {other}, and would be that of {job.path}: "
            "name another folder for --out, or a folder that holds both"
        )


def _size(path: Path) -> int:
    try:
        return glance(path).size
    except OSError:
        return 0


def _remove_unfinished(folder: Path) -> None:
    """What killed processes left behind."""
    for place, _, names in os.walk(folder):
        for name in names:
            if UNFINISHED.fullmatch(name) and name.endswith(SUFFIX):
                Path(place, name).unlink(missing_ok=True)
