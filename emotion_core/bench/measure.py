"""Speed and memory of a network, measured in a process that does nothing else.

``python -m emotion_core.bench.measure`` reads a ``Task`` as JSON and answers with JSON lines: ``{"block": …}`` for
every block measured, at the end ``{"result": …}`` or ``{"error": …}``. ``measure_apart`` does both ends of that.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.bench.energy import EnergyMeter
from emotion_core.cores import usable_cores
from emotion_core.errors import EmotionError
from emotion_core.plugins import load_plugin, loaded_plugins
from emotion_core.runtime.processor import cpu_name
from emotion_core.store.metadata import read_card

BLOCKS = 5
"""Blocks into which the runs of a backend are divided; the backends take turns block by block."""
SEED = 0
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_ENERGY_S = 1.0  # shortest pass that energy is measured over: power monitors are slow

Inputs = dict[str, NDArray[np.float32]]
Call = Callable[[], NDArray[np.floating]]
"""Hands one sample over, runs the network, returns its members' probabilities (1, members, classes)."""


@dataclass(frozen=True)
class Task:
    """What one process measures.

    Attributes:
        kind: 'speed' of all files in turns, or the 'memory' of a single one.
        files: by backend; of 'eager' the .safetensors with its card, of all others an .onnx file.
        threads: of the CPU, at least 1.
        device: 'cpu' or 'cuda'.
        runs: counted calls of each backend.
        warmup: calls of each backend before.
        plugins: modules that register the architectures.
    """

    kind: str
    files: dict[str, str]
    threads: int = 1
    device: str = "cpu"
    runs: int = 100
    warmup: int = 10
    plugins: tuple[str, ...] = field(default_factory=loaded_plugins)


def measure_apart(task: Task, on_block: Callable[[str], None] = lambda backend: None) -> dict[str, Any]:
    """Measure in a process of its own.

    Args:
        on_block: called with the backend's name after each block.

    Returns:
        Of a speed task for each backend ``{"seconds": [each run], "joules": of one run or None, "difference": largest
        difference of the probabilities from eager torch, None without that}`` or ``{"skipped": why}``; of a memory task
        ``{"memory_mb": increase of the peak over the interpreter with its imports}``.

    Raises:
        EmotionError: the process failed or was killed.
    """
    package = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((package, inherited) if inherited else (package,))}
    result: dict[str, Any] | None = None
    with (
        tempfile.TemporaryFile("w+") as errors,
        # In the files' folder, since Python looks for modules in the working directory first.
        subprocess.Popen(
            [sys.executable, "-m", "emotion_core.bench.measure"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            cwd=Path(next(iter(task.files.values()))).parent,
        ) as child,
    ):
        assert child.stdin is not None and child.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError), child.stdin:
                json.dump(asdict(task), child.stdin)
            for line in child.stdout:
                message = json.loads(line) if line.startswith("{") else {}
                if "block" in message:
                    on_block(message["block"])
                elif "error" in message:
                    raise EmotionError(message["error"])
                result = message.get("result", result)
        except BaseException:
            child.kill()
            raise
        code = child.wait()
        if result is None or code:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or ["no reason given"])[-1]
            reason = f"killed by signal {-code}, perhaps for lack of memory" if code < 0 else last[:200]
            raise EmotionError(f"the measuring process failed: {reason}")
    return result


def measure(
    calls: Mapping[str, Callable[[], object]],
    runs: int,
    warmup: int,
    on_block: Callable[[str], None] = lambda backend: None,
) -> dict[str, list[float]]:
    """Seconds of each call, in alternating blocks, so that a change of the clock rate hits all alike.

    Each block begins with a call that does not count: the caches then hold what the others needed.

    Args:
        calls: what to measure, by name.
        runs: counted calls of each.
        warmup: calls of each before the first block.
        on_block: called with the name after each block.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(warmup):
            call()
    for block in np.array_split(np.arange(runs), min(BLOCKS, runs)):
        for name, call in calls.items():
            call()
            for _ in block:
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
            on_block(name)
    return seconds


def rates(seconds: list[float]) -> tuple[float, float]:
    """Evaluations a second: of the mean time, as tables of speed give it, and of the median time."""
    return 1.0 / statistics.fmean(seconds), 1.0 / statistics.median(seconds)


def machine_info(device: str = "cpu") -> dict[str, Any]:
    """What a speed depends on: processor, cores, versions, the load of the last minute, and where energy is read."""
    import onnxruntime
    import torch

    meter = EnergyMeter.find()
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" and torch.cuda.is_available() else None,
        "device": device,
        "provider": PROVIDERS[device],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "load": round(os.getloadavg()[0], 2),
        "energy": f"{meter.kind}: {', '.join(meter.parts)}" if meter else None,
    }


def _speed(task: Task, on_block: Callable[[str], None]) -> dict[str, Any]:
    inputs = _inputs(task)
    calls: dict[str, Call] = {}
    result: dict[str, Any] = {}
    for backend, file in task.files.items():
        try:
            calls[backend] = _call(backend, file, inputs, task)
        except EmotionError as error:
            result[backend] = {"skipped": str(error)}
    answers = {backend: call() for backend, call in calls.items()}
    seconds = measure(calls, task.runs, task.warmup, on_block)
    meter = EnergyMeter.find()
    if meter is not None and meter.kind == "RAPL" and task.device != "cpu":
        meter = None  # it does not see the GPU
    for backend, call in calls.items():
        difference = np.abs(answers[backend] - answers["eager"]).max() if "eager" in answers else None
        result[backend] = {
            "seconds": seconds[backend],
            "joules": None if meter is None else _joules(meter, call, task.runs),
            "difference": None if difference is None else float(difference),
        }
    return result


def _joules(meter: EnergyMeter, call: Call, runs: int) -> float:
    """Of one call; a pass of its own, since a power monitor's sampling takes time."""
    count, end = 0, time.perf_counter() + _ENERGY_S
    with meter:
        while count < runs or time.perf_counter() < end:
            call()
            count += 1
    return meter.joules / count


def _memory(task: Task) -> dict[str, Any]:
    ((backend, file),) = task.files.items()
    # Imported here, before the count begins.
    import cv2  # noqa: F401

    if backend == "eager":
        import torch

        import emotion_core.export.weights
    import emotion_core.runtime.classifier  # noqa: F401

    inputs, before = _inputs(task), _reset_peak()
    call = _call(backend, file, inputs, task)
    for _ in range(max(2, task.warmup)):
        call()
    if task.device == "cuda":
        return {"memory_mb": torch.cuda.max_memory_allocated() / 1e6}
    return {"memory_mb": (_peak() - before) / 1e6}


def _inputs(task: Task) -> Inputs:
    """One random sample, as the card of the first file describes it."""
    card, rng = read_card(next(iter(task.files.values()))), np.random.default_rng(SEED)
    low_high = {item.name: item.value_range if item.shows_faces else (-1.0, 1.0) for item in card.inputs}
    return {
        item.name: np.asarray(rng.uniform(*low_high[item.name], (1, *item.shape)), np.float32) for item in card.inputs
    }


def _call(backend: str, file: str, inputs: Inputs, task: Task) -> Call:
    if backend == "eager":
        return _eager(file, inputs, task)
    from emotion_core.runtime.classifier import Classifier

    classifier = Classifier(file, task.threads, task.device)
    arrays = tuple(inputs.values())
    return lambda: classifier(*arrays).branch_probabilities


def _eager(file: str, inputs: Inputs, task: Task) -> Call:
    import torch

    from emotion_core.export.weights import load_network
    from emotion_core.models.registry import named_outputs
    from emotion_core.runtime.ensemble import EnsembleOutput

    torch.set_num_threads(task.threads)
    model, card = load_network(file)
    model.to(task.device)
    arrays = tuple(inputs.values())

    def call() -> NDArray[np.floating]:
        with torch.inference_mode():
            result = model(*(torch.from_numpy(array).to(task.device) for array in arrays))
            outputs = {name: value.cpu().numpy() for name, value in named_outputs(card.outputs, result).items()}
            return EnsembleOutput.from_outputs(card, outputs).branch_probabilities

    return call


def _reset_peak() -> int:
    """Bytes to count from: what is in use now where the peak can be reset to it, else the peak so far."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except (OSError, ValueError):
        return _peak()


def _peak() -> int:
    """Most bytes of memory that this process has had since the last reset."""
    try:
        return _status("VmHWM")
    except (OSError, ValueError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"the kernel does not tell {name}")


def _main() -> None:
    def tell(**message: object) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    task = Task(**json.load(sys.stdin))
    try:
        for name in task.plugins:
            load_plugin(name)
        tell(result=_memory(task) if task.kind == "memory" else _speed(task, lambda name: tell(block=name)))
    except EmotionError as error:
        tell(error=str(error))


if __name__ == "__main__":
    _main()
