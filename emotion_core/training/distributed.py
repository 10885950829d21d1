"""One training in several processes, one GPU each, as ``torchrun`` starts them; without it, one process."""

from __future__ import annotations

import os
from typing import Any

import torch
from numpy.typing import NDArray
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


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
        self.device = torch.device(device)
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
        indices = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=indices)

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

    def same(self, value: float) -> float:
        """The first process's value, in all of them."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.broadcast(tensor, 0)
        return float(tensor)
