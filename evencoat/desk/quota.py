"""So many in so long: what bounds everything that people and programs can have done for them."""

from __future__ import annotations

import time
from collections.abc import Callable

MINUTE_S = 60.0
Clock = Callable[[], float]


class Quota:
    """So many in a stretch of time that begins with the first one after the stretch before."""

    def __init__(self, most: int, clock: Clock = time.monotonic, within_s: float = MINUTE_S) -> None:
        self._most, self._clock, self._within_s = most, clock, within_s
        self._began_s, self._used = -within_s, 0

    def allows(self) -> bool:
        """Count one more; whether it is still one of those that are allowed."""
        if self.over():
            self._began_s, self._used = self._clock(), 0
        self._used += 1
        return self._used <= self._most

    def over(self) -> bool:
        """Whether the time is over, and a new stretch would begin."""
        return self._clock() - self._began_s >= self._within_s
