"""What all learners have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any


class Learner(ABC):
    """A method that can be trained, measured, applied, stored and made faster.

    The names are those of OpenDR's ``engine.learners.Learner``, so that code written for its learners finds them.
    """

    @abstractmethod
    def fit(self, dataset: Any = None, val_dataset: Any = None) -> dict[str, Any]:
        """Train; returns the history."""

    @abstractmethod
    def eval(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Measure on a dataset; returns the figures."""

    @abstractmethod
    def infer(self, input_batch: Any) -> Any:
        """Apply to one input or to a batch."""

    @abstractmethod
    def save(self, *args: Any, **kwargs: Any) -> Path:
        """Write the model to a folder; returns the folder."""

    @abstractmethod
    def load(self, *args: Any, **kwargs: Any) -> None:
        """Read a model from a folder."""

    @abstractmethod
    def optimize(self, *args: Any, **kwargs: Any) -> Any:
        """Make ``infer`` faster."""

    @abstractmethod
    def reset(self) -> None:
        """Forget what was learned."""
