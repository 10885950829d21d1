"""How a network's probabilities become ones that can be believed, where faces are met that it did not learn from.

    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks. ICML 2017 (temperature scaling).
    Saerens, Latinne, Decaestecker: Adjusting the Outputs of a Classifier to New a Priori Probabilities. Neural
    Computation 14 (1), 2002.
    Menon et al.: Long-tail learning via logit adjustment. ICLR 2021.

A network has learned how frequent each class was in its data, too, and says so: where most faces were neutral, a face
that looks half neutral and half sad is called neutral. The answer is p(c) proportional to said(c)^(1 / T) · prior(c) /
learned(c), with T the temperature, ``learned`` the shares in its data, and ``prior`` those that are expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError

UNIFORM, LEARNED = "uniform", "learned"
"""Names of priors that every calibrated model knows; a third one is the name of the data."""


@dataclass(frozen=True)
class Calibration:
    """Of one model.

    Attributes:
        temperature: above 1 the network is surer than it ought to be.
        learned: share of each class in the data that it learned from, in the order of its labels.
        data: name of these data, in lower case, such as 'ferplus'.
        prior: the shares that are expected where nobody says which.

    Raises:
        ValueError: a value is out of range.
    """

    temperature: float = 1.0
    learned: tuple[float, ...] = ()
    data: str = ""
    prior: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0.05 <= self.temperature <= 20:
            raise ValueError(f"calibration: temperature {self.temperature}, expected 0.05 to 20")
        for name, shares in (("learned", self.learned), ("prior", self.prior)):
            if not all(share > 0 for share in shares) or (shares and abs(sum(shares) - 1) > 1e-3):
                raise ValueError(f"calibration: {name} {shares}, expected positive shares that sum to 1")
        if len(self.learned) != len(self.prior):
            raise ValueError(f"calibration: {len(self.prior)} shares are expected, {len(self.learned)} were learned")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """From a card's entry; raises ValueError or TypeError for one that is wrong."""
        return cls(**{**data, "learned": tuple(data.get("learned", ())), "prior": tuple(data.get("prior", ()))})

    def offsets(self, prior: str, labels: Sequence[str]) -> NDArray[np.float64]:
        """(classes,) what is added to the logarithms of the probabilities, before they are made to sum to 1.

        Args:
            prior: see ``parse_prior``.
            labels: of the model, for the message.

        Raises:
            EmotionError: the prior is none, or the model does not know what it learned from.
        """
        expected = parse_prior(prior, labels, self.data)
        if expected is None:
            return np.zeros(len(labels)) if not self.learned else np.log(np.divide(self.prior, self.learned))
        if expected == LEARNED:
            return np.zeros(len(labels))
        if not self.learned:
            raise EmotionError(
                "the prior cannot be changed: the model's card does not say how frequent each class was in its data "
                "(calibration); leave the prior empty"
            )
        shares = np.full(len(labels), 1 / len(labels)) if expected == UNIFORM else np.asarray(expected, np.float64)
        return np.log(shares) - np.log(self.learned)


def parse_prior(text: str, labels: Sequence[str], data: str = "") -> str | tuple[float, ...] | None:
    """What a user says about how frequent each class is.

    Args:
        text: empty: as the model's card has it; 'uniform'; 'learned' or the name of the model's data: as there; or a
            positive number for each label, in their order, separated by blanks or commas, whose ratios count.
        labels: of the model.
        data: name of the data that it learned from.

    Returns:
        None, UNIFORM, LEARNED, or shares that sum to 1.

    Raises:
        EmotionError: the text is none of these.
    """
    text = text.strip()
    if not text:
        return None
    if text in (UNIFORM, LEARNED):
        return text
    if data and text == data:
        return LEARNED
    numbers = parse_numbers(text)
    if numbers is None or len(numbers) != len(labels):
        names = [UNIFORM, LEARNED, *([data] if data else [])]
        raise EmotionError(
            f"prior {text!r}: expected {', '.join(names)}, or {len(labels)} positive numbers, one for each of "
            f"{', '.join(labels)}"
        )
    return tuple(number / sum(numbers) for number in numbers)


def parse_numbers(text: str) -> list[float] | None:
    """Positive numbers in a text, None when it holds anything else."""
    try:
        numbers = [float(part) for part in text.strip("[] ").replace(",", " ").split()]
    except ValueError:
        return None
    return numbers if all(0 < number < float("inf") for number in numbers) else None
