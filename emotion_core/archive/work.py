"""The work on one recording, wherever it is done: in this process, in another, on another computer."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from emotion_core.archive.engine import AnnotateConfig, Engine, Settings, differences
from emotion_core.archive.index import DONE, FAILED, Entry, printable, settings_of
from emotion_core.archive.inputs import content_hash, glance
from emotion_core.archive.playback import open_recording
from emotion_core.archive.table import EstimateTable, read_note
from emotion_core.archive.witness import Witness
from emotion_core.errors import EmotionError
from emotion_core.store.files import atomic_write, cannot_write

NEW, CHANGED, AGAIN = "new", "its contents changed", "asked for"
"""Why a recording is annotated; settings that changed are named one by one."""

UNSURE = "its time of change differs"
"""A reason to look inside: a copied archive has new times and the same contents."""


@dataclass(frozen=True)
class Job:
    """A recording to annotate.

    Attributes:
        path: of the recording.
        folder, name: its table is ``folder/name``.
        config: how.
        settings: what the configuration amounts to on the computer that gives the job.
        reason: why.
        size: of the recording in bytes, 0 where that is not known.
    """

    path: Path
    folder: Path
    name: str
    config: AnnotateConfig
    settings: Settings
    reason: str = NEW
    size: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of a job; ``reason`` tells why anything was done, and is empty where nothing had to be."""

    entry: Entry
    reason: str


def annotate(job: Job) -> Outcome:
    """Do a job, unless it is done already: the process that did it may have been lost before it could say so.

    Whatever is wrong with the recording is in the entry, and nothing is raised.
    """
    try:
        entry = recorded(job)
        if entry is not None and job.reason != AGAIN and not reason_for(job, entry, look_inside=True):
            entry = replace(entry, input=printable(job.path), mtime_s=glance(job.path).mtime_s)
            return Outcome(entry, "" if job.reason == UNSURE else job.reason)
        return Outcome(_annotate(job), CHANGED if job.reason == UNSURE else job.reason)
    except EmotionError as error:
        text = str(error)
    except OSError as error:
        text = cannot_write(job.folder / job.name, error) if error.filename is None else str(error)
    except Exception as error:  # a defect of a decoder or of ours: the other recordings may be well
        text = f"{type(error).__name__}: {error}"
    return failed(job, text)


def failed(job: Job, error: str) -> Outcome:
    """The outcome of a job that could not be done."""
    reason = printable(error.removeprefix(f"{job.path}: "))  # which is said beside it
    entry = Entry(printable(job.path), printable(job.name), FAILED, reason, settings=json.dumps(job.settings))
    with contextlib.suppress(OSError):
        entry = replace(entry, **asdict(glance(job.path)))
    return Outcome(replace(entry, version=_version()), job.reason)


def recorded(job: Job) -> Entry | None:
    """The entry in the job's table as it is now; None where there is no table."""
    return Entry.parse(read_note(job.folder / job.name))


def reason_for(job: Job, entry: Entry | None, look_inside: bool) -> str:
    """Why a job is to be done, empty where its table is what it asks for.

    Args:
        job: which.
        entry: see ``recorded``.
        look_inside: compare the contents where only the time of change differs, which takes as long as reading the
            recording; else the reason is UNSURE.
    """
    if entry is None:
        return NEW
    if changed := differences(settings_of(entry), job.settings):
        return changed
    now = glance(job.path)
    if now.size != entry.size:
        return CHANGED
    if now.mtime_s == entry.mtime_s:
        return ""
    if not look_inside:
        return UNSURE
    return "" if content_hash(job.path) == entry.sha256 else CHANGED


@lru_cache(maxsize=1)  # a process does one job after the other, all with the same settings
def _engine(config: AnnotateConfig) -> Engine:
    return Engine(config)


def _annotate(job: Job) -> Entry:
    engine = _engine(job.config)
    if what := differences(job.settings, engine.settings):
        raise EmotionError(f"this computer has other models than the one that gave the job: {what}")
    before, digest = glance(job.path), content_hash(job.path)
    output = job.folder / job.name
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(output) as temporary, EstimateTable(temporary, engine.labels) as table:
        playback = open_recording(job.path, job.config.audio, job.config.topics.split())
        witness = Witness(engine.senses(), job.config.every, table)
        notes = witness.watch(playback)
        if glance(job.path) != before:
            raise EmotionError(f"{job.path} was changed while it was read: run the same command again")
        entry = Entry(
            input=printable(job.path),
            output=printable(job.name),
            status=DONE,
            notes=printable(notes),
            frames=witness.frames,
            processed=witness.processed,
            bad=witness.failed + playback.skipped,
            faces=witness.faces,
            people=len(witness.people),
            seconds=round(witness.seconds, 6),
            sha256=digest,
            model=engine.model,
            settings=json.dumps(job.settings),
            version=_version(),
            **asdict(before),
        )
        table.close(asdict(entry))
    return entry


def _version() -> str:
    try:
        return metadata.version("emotion-perception")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return ""
