"""How fast and how large networks are on this machine: eager torch, ONNX Runtime, and smaller copies.

Each network and number of threads gets a process of its own, in which the backends take turns; the memory of each
backend is measured in a further one. See ``emotion_core.bench.measure`` for the measurement itself.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from emotion_core.bench.energy import EnergyMeter
from emotion_core.bench.measure import (
    BLOCKS,
    PROVIDERS,
    SEED,
    Task,
    machine_info,
    measure_apart,
    rates,
)
from emotion_core.bench.networks import BenchNetwork, find_network, prepare_network
from emotion_core.cores import usable_cores
from emotion_core.errors import EmotionError

BACKENDS = ("eager", "onnx", "float16", "int8")
"""Eager torch in float32, and ONNX Runtime in float32, float16 and int8."""
DEVICES = ("auto", "cpu", "cuda")
MODELS = ("esr9", "esr15", "esr_star9", "esr_star15", "esr_compact")

_BUSY = 0.5  # load average from which on other work disturbs

Progress = Callable[[float, str], None]
"""Called with the share done, in [0, 1], and what is being done."""


@dataclass(frozen=True)
class BenchConfig:
    """What to measure.

    Attributes:
        models: names or paths of models (.onnx, .safetensors), or names of presets in the registry.
            Networks without weights get random ones, since the speed does not depend on them.
        threads: numbers of CPU threads; empty for one and all.
        backends: some of ``BACKENDS``.
        runs: counted evaluations of one face each.
        warmup: evaluations before, not counted.
        memory: whether to measure the memory too.
        device: 'cpu', 'cuda', or 'auto': CUDA where all backends' runtimes have it.

    Raises:
        EmotionError: a value is out of range.
    """

    models: tuple[str, ...] = MODELS
    threads: tuple[int, ...] = ()
    backends: tuple[str, ...] = BACKENDS
    runs: int = 100
    warmup: int = 10
    memory: bool = True
    device: str = "auto"

    def __post_init__(self) -> None:
        for ok, problem in (
            (bool(self.models), "there is no model to measure: name at least one"),
            (all(n >= 1 for n in self.threads), f"threads must be at least 1, got {min(self.threads, default=1)}"),
            (
                bool(self.backends) and set(self.backends) <= set(BACKENDS),
                f"backends are {', '.join(self.backends) or 'none'}: expected some of {', '.join(BACKENDS)}",
            ),
            (self.runs >= 1, f"runs must be at least 1, got {self.runs}"),
            (self.warmup >= 0, f"warmup must be at least 0, got {self.warmup}"),
            (self.device in DEVICES, f"device is {self.device!r}, expected one of {', '.join(DEVICES)}"),
        ):
            if not ok:
                raise EmotionError(problem)


@dataclass(frozen=True)
class BenchRow:
    """One network on one backend.

    Attributes:
        network, backend, threads: what was measured.
        params_m: parameters in millions.
        per_s: evaluations a second, of the mean time.
        median_per_s: the same of the median time.
        ratio: ``per_s`` over that of eager torch in the same process, None without eager torch.
        difference: largest difference of the branches' probabilities from eager torch, on one face.
        memory_mb: peak of the memory while loading and running, over the interpreter with its imports, with the first
            number of threads; on CUDA torch's largest allocation, None for ONNX Runtime.
        file_mb: size of the file.
        joules: energy of one evaluation, idle power included; None where the machine does not tell.
    """

    network: str
    backend: str
    threads: int
    params_m: float
    per_s: float
    median_per_s: float
    ratio: float | None
    difference: float | None
    memory_mb: float | None
    file_mb: float
    joules: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, rounded to five significant digits."""
        return {name: float(f"{v:.5g}") if isinstance(v, float) else v for name, v in asdict(self).items()}


@dataclass(frozen=True)
class BenchReport:
    """All that was measured, on what machine and how; ``notes`` are sentences on what is missing and why."""

    machine: dict[str, Any]
    protocol: dict[str, Any]
    rows: tuple[BenchRow, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "rows": [row.to_dict() for row in self.rows]}


@dataclass
class _Steps:
    """Counts what is done."""

    total: int
    tell: Progress
    done: int = 0

    def __call__(self, text: str, steps: int = 1) -> None:
        self.done += steps
        self.tell(min(1.0, self.done / self.total), text)


def bench(config: BenchConfig, on_progress: Progress = lambda share, text: None) -> BenchReport:
    """Measure networks, one after the other.

    Args:
        config: what to measure. Unknown models are found before anything is measured.
        on_progress: see ``Progress``.

    Raises:
        EmotionError: a model is unknown or damaged, torch is missing, or nothing could be measured.
    """
    for module in ("torch", "onnx", "safetensors"):
        if importlib.util.find_spec(module) is None:
            raise EmotionError(
                f"measuring builds the networks with {module}, which is not installed: "
                "pip install 'emotion-perception[train]'"
            )
    config = replace(config, threads=tuple(dict.fromkeys(config.threads or (1, usable_cores()))))
    device, backends, notes = _choose(config)
    networks = [find_network(name) for name in dict.fromkeys(config.models)]
    machine = machine_info(device)
    if machine["load"] > _BUSY:
        notes.append(f"Other work was running (load {machine['load']:.1f}): measure again on an idle machine.")
    if drawn := [network.name for network in networks if network.weights is None]:
        notes.append(f"Random weights, on which the speed does not depend: {', '.join(drawn)}.")
    if "int8" in backends:
        notes.append("int8 was calibrated on random faces, which does for its speed and not for its answers.")
    each = 1 + len(backends) * (len(config.threads) * min(BLOCKS, config.runs) + config.memory)
    steps = _Steps(each * len(networks), on_progress)
    rows = [row for network in networks for row in _measure(network, config, device, backends, steps, notes)]
    if not rows:
        raise EmotionError(f"nothing could be measured: {' '.join(notes)}")
    if all(row.joules is None for row in rows):
        gpu = "the RAPL counters do not see the GPU"
        notes.append(f"No energy: {EnergyMeter.why_not() or gpu}.")
    protocol = {
        "batch": 1,
        "runs": config.runs,
        "warmup": config.warmup,
        "blocks": min(BLOCKS, config.runs),
        "order": "backends take turns block by block, in one process for each network and number of threads",
        "included": "handing the face over and getting the result back as numpy",
        "memory": "peak while loading and running, over the interpreter with its imports; one process each"
        if device == "cpu"
        else "torch.cuda.max_memory_allocated",
        "seed": SEED,
    }
    return BenchReport(machine, protocol, tuple(rows), tuple(notes))


def _measure(
    network: BenchNetwork, config: BenchConfig, device: str, backends: Sequence[str], steps: _Steps, notes: list[str]
) -> list[BenchRow]:
    """The rows of one network; what fails becomes a note, so that the other networks are measured all the same."""
    rows: list[BenchRow] = []
    steps(f"{network.name}: building", 0)
    with tempfile.TemporaryDirectory(prefix="emotion-bench-") as folder:
        try:
            files, params = prepare_network(network, backends, Path(folder))
        except OSError as error:
            raise EmotionError(f"{folder} could not be written ({error.strerror}): TMPDIR names another") from None
        except EmotionError as error:
            notes.append(f"{network.name}: {error}.")
            return rows
        steps(f"{network.name}: building")
        task = Task("speed", {name: str(path) for name, path in files.items()}, device=device,
                    runs=config.runs, warmup=config.warmup)  # fmt: skip
        memory = _memory(network.name, replace(task, kind="memory", threads=config.threads[0]), config, steps, notes)
        for threads in config.threads:
            text = f"{network.name}: {threads} thread{'s' * (threads > 1)}"
            steps(text, 0)
            try:
                speed = measure_apart(replace(task, threads=threads), partial(_block, steps, text))
            except EmotionError as error:
                notes.append(f"{text}: {error}.")
                continue
            notes += [f"{text}, {name}: {s['skipped']}." for name, s in speed.items() if "skipped" in s]
            rates_of = {name: rates(s["seconds"]) for name, s in speed.items() if "seconds" in s}
            eager = rates_of.get("eager")
            rows += [
                BenchRow(network.name, name, threads, params / 1e6, mean, median, mean / eager[0] if eager else None,
                         speed[name]["difference"], memory.get(name), files[name].stat().st_size / 1e6,
                         speed[name]["joules"])
                for name, (mean, median) in rates_of.items()
            ]  # fmt: skip
    return rows


def _block(steps: _Steps, text: str, backend: str) -> None:
    steps(text)


def _memory(name: str, task: Task, config: BenchConfig, steps: _Steps, notes: list[str]) -> dict[str, float]:
    """MB by backend."""
    result = {}
    for backend, file in task.files.items() if config.memory else ():
        steps(f"{name}: memory", 0)
        if task.device == "cpu" or backend == "eager":  # ONNX Runtime does not tell what it takes of a GPU
            try:
                result[backend] = measure_apart(replace(task, files={backend: file}))["memory_mb"]
            except EmotionError as error:
                notes.append(f"{name}, {backend}, memory: {error}.")
        steps(f"{name}: memory")
    return result


def _choose(config: BenchConfig) -> tuple[str, list[str], list[str]]:
    """Device, the backends that compute on it, and why the others do not."""
    import onnxruntime
    import torch

    cuda = PROVIDERS["cuda"] in onnxruntime.get_available_providers()
    here = {name: torch.cuda.is_available() if name == "eager" else cuda for name in config.backends}
    notes = []
    device = config.device
    if device == "auto":
        able = [there for name, there in here.items() if name != "int8"]
        device = "cuda" if able and all(able) else "cpu"
        if any(able) and device == "cpu":
            notes.append("Only one of PyTorch and ONNX Runtime has CUDA, so both ran on the CPU; see --device.")
    reasons = {name: "its runtime has no CUDA here" for name, there in here.items() if not there}
    if device == "cpu":
        reasons = {"float16": "not on this provider, a CPU computes it in float32"}
    else:
        reasons["int8"] = "not on this provider, which computes it in float32"
    backends = [name for name in dict.fromkeys(config.backends) if name not in reasons]
    notes += [f"No {name}: {reasons[name]}." for name in config.backends if name in reasons]
    if not backends:
        raise EmotionError(f"nothing to measure on the device {device!r}: {' '.join(notes)}")
    return device, backends, notes
