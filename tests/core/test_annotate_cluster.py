"""``emotion annotate --ray``: a cluster of two computers, of which one is lost in the middle of the work."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV comes with the extra [cluster]")
pytest.importorskip("pyarrow", reason="pyarrow comes with the extra [cluster]")
pytest.importorskip("ray", reason="Ray comes with the extra [cluster]")

from pyarrow import parquet

from emotion_core.archive.archive import Archive, here, on_cluster
from emotion_core.archive.cluster import on_ray
from emotion_core.archive.engine import AnnotateConfig
from emotion_core.archive.index import read_index
from emotion_core.archive.inputs import find_inputs
from emotion_core.archive.work import Outcome
from emotion_core.errors import EmotionError
from emotion_core.media.video import VideoWriter
from emotion_core.store.files import UNFINISHED

VIDEOS, FRAMES = 6, 60


class Cluster:
    """A head without cores, and two workers of one core each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        memory = {"object_store_memory": 80_000_000}
        self._cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
        self.workers = [self._cluster.add_node(num_cpus=1, **memory) for _ in range(2)]
        self.address = self._cluster.address

    def lose(self, worker: Any) -> None:
        """As in a power cut: all processes of a worker are gone at once."""
        for info in worker.all_processes["raylet"]:
            pid = info.process.pid
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
        self._cluster.remove_node(worker, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # without it Ray warns
    started = Cluster()
    yield started
    started.close()


@pytest.mark.slow
def test_when_a_computer_is_lost_nothing_is_lost_and_nothing_done_twice(cluster, portrait, tmp_path):
    face = cv2.resize(portrait, (512, 600), interpolation=cv2.INTER_AREA)
    (tmp_path / "in").mkdir()
    for number in range(VIDEOS):
        writer = VideoWriter(tmp_path / "in" / f"{number}.mp4", queue_size=FRAMES, rate_hz=30)
        for i in range(FRAMES):
            writer.put(np.roll(face, number + i, axis=1), i / 30)
        assert writer.close()
    inputs, config = find_inputs([str(tmp_path / "in")]), AnnotateConfig()
    Archive(inputs, tmp_path / "here", config).run(partial(here, processes=1), lambda outcome: None)

    archive = Archive(inputs, tmp_path / "there", config)
    outcomes: list[Outcome] = []

    def lose_one(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == 1:
            assert _unfinished(tmp_path / "there"), "nobody is at work"
            cluster.lose(cluster.workers[0])
            assert _unfinished(tmp_path / "there"), "nobody was at work on what is lost"

    report = archive.run(partial(on_cluster, address=cluster.address), lose_one)
    assert (report.annotated, report.unchanged, report.failures) == ({"new": VIDEOS}, 0, [])
    assert sorted(outcome.entry.output for outcome in outcomes) == [f"{i}.mp4.parquet" for i in range(VIDEOS)]
    assert read_index(tmp_path / "there") == read_index(tmp_path / "here")
    for number in range(VIDEOS):
        ours, theirs = (tmp_path / where / f"{number}.mp4.parquet" for where in ("here", "there"))
        assert parquet.read_metadata(theirs).num_rows == FRAMES
        assert theirs.read_bytes() == ours.read_bytes()
    assert not Archive(inputs, tmp_path / "there", config).jobs and not _unfinished(tmp_path / "there")


def test_without_a_cluster_it_says_so():
    with pytest.raises(EmotionError, match=r"--ray 127\.0\.0\.1:1: expected a Ray cluster"):
        list(on_ray(str, str, ["a job"], "127.0.0.1:1"))
    assert list(on_ray(str, str, [], "127.0.0.1:1")) == []  # of which nothing is asked


def _unfinished(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if UNFINISHED.fullmatch(path.name)]
