"""The energy that a piece of work takes, on machines that tell.

Jetson boards carry INA3221 power monitors, whose rails are sampled by a thread and integrated by the trapezoidal rule.
Intel and AMD processors count their energy (RAPL: running average power limit), as Linux shows under
/sys/class/powercap. Either way the sum is all that the board or processor used, idle power included.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

BOARD_RAILS = ("VDD_IN", "POM_5V_IN")
"""Rails of a Jetson through which all of the board's power goes; where there is none, all rails are added."""

INTERVAL_S = 0.05


class EnergyMeter:
    """Measures between ``start`` and ``stop``, or within ``with``; can be used any number of times.

    Attributes:
        kind: 'INA3221' (power rails of a Jetson) or 'RAPL' (the processor and its memory, without a GPU).
        parts: names of what is added up.
        joules: of the last measurement, NaN before the first.
    """

    def __init__(
        self, kind: str, parts: Sequence[Part], interval_s: float = INTERVAL_S, clock: Callable[[], float] | None = None
    ) -> None:
        self.kind, self.parts = kind, tuple(part.name for part in parts)
        self.joules = math.nan
        self._parts, self._interval_s, self._clock = parts, interval_s, clock or time.monotonic
        self._total, self._done = 0.0, threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def find(
        cls,
        root: str | Path = "/",
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] | None = None,
    ) -> EnergyMeter | None:
        """The machine's meter, None where it has none or does not let this user read it.

        Of a Jetson the rail that feeds the whole board (``BOARD_RAILS``) is taken, else the sum of all rails; of
        RAPL all packages and their DRAM: cores and graphics are parts of a package, ``psys`` is wrong on many boards.

        Args:
            root: where /sys lies.
            interval_s: between two samples.
            clock: gives seconds; by default the monotonic clock.
        """
        for kind, search in _KINDS:
            with contextlib.suppress(OSError, ValueError):
                if parts := search(Path(root)):
                    return cls(kind, parts, interval_s, clock)
        return None

    @staticmethod
    def why_not(root: str | Path = "/") -> str:
        """One phrase on why ``find`` gives None; empty when it gives a meter."""
        for kind, search in _KINDS:
            try:
                if search(Path(root)):
                    return ""
            except PermissionError as error:
                return f"{error.filename or kind} may only be read by root"
            except (OSError, ValueError):
                return f"the {kind} counters cannot be read"
        return "this machine shows neither RAPL counters nor INA3221 power rails"

    def start(self) -> None:
        """Begin; raises RuntimeError when a measurement is under way."""
        if self._thread is not None:
            raise RuntimeError("the meter is running: stop it first")
        self._total = 0.0
        self._done.clear()
        now_s = self._clock()
        for part in self._parts:
            part.begin(now_s)
        self._thread = threading.Thread(target=self._sample, name="energy", daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """End; returns the joules since ``start``. Raises RuntimeError when nothing was started."""
        if self._thread is None:
            raise RuntimeError("the meter is not running: start it first")
        self._done.set()
        self._thread.join()
        self._thread = None
        self._advance()
        self.joules = self._total
        return self.joules

    def __enter__(self) -> EnergyMeter:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _sample(self) -> None:
        while not self._done.wait(self._interval_s):
            self._advance()

    def _advance(self) -> None:
        now_s = self._clock()
        self._total += sum(part.advance(now_s) for part in self._parts)


class Part(Protocol):
    """One thing that is measured."""

    name: str

    def begin(self, now_s: float) -> None:
        """Forget what was before."""

    def advance(self, now_s: float) -> float:
        """Joules since the last call."""


class Counter:
    """A RAPL zone: a counter of microjoules that starts again at zero after its range.

    Args:
        folder: holds ``name``, ``energy_uj`` and ``max_energy_range_uj``.
    """

    def __init__(self, folder: Path) -> None:
        self.name = _text(folder / "name")
        self._path, self._range = folder / "energy_uj", _number(folder / "max_energy_range_uj")
        self._last = _number(self._path)
        if self._range <= 0:
            raise ValueError(f"{folder} has no range")

    def begin(self, now_s: float) -> None:
        """Forget what was before."""
        self.advance(now_s)

    def advance(self, now_s: float) -> float:
        """Joules since the last call; right as long as the counter starts again at most once in between."""
        now = self._last
        with contextlib.suppress(OSError, ValueError):  # the next reading makes up for it
            now = _number(self._path)
        used = (now - self._last) % self._range
        self._last = now
        return used / 1e6


class Rail:
    """A power rail, whose present power is read; one that cannot be read for a while keeps its last value."""

    def __init__(self, name: str, watts: Callable[[], float]) -> None:
        self.name, self._watts = name, watts
        self._last_s, self._last_w = 0.0, watts()

    def begin(self, now_s: float) -> None:
        """Forget what was before."""
        self._last_s, self._last_w = now_s, self._read()

    def advance(self, now_s: float) -> float:
        """Joules since the last call."""
        watts = self._read()
        joules = (now_s - self._last_s) * (watts + self._last_w) / 2
        self._last_s, self._last_w = now_s, watts
        return joules

    def _read(self) -> float:
        with contextlib.suppress(OSError, ValueError):
            return self._watts()
        return self._last_w


def _rails(root: Path) -> list[Rail]:
    """Of the drivers of today (hwmon: voltage and current) or of Jetpack 4 and older (iio: power)."""
    drivers = root / "sys/bus/i2c/drivers"
    rails = list(_working(_hwmon_rails(drivers))) or list(_working(_iio_rails(drivers)))
    return [rail for rail in rails if rail.name in BOARD_RAILS][:1] or rails


def _hwmon_rails(drivers: Path) -> Iterator[tuple[str, Callable[[], float]]]:
    for label in sorted(drivers.glob("ina3221*/*/hwmon/hwmon*/in[1-3]_label")):
        number = label.name[2]
        # mV x mA are microwatts
        factors = label.with_name(f"in{number}_input"), label.with_name(f"curr{number}_input")
        yield _text(label), partial(_product, factors, 1e-6)


def _iio_rails(drivers: Path) -> Iterator[tuple[str, Callable[[], float]]]:
    for label in sorted(drivers.glob("ina3221x/*/iio:device*/rail_name_[0-2]")):
        yield _text(label), partial(_product, (label.with_name(f"in_power{label.name[-1]}_input"),), 1e-3)


def _product(paths: Sequence[Path], unit: float) -> float:
    return math.prod(map(_number, paths)) * unit


def _working(found: Iterator[tuple[str, Callable[[], float]]]) -> Iterator[Rail]:
    """Rails that are connected ('NC' is not) and switched on (others cannot be read)."""
    for name, watts in found:
        if name.upper() != "NC":
            with contextlib.suppress(OSError, ValueError):
                yield Rail(name, watts)


def _counters(root: Path) -> list[Counter]:
    folders = [path.parent for path in sorted((root / "sys/class/powercap").glob("*/energy_uj"))]
    # The same packages once more, through another register.
    folders = [path for path in folders if "-mmio" not in path.name] or folders
    return [Counter(path) for path in folders if _text(path / "name").startswith(("package", "dram"))]


_KINDS: tuple[tuple[str, Callable[[Path], Sequence[Part]]], ...] = (("INA3221", _rails), ("RAPL", _counters))


def _text(path: Path) -> str:
    return path.read_text().strip()


def _number(path: Path) -> int:
    return int(_text(path))
