"""Estimates as a pandas DataFrame, with the columns that every table of this library has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from emotion_core.errors import EmotionError
from emotion_core.recording.recording import COLUMNS_BEFORE, values_of
from emotion_core.types import EmotionEstimate

if TYPE_CHECKING:
    from pandas import DataFrame

_AFTER = ("valence", "arousal", "model", "modalities")


def to_pandas(estimates: EmotionEstimate | Iterable[EmotionEstimate]) -> DataFrame:
    """A row for each estimate, in their order.

    Columns: ``stamp_s``, ``track_id``, the box in pixels (``x``, ``y``, ``width``, ``height``), ``detection_score``,
    ``label``, ``confidence``, ``p_<label>`` for each label, ``valence``, ``arousal``, ``model``, and ``modalities``
    (bits of ``types``). They are there without any estimate, too, but for ``p_<label>``; what has no value is NaN.

    Args:
        estimates: what a pipeline gave for one frame, or those of many frames in one list.

    Raises:
        EmotionError: pandas is not installed, or these are no estimates.
    """
    try:
        from pandas import DataFrame
    except ImportError:
        raise EmotionError("to_pandas takes pandas, which is not installed: pip install pandas") from None
    one = isinstance(estimates, EmotionEstimate) or not isinstance(estimates, Iterable)
    rows: list[Any] = [estimates] if one else list(estimates)  # type: ignore[arg-type]
    if not all(isinstance(row, EmotionEstimate) for row in rows):
        raise EmotionError(f"expected a list of EmotionEstimate, got {estimates!r:.60}: join the frames' lists first")
    labels = dict.fromkeys(label for row in rows for label in row.labels)
    columns = [*COLUMNS_BEFORE, *(f"p_{label}" for label in labels), *_AFTER]
    values = [{"stamp_s": row.stamp_s, **values_of(row), "modalities": row.modalities} for row in rows]
    return DataFrame(values, columns=columns)
