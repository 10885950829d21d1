"""How long the stages of some work take, for whoever asks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Stages:
    """Milliseconds by stage, those of one name added up; ``ms`` is in the order in which the stages began."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextlib.contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Add what is done inside to the stage of this name, also where it fails."""
        self.ms.setdefault(name, 0.0)
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] += 1e3 * (time.perf_counter() - began_s)
