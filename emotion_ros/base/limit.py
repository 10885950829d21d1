"""At most so many messages a second."""

from __future__ import annotations

import math

_EARLY = 0.25  # of a period: stamps jitter, and a camera at the limit must lose no frame


class RateLimit:
    """Lets messages through by their stamps, evenly where they come evenly.

    Args:
        rate_hz: how many a second; 0 lets all through.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_s = 1 / rate_hz if rate_hz else 0.0
        self._due_s = -math.inf

    def passes(self, stamp_s: float) -> bool:
        """Whether the next message may pass, by its stamp in seconds."""
        period_s = self._period_s
        if abs(stamp_s - self._due_s) > 2 * period_s:  # a start, a pause, or a clock that went back
            self._due_s = stamp_s
        if stamp_s < self._due_s - _EARLY * period_s:
            return False
        self._due_s += period_s
        return True
