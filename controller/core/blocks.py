"""What was read and where things stood, block of web by block: one dead time long, so that a block is read in the next.

All who watch what moves do to the web (`bolts`, `adapt`, `play`) gather so.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from controller.core.estimate import EstimateState
from controller.line.description import Array


class Block(NamedTuple):
    """The block under way: its first metre, NaN before any; sums of readings (coordinates) and of positions, (zones,)
    or a row for each guess of them, and how many of each; how many readings the film had had."""

    begun_m: float
    read: Array
    reads: int
    stood: Array
    stands: int
    film_readings: int

    @property
    def mean_read(self) -> Array | None:
        """Mean reading, (zones,); None where nothing was read."""
        return self.read / self.reads if self.reads else None

    @property
    def mean_stood_um(self) -> Array:
        """Mean positions, um, in the shape in which they were gathered."""
        mean: Array = self.stood / max(self.stands, 1)
        return mean


def begun(zones: int, web_m: float = np.nan, film_readings: int = 0) -> Block:
    """Nothing gathered yet."""
    zero = np.zeros(zones)
    return Block(web_m, zero, 0, zero, 0, film_readings)


def gathered(block: Block, seen: EstimateState, position_um: Array, as_it_came: Array | None = None) -> Block:
    """One cycle more: where things stand, and the newest reading if it is a new one (`as_it_came`, where given)."""
    read, reads = block.read, block.reads
    if seen.film.readings != block.film_readings:
        read, reads = read + (seen.film.newest if as_it_came is None else as_it_came), reads + 1
    return Block(block.begun_m, read, reads, block.stood + position_um, block.stands + 1, seen.film.readings)
