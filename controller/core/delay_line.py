"""A memory along the web: what was true of the metre that is now at the gauge.

Transport is a delay in web length, not in time, so rows are kept by web position and survive any change of speed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controller.line.description import Array

JITTER_SAMPLES = 5
BLOCK_ROWS = 16  # a push copies one block, not the whole memory


@dataclass(frozen=True, slots=True)
class DelayLine:
    """Rows sampled every `step_m` of web, newest at sample `head`; kept in blocks of shape (BLOCK_ROWS, columns).

    Immutable: push returns a new line that shares all blocks but one. Before the first push it is empty.
    """

    step_m: float
    head: int
    filled: int
    blocks: tuple[Array, ...]

    @classmethod
    def spanning(cls, length_m: float, columns: int, step_m: float) -> DelayLine:
        """A line that remembers at least `length_m` of web, m."""
        blocks = -(-(int(np.ceil(length_m / step_m)) + 3) // BLOCK_ROWS)
        return cls(step_m=step_m, head=0, filled=0, blocks=(np.zeros((BLOCK_ROWS, columns)),) * blocks)

    @property
    def rows(self) -> int:
        return BLOCK_ROWS * len(self.blocks)

    def emptied(self) -> DelayLine:
        """A line of the same size that remembers nothing."""
        return DelayLine(self.step_m, 0, 0, self.blocks)

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
        if self.filled and -JITTER_SAMPLES <= forward <= 0:  # as `wants` has it
            return self
        rows = self.rows
        if not self.filled or forward < 0 or forward >= rows:
            return DelayLine(self.step_m, sample, 1, _written(self.blocks, (sample % rows,), row))
        passed = [number % rows for number in range(self.head + 1, sample + 1)]
        return DelayLine(self.step_m, sample, min(rows, self.filled + forward), _written(self.blocks, passed, row))

    def at(self, web_m: float) -> Array | None:
        """The row at `web_m`, linear between samples; the oldest row before the line's tail, None while empty.

        Before the tail the actuators are taken to have stood where the memory begins: nodes hold while nobody commands.
        """
        if not self.filled:
            return None
        blocks, head = self.blocks, self.head
        position, tail = web_m / self.step_m, head - self.filled + 1
        position = tail if position < tail else head if position > head else position
        low = math.floor(position)
        share, rows = position - low, BLOCK_ROWS * len(blocks)
        here, next_one = low % rows, (low + 1 if low < head else head) % rows
        before: Array = blocks[here // BLOCK_ROWS][here % BLOCK_ROWS]
        after: Array = blocks[next_one // BLOCK_ROWS][next_one % BLOCK_ROWS]
        return (1.0 - share) * before + share * after

    def holds(self, web_m: float) -> bool:
        """Whether `web_m` lies inside what the line remembers."""
        position = web_m / self.step_m
        return bool(self.filled) and self.head - self.filled + 1 <= position <= self.head + 1


def _written(blocks: tuple[Array, ...], places: Sequence[int], row: Array) -> tuple[Array, ...]:
    """The blocks with `row` at these places of the ring."""
    changed = list(blocks)
    if len(places) == 1:
        block, within = divmod(places[0], BLOCK_ROWS)
        changed[block] = blocks[block].copy()
        changed[block][within] = row
        return tuple(changed)
    for block in {place // BLOCK_ROWS for place in places}:
        changed[block] = blocks[block].copy()
    for place in places:
        changed[place // BLOCK_ROWS][place % BLOCK_ROWS] = row
    return tuple(changed)
