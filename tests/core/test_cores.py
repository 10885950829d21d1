"""How many cores a process may use: its affinity and its cgroup's quota."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emotion_core import cores

ROOT = Path(__file__).parents[2]


def tree(root: Path, files: dict[str, str]) -> Path:
    """A stand-in for /proc and /sys."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        # the tightest of the group and all above it
        (
            {
                "proc/self/cgroup": "0::/pod/box\n",
                "sys/fs/cgroup/pod/box/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/pod/cpu.max": "200000 100000\n",
            },
            2.0,
        ),
        # the host's path in a container that sees only its own group
        ({"proc/self/cgroup": "0::/host/only\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
        (
            {
                "proc/self/cgroup": "5:memory:/m\n4:cpu,cpuacct:/box\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/box\n",
                "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "25000\n",
                "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
            },
            0.25,
        ),
        ({"proc/self/cgroup": "rubbish\n0::/\n", "sys/fs/cgroup/cpu.max": "many\n"}, None),
    ],
    ids=["nothing", "v2 no quota", "v2", "v2 parents", "v2 host's path", "v1", "v1 cpu alone", "unreadable"],
)
def test_quota_of_the_cgroup(tmp_path, files, expected):
    assert cores.cgroup_quota(tree(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"), [(8, None, 8), (8, 1.5, 2), (8, 2.0, 2), (8, 0.1, 1), (2, 16.0, 2)]
)
def test_the_smaller_of_affinity_and_quota(monkeypatch, affinity, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(cores, "cgroup_quota", lambda: quota)
    assert cores.usable_cores() == expected


def test_an_affinity_of_one_core_counts():
    core = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{core}]); from emotion_core.cores import usable_cores as u; print(u())"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.stdout == "1\n", result.stderr


def test_opencv_is_bounded_and_never_raised(monkeypatch):
    cv2 = pytest.importorskip("cv2")
    before = cv2.getNumThreads()
    try:
        monkeypatch.setattr(cores, "usable_cores", lambda: 3)
        for threads, expected in ((8, 3), (2, 2)):
            cv2.setNumThreads(threads)
            assert cores.bound_opencv() == 3
            assert cv2.getNumThreads() == expected
    finally:
        cv2.setNumThreads(before)


def test_torch_is_bounded_and_never_raised(monkeypatch):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    try:
        monkeypatch.setattr(cores, "usable_cores", lambda: 3)
        for threads, expected in ((8, 3), (2, 2)):
            torch.set_num_threads(threads)
            cores.bound_torch()
            assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


THREADS = """
import os
from emotion_core import cores
cores.usable_cores = lambda: 3
from emotion_core.runtime.classifier import Classifier
counts, classifiers = [0], []
for threads in (1, 1, 0):  # its first session starts one more
    classifiers.append(Classifier.load("esr_compact", threads))
    counts.append(len(os.listdir("/proc/self/task")))
print([b - a for a, b in zip(counts, counts[1:])][1:])
"""


def test_threads_zero_are_the_usable_cores():
    """ONNX Runtime starts one thread fewer than it uses; on its own it would count the cores of the machine."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("needs /proc")
    result = subprocess.run([sys.executable, "-c", THREADS], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.stderr) == ("[0, 2]\n", "")
