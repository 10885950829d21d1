"""Which processor computes: speeds, and the last digits of int8, depend on it."""

from __future__ import annotations

import platform
from pathlib import Path


def cpu_name() -> str:
    """As the kernel calls the processor, or else the board."""
    for path, start in (("/proc/cpuinfo", "model name"), ("/proc/device-tree/model", "")):
        for line in _lines(path):
            if line.startswith(start):
                return line.partition(":")[2].strip() if start else line.strip("\0 ")
    return platform.processor() or platform.machine()


def describe_cpu() -> str:
    """The processor, and whether it multiplies bytes into 32-bit sums (VNNI), which changes what int8 gives."""
    flags = next((set(line.split()) for line in _lines("/proc/cpuinfo") if line.startswith("flags")), set())
    if not flags:  # an ARM core says "Features"
        features = next((set(line.split()) for line in _lines("/proc/cpuinfo") if line.startswith("Features")), set())
        return f"{cpu_name()}, {'with' if 'asimddp' in features else 'without'} dot product" if features else cpu_name()
    vnni = {"avx512_vnni", "avx_vnni"} & flags
    return f"{cpu_name()}, {'with' if vnni else 'without'} VNNI"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return []
