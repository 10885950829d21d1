"""How many CPU cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath


def usable_cores() -> int:
    """The cores that this process may use, at least 1: by its affinity (taskset, cpuset) and its cgroup's quota.

    A container with ``--cpus=1.5`` on 64 cores may use 2: a quota is rounded up. More threads than that are stopped by
    the kernel for the rest of every period, and all of them wait for each other.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def bound_opencv(threads: int = 0) -> int:
    """Keep OpenCV's thread pool, the process's only one, within ``threads``; 0 for ``usable_cores()``, as returned.

    OpenCV knows the affinity, but no quota of cgroup v2. A lower number that somebody has set stays.
    """
    import cv2

    cores = usable_cores()
    if cv2.getNumThreads() > (threads or cores):
        cv2.setNumThreads(threads or cores)
    return cores


def bound_torch() -> None:
    """Keep torch's threads within ``usable_cores()``; like OpenCV, it knows no quota. A lower number stays."""
    import torch

    cores = usable_cores()
    if torch.get_num_threads() > cores:
        torch.set_num_threads(cores)


def cgroup_quota(root: str | Path = "/") -> float | None:
    """The smallest CPU quota of this process's cgroup and those above it, in cores; None where there is none.

    Args:
        root: the folder that holds ``proc`` and ``sys``.
    """
    root = Path(root)
    quotas = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            quotas += [_quota_v2(folder) for folder in _upwards(root / "sys/fs/cgroup", group)]
        elif "cpu" in controllers.split(","):
            for mount in dict.fromkeys((controllers, "cpu", "cpu,cpuacct")):
                quotas += [_quota_v1(folder) for folder in _upwards(root / "sys/fs/cgroup" / mount, group)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _upwards(mount: Path, group: str) -> list[Path]:
    """The folders of a cgroup and of all above it; in a container the group's path may be the host's, and not there."""
    parts = [part for part in PurePosixPath(group).parts if part not in ("/", "..")]
    return [mount.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]


def _quota_v2(folder: Path) -> float | None:
    # "max 100000" or "150000 100000": microseconds of computing in each period
    return _ratio(*_read(folder / "cpu.max").split()[:2])


def _quota_v1(folder: Path) -> float | None:
    return _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))  # -1: no quota


def _ratio(quota: str = "", period: str = "") -> float | None:
    try:
        value = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return value if value > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
