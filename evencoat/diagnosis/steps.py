"""Changes: the mean of the newest rows less that of rows before them, beside how far such means differ usually."""

from __future__ import annotations

import math

import numpy as np

from controller.line.description import Array

MEDIAN2 = 0.455  # the median of a squared normal number, of variance 1


class Usual:
    """How large differences usually are: a mean square that large ones hardly move. Shapes as what it is fed.

    With `start`, what is known beforehand: then not even the first ones move it far, for they may be the fault.
    """

    def __init__(self, floor: Array | float, rows: float = 120.0, start: float | None = None) -> None:
        self._floor2 = np.square(np.asarray(floor, dtype=np.float64))
        self.square = self._floor2.copy() if start is None else np.maximum(self._floor2, start**2)
        self._rows, self._count = rows, 0 if start is None else int(0.5 * rows)

    def seen(self, difference: Array | float) -> None:
        """One more difference."""
        self._count += 1
        most = 6.0 if self._count > 0.3 * self._rows else 100.0  # the first ones are all there is to learn from
        bounded = np.minimum(np.square(difference), most * self.square)
        bounded = np.where(np.isfinite(bounded), bounded, self.square)
        moved = self.square + max(1.0 / self._count, 1.0 / self._rows) * (bounded - self.square)
        self.square = np.maximum(moved, self._floor2)

    @property
    def sigma(self) -> Array:
        """One standard deviation."""
        return np.asarray(np.sqrt(self.square))


def mean_of(values: Array, places: Array, least_share: float = 0.6) -> Array:
    """Mean over rows of what was seen, (rows, ...) -> (...); NaN where less than that share of the rows was."""
    picked = values[places]
    seen = np.isfinite(picked)
    count = seen.sum(axis=0)
    total = np.where(seen, picked, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Array = np.where(count >= least_share * len(places), total / count, math.nan)
    return mean
