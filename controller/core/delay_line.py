"""A memory along the web: what was true of the metre that is now at the gauge.

Transport is a delay in web length, not in time, so rows are kept by web position and survive any change of speed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from controller.line.description import Array

JITTER_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class DelayLine:
    """Rows sampled every `step_m` of web, newest at sample `head`; `values` has shape (rows, columns).

    Immutable: push returns a new line. Before the first push it is empty.
    """

    step_m: float
    head: int
    filled: int
    values: Array

    @classmethod
    def spanning(cls, length_m: float, columns: int, step_m: float) -> DelayLine:
        """A line that remembers at least `length_m` of web, m."""
        rows = int(np.ceil(length_m / step_m)) + 3
        return cls(step_m=step_m, head=0, filled=0, values=np.zeros((rows, columns)))

    def wants(self, web_m: float) -> bool:
        """Whether a push at `web_m` would be remembered: what the web has passed is not written again."""
        return not (self.filled and -JITTER_SAMPLES <= math.floor(web_m / self.step_m) - self.head <= 0)

    def push(self, web_m: float, row: Array) -> DelayLine:
        """Remember `row` (columns,) for the web position `web_m`; positions passed since the last push get it too.

        A standing web may jitter back a little; a position far behind the newest one (the encoder was reset) empties
        the line first.
        """
        sample = math.floor(web_m / self.step_m)
        forward = sample - self.head
        if not self.wants(web_m):
            return self
        rows = self.values.shape[0]
        if not self.filled or forward < 0 or forward >= rows:
            values = np.zeros_like(self.values)
            values[sample % rows] = row
            return DelayLine(self.step_m, sample, 1, values)
        values = self.values.copy()
        for passed in range(self.head + 1, sample + 1):
            values[passed % rows] = row
        return DelayLine(self.step_m, sample, min(rows, self.filled + forward), values)

    def at(self, web_m: float) -> Array | None:
        """The row at `web_m`, linear between samples; the oldest row before the line's tail, None while empty.

        Before the tail the actuators are taken to have stood where the memory begins: nodes hold while nobody commands.
        """
        if not self.filled:
            return None
        position = web_m / self.step_m
        tail = self.head - self.filled + 1
        position = min(max(position, float(tail)), float(self.head))
        low = int(np.floor(position))
        high = min(low + 1, self.head)
        share = position - low
        rows = self.values.shape[0]
        row: Array = (1.0 - share) * self.values[low % rows] + share * self.values[high % rows]
        return row

    def holds(self, web_m: float) -> bool:
        """Whether `web_m` lies inside what the line remembers."""
        position = web_m / self.step_m
        return bool(self.filled) and self.head - self.filled + 1 <= position <= self.head + 1
