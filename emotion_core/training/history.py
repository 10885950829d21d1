"""What happened in every epoch of a branch-by-branch training."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from emotion_core.store.files import atomic_write

NAN = float("nan")


@dataclass
class EpochRow:
    """One epoch; NaN where nothing was measured. Accuracies in percent, on the validation faces."""

    stage: str
    branches: int
    epoch: int
    lr: float
    train_loss: float = NAN
    valid_accuracy: float = NAN
    """Of the branches' vote."""
    branch_accuracy: tuple[float, ...] = ()
    rmse_valence: float = NAN
    rmse_arousal: float = NAN
    seconds: float = NAN

    def __str__(self) -> str:
        if self.stage == "categorical":
            measured = f"accuracy {self.valid_accuracy:.2f} %"
        else:
            measured = f"RMSE valence {self.rmse_valence:.3f}, arousal {self.rmse_arousal:.3f}"
        size = "1 branch" if self.branches == 1 else f"{self.branches} branches"
        return f"{self.stage}, {size}, epoch {self.epoch}: loss {self.train_loss:.4f}, {measured}, {self.seconds:.0f} s"


class History(list[EpochRow]):
    """Rows in the order of the training."""

    def to_list(self) -> list[dict[str, Any]]:
        """Plain dictionaries, from which ``from_list`` makes the same history."""
        return [asdict(row) for row in self]

    @classmethod
    def from_list(cls, rows: list[dict[str, Any]]) -> History:
        """Inverse of ``to_list``."""
        return cls(EpochRow(**{**row, "branch_accuracy": tuple(row["branch_accuracy"])}) for row in rows)

    def write_csv(self, path: str | Path) -> None:
        """One line an epoch."""
        with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, [item.name for item in fields(EpochRow)])
            writer.writeheader()
            for row in self:
                joined = " ".join(f"{value:.2f}" for value in row.branch_accuracy)
                writer.writerow({**asdict(row), "branch_accuracy": joined})

    def log_last(self, board: Any) -> None:
        """The last row as scalars of a TensorBoard ``SummaryWriter``."""
        last = self[-1]
        for name in ("lr", "train_loss", "valid_accuracy", "rmse_valence", "rmse_arousal"):
            value = getattr(last, name)
            if value == value:
                board.add_scalar(f"{last.stage}/{name}", value, len(self))
        for i, value in enumerate(last.branch_accuracy, 1):
            board.add_scalar(f"branches/{i}", value, len(self))

    def plot(self, path: str | Path) -> None:
        """Loss and accuracy over the epochs as a PNG, as in the paper, with a line where a branch was added."""
        from emotion_core.plots.training import plot_training

        plot_training(self, path)
