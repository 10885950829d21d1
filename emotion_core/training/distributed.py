"""One training in several processes, one GPU each, as ``torchrun`` starts them; without it, one process."""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from emotion_core.errors import EmotionError

DEVICES = ("cpu", "cuda")


def find_device(name: str | torch.device) -> torch.device:
    """The device with this name: 'cpu', 'cuda' or 'cuda:1'.

    Raises:
        EmotionError: it is no such name, or torch finds no such device.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in DEVICES:
        raise EmotionError(f"unknown device {str(name)!r}: use one of {', '.join(DEVICES)}")
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        found = f"{count} of them" if count else "no CUDA device"
        raise EmotionError(f"device '{device}' is asked for, but torch finds {found}: use 'cpu', or mend the driver")
    return device


class Processes:
    """This process among its siblings.

    Args:
        device: of a single process; with torchrun and CUDA each process takes the GPU of its local rank.

    Attributes:
        rank, count: position among the processes, and their number.
        device: where this process computes.
    """

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.rank, self.count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.device = find_device(device)
        if self.count == 1:
            return
        if self.device.type == "cuda":
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
            torch.cuda.set_device(self.device)
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def parallel(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over all processes."""
        if self.count == 1:
            return module
        # A filter over one channel lies the same in both layouts of memory, and torch warns of what costs nothing.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        indices = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=indices)

    def align(self, module: nn.Module) -> None:
        """Give all processes the first one's weights and statistics, which differ where each saw its own faces."""
        if self.count == 1:
            return
        for tensor in module.state_dict().values():
            distributed.broadcast(tensor, 0)

    def share(self, order: NDArray[Any]) -> NDArray[Any]:
        """This process's part of an order that all processes know; all parts have the same length."""
        return order[: len(order) - len(order) % self.count][self.rank :: self.count]

    def mean(self, value: float) -> float:
        """Mean over all processes."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return float(tensor) / self.count

    def total(self, values: Tensor) -> Tensor:
        """Sum over all processes, of tensors on their devices."""
        if self.count == 1:
            return values
        values = values.clone()
        distributed.all_reduce(values)
        return values

    def same(self, value: float) -> float:
        """The first process's value, in all of them."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.broadcast(tensor, 0)
        return float(tensor)

    def merge(self, values: Tensor, seen: Tensor) -> Tensor:
        """What each process knows of its own samples, put together; the present value where nobody saw a sample.

        Args:
            values: (N,) of all samples.
            seen: (N,) bool, those that this process has looked at. No two processes look at the same one.
        """
        if self.count == 1:
            return values
        known = torch.where(seen, values, 0.0).to(self.device)
        counts = seen.to(self.device, torch.int32)
        distributed.all_reduce(known)
        distributed.all_reduce(counts)
        return torch.where(counts.cpu() > 0, known.cpu(), values)
