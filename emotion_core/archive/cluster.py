"""The same work on a Ray cluster.

Ray tasks and not Ray Data: a table goes to the shared folder, so what comes back is a small record, which Ray keeps
with whoever asked. A computer that is lost then takes only the recordings with it on which it was at work. Ray Data
holds its results in blocks on the computers that made them, and makes lost blocks anew from their inputs: recordings
that are finished would be worked on again.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from emotion_core.errors import EmotionError

_J = TypeVar("_J")
_R = TypeVar("_R")

RETRIES = 3
"""A job is tried so often again when its process or its computer is lost; then it fails."""

_CONNECT_S = 10.0
_IN_FLIGHT = 1000  # more than a cluster has cores, less than an archive has recordings


def on_ray(
    work: Callable[[_J], _R], died: Callable[[_J, str], _R], jobs: Sequence[_J], address: str
) -> Generator[_R, None, None]:
    """The results of ``work`` for all jobs, in the order in which they are done; each job takes one core.

    Args:
        work, died, jobs: see ``in_processes``; all computers see the files of a job under the same paths.
        address: of the cluster, ``auto`` for the one that runs here.

    Raises:
        EmotionError: Ray is not installed, or there is no cluster.
    """
    if not jobs:
        return  # a cluster of which nothing is asked need not be there
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent unless asked for
    try:
        import ray
    except ImportError as error:
        raise EmotionError("--ray takes Ray: pip install 'emotion-perception[cluster]'") from error
    _refuse_nobody(address)
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise EmotionError(_no_cluster(address, error)) from None
    try:
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(work)
        waiting = list(reversed(jobs))
        running: dict[Any, _J] = {}
        while waiting or running:
            while waiting and len(running) < _IN_FLIGHT:
                job = waiting.pop()
                running[task.remote(job)] = job
            (done, *_), _ = ray.wait(list(running), num_returns=1)
            yield _result(ray, done, running.pop(done), died)
    finally:
        ray.shutdown()


def _refuse_nobody(address: str) -> None:
    """Ray itself waits minutes for an address at which nothing listens."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return  # "auto", or something else that Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise EmotionError(_no_cluster(address, error)) from None


def _no_cluster(address: str, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"--ray {address}: expected a Ray cluster (ray start --head begins one): {reason}"


def _result(ray: Any, reference: Any, job: _J, died: Callable[[_J, str], _R]) -> _R:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        return died(job, f"{type(error).__name__} after {RETRIES + 1} attempts: {str(error).splitlines()[0]}")
