"""What tests of training share."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def two_processes(tmp_path: Path) -> Callable[..., list[str]]:
    """Run a script in two processes, as torchrun does without its launcher: gloo over the loopback interface.

    Takes the script and the test module that it may import as ``cases``; returns what each process printed.
    """

    def run(script: str, cases: str) -> list[str]:
        (tmp_path / "cases.py").write_text(Path(cases).read_text())
        (tmp_path / "worker.py").write_text(script)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        root = Path(__file__).resolve().parents[2]
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
        processes = [
            subprocess.Popen(
                [sys.executable, str(tmp_path / "worker.py"), str(tmp_path / "run")],
                env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank),
                     "PYTHONPATH": f"{root}:{tmp_path}", "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]  # fmt: skip
        try:
            results = [process.communicate(timeout=240) for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert [p.returncode for p in processes] == [0, 0], [errors[-2000:] for _, errors in results]
        return [output for output, _ in results]

    return run
