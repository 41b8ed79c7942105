"""A gauge that goes away from all its witnesses, steadily and by as much.

Pump, pressure and dry gauge each say what the wet gauge should read, and each wanders by itself: slip, viscosity and
solids go and come back within some minutes to half an hour. A ramp that all of them see in the wet gauge is fitted by
generalised least squares (Aitken, 1935), with an Ornstein-Uhlenbeck wander of each witness, as large as its own steps
from mean to mean say, and a walk that the wet gauge has anyway and all of them see.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from controller.line.description import Array

ROWS, LEAST, MOST = 60, 9, 46  # of a mean; means that a ramp is looked for in
WANDERS = 8.0  # means, about minutes, in which a witness forgets where it was
USUAL, USUAL_WORTH = np.array([0.005, 0.003, 0.004]), 8.0  # how far pump, pressure and dry gauge wander; in steps seen
WALK2 = 2.7e-7  # a mean: what a gauge goes by itself, 0.4 % within two hours
FLOOR2 = 0.0008**2  # of a mean
LEVEL2 = 1e-2  # where each begins is not known


class Ramp(NamedTuple):
    """How far the gauge has gone, log, in how many rows, how surely, and the least of that that any witness saw."""

    gone: float = 0.0
    rows: int = 0
    sigmas: float = 0.0
    least_share: float = 0.0


class Drift:
    """What the wet gauge reads beyond each of its witnesses, since this was begun."""

    def __init__(self) -> None:
        self._sums: Array = np.zeros(0)
        self._count = 0
        self._means: deque[Array] = deque(maxlen=MOST)
        self.ramp = Ramp()

    def row(self, beyond: tuple[float, ...], pressure: float, index: float) -> None:
        """One row, logs: what the gauge reads beyond pump, flow and dry gauge (there may be none), where the flow is
        still to be taken off: `pressure` over the flow `index`, an index that is learnt all the while.
        """
        told = np.array([*beyond, pressure])
        if not np.isfinite(told).all():
            return
        self._sums = self._sums + told if self._count else told
        self._count += 1
        if self._count < ROWS:
            return
        self._means.append(self._sums / ROWS)
        self._count = 0
        if len(self._means) >= LEAST:
            means = np.array(self._means)
            means[:, 1] -= means[:, -1] / index
            self.ramp = ramp_of(means[:, :-1])


def ramp_of(beyond: Array) -> Ramp:
    """The ramp that all witnesses see in these means, (means, witnesses), log."""
    count, witnesses = beyond.shape
    at = np.arange(count, dtype=np.float64)
    usual2 = USUAL_WORTH * 2.0 * USUAL[:witnesses] ** 2 / WANDERS
    step2 = (np.square(np.diff(beyond, axis=0)).sum(axis=0) + usual2) / (count - 1 + USUAL_WORTH)
    alike = np.exp(-np.abs(np.subtract.outer(at, at)) / WANDERS)
    own = [0.5 * WANDERS * one * alike + LEVEL2 + FLOOR2 * np.eye(count) for one in step2]
    walk = WALK2 * np.minimum.outer(at, at)
    spread = np.tile(walk, (witnesses, witnesses))
    shares = np.empty(witnesses)
    for k, block in enumerate(own):
        span = slice(k * count, (k + 1) * count)
        spread[span, span] += block
        weight = np.linalg.solve(spread[span, span], at)
        shares[k] = (weight @ beyond[:, k]) / (weight @ at)
    weight = np.linalg.solve(spread, np.tile(at, witnesses))
    information = float(weight @ np.tile(at, witnesses))
    rate = float(weight @ beyond.T.reshape(-1)) / information
    least = float((shares / rate).min()) if rate else 0.0
    return Ramp(rate * (count - 1), (count - 1) * ROWS, abs(rate) * information**0.5, least)
