"""SIGINT and SIGTERM: the first asks to stop, repeats within a second are the same wish, a later one ends at once.

A terminal, launch and a script may each pass one Ctrl-C on, within milliseconds.
"""

from __future__ import annotations

import os
import signal
import threading
import time

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REPEATED_S = 1.0


def await_handlers() -> None:
    """Until the process sets handlers of its own, Ctrl-C ends it and says nothing.

    Who started it may have had the signal wait until here.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


class StopSignals:
    """From when it is made, signals set ``stop``; one that comes later than REPEATED_S after the first is deadly."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._first_s = 0.0
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def ignore(self) -> None:
        """From now on, do nothing: a signal while Python winds up would turn a success into a death by signal."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, _: object) -> None:
        if not self.stop.is_set():
            self._first_s = time.monotonic()
            self.stop.set()
        elif time.monotonic() > self._first_s + REPEATED_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def interrupt_once() -> None:
    """From now on, signals raise KeyboardInterrupt, but not within REPEATED_S of the last that did."""
    raised_s = float("-inf")

    def on_signal(number: int, _: object) -> None:
        nonlocal raised_s
        if time.monotonic() > raised_s + REPEATED_S:
            raised_s = time.monotonic()
            raise KeyboardInterrupt

    for number in SIGNALS:
        signal.signal(number, on_signal)
