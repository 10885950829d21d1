"""Nodes as child processes: started, listened to, stopped."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence

GRACE_S = 10.0
"""So long a node may take to end after SIGINT before it is killed."""

_PREFIX = re.compile(r"^(?:\[\w+\] )?\[\d+\.\d+\] \[[\w./]+\]: ")


class NodeError(Exception):
    """A node failed. ``code`` is what the caller should exit with: 2 for bad input, 1 for anything else."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Child:
    """``python -m emotion_ros <name>`` with ROS arguments, in a session of its own.

    A terminal's Ctrl-C thus reaches only the parent, which stops its children in order. Output is read by a thread;
    the last lines are kept.
    """

    def __init__(self, name: str, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        self.name = name
        self._lines: deque[str] = deque(maxlen=200)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "emotion_ros", name, "--ros-args", *arguments],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"{name} output", daemon=True)
        self._reader.start()

    @property
    def code(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    def find(self, pattern: re.Pattern[str]) -> str | None:
        """The newest match in what the node has said."""
        for line in reversed(list(self._lines)):
            if match := pattern.search(line):
                return match[0]
        return None

    def last_words(self, count: int = 1) -> str:
        """The last lines that the node has said."""
        return "\n".join(list(self._lines)[-count:]) or "nothing"

    def wait_for(self, pattern: re.Pattern[str], timeout_s: float) -> None:
        """Return as soon as the node has said so; raises NodeError when it ends before, or takes too long."""
        end = time.monotonic() + timeout_s
        while not self.find(pattern):
            if self.code is not None:
                self._reader.join(1.0)
                raise self.failure()
            if time.monotonic() > end:
                raise NodeError(f"node {self.name} is not ready after {timeout_s:.0f} s: {self.last_words()}")
            time.sleep(0.05)

    def failure(self) -> NodeError:
        """What to raise when the node ended that should not have."""
        self._reader.join(1.0)
        code = self.code
        how = f"ended with {code}" if code is not None and code >= 0 else f"was ended by signal {-(code or 0)}"
        return NodeError(f"node {self.name} {how}; it said:\n{self.last_words(8)}", 2 if code == 2 else 1)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """SIGINT, and SIGKILL when that does not end it in time."""
        if self.code is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(1.0)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                if text := _PREFIX.sub("", line.rstrip()):
                    self._lines.append(text)


def stop_all(children: Sequence[Child]) -> None:
    """Stop in the order of the data: first who sends, last who writes down."""
    for child in reversed(children):
        child.stop()
