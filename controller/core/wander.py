"""How fast this line really drifts, told by how far the belief moved from one stretch of web to the next.

Where the only gauge stands behind the dryer, most of the interval at the die is drift that nobody has seen yet, and
lines differ in it by a factor of ten. The belief itself tells: over a stretch, a filter that is right moves by the
variance it had and what drifted, less the variance it has left, since what it is still wrong by is independent of how
it moved. The ratio of what it moved by to that is how much faster than the statistics this line drifts. Stretches do
not overlap, so they are independent, and each makes a scaled inverse chi-square law of the rate sharper that begins
with what is known of lines at large; what the actuators did otherwise than believed counts as drift, as it should.

A filter that needs longer than a stretch to follow moves by what it believes and tells less: its line is then taken for
more usual than it is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from controller.core.kalman import Bank
from controller.line.description import Array

STRETCHES = 4  # between die and gauge: long enough for the filters to follow, short enough for there to be many
SETTLED_PASSES = 5  # before: what moves is the first finding, not a drift
MEMORY_S = 1800.0
LINES_DIFFER = 0.65  # half the width of the range of a line's sizes and time constants, over its middle: `Statistics`


def _mean_of_range(differ: float) -> tuple[float, float]:
    """Of s^2/tau over what it is in the middle, s and tau even in 1 +- differ: its mean and its mean square."""
    size2, size4 = 1.0 + differ**2 / 3.0, 1.0 + 2.0 * differ**2 + differ**4 / 5.0
    per_s, per_s2 = math.atanh(differ) / differ, 1.0 / (1.0 - differ**2)
    return size2 * per_s, size4 * per_s2


USUAL, USUAL2 = _mean_of_range(LINES_DIFFER)  # 1.36: the mean line drifts faster than the middle one
USUAL_WORTH = 2.0 + 2.0 / (USUAL2 / USUAL**2 - 1.0)  # stretches that weigh as much as that: of the same mean and spread


class Wander(NamedTuple):
    """mean, variance: of the belief where the stretch began, (coordinates,), and its web position, NaN before any.

    Sums over the stretches since, pairs of shapes and mean: what the belief moved by and what it was expected to,
    log^2, and how many independent movements that were.
    """

    mean: Array
    variance: Array
    at_m: float
    moved2: Array
    expected2: Array
    worth: Array


def none(coordinates: int) -> Wander:
    """Nothing seen yet."""
    zero = np.zeros(coordinates)
    return Wander(zero, zero, np.nan, np.zeros(2), np.zeros(2), np.zeros(2))


def begun(wander: Wander, film: Bank, at_m: float) -> Wander:
    """A new stretch begins; nothing is learnt of the one before."""
    return wander._replace(mean=film.mean, variance=film.variance, at_m=at_m)


def passed(wander: Wander, film: Bank, rate: Array, at_m: float, passed_s: float, front: float = 0.0) -> Wander:
    """The stretch is over: compare, and begin a new one. Of the shapes as many count as move about equally.

    front: what a new batch is known to have added to the mean, which is no drift, log.
    """
    moved2 = (film.mean - wander.mean) ** 2
    moved2[-1] = (film.mean[-1] - wander.mean[-1] - front) ** 2
    expected2 = np.maximum(wander.variance + rate * passed_s - film.variance, 0.0)
    shapes, kept = expected2[:-1], math.exp(-passed_s / MEMORY_S)
    alike = float(shapes.sum()) ** 2 / max(float(shapes @ shapes), 1e-30)
    return Wander(
        mean=film.mean,
        variance=film.variance,
        at_m=at_m,
        moved2=kept * wander.moved2 + (moved2[:-1].sum(), moved2[-1]),
        expected2=kept * wander.expected2 + (shapes.sum(), expected2[-1]),
        worth=kept * wander.worth + (alike, 1.0),
    )


def scale(wander: Wander) -> Array:
    """How much faster than the statistics say this line drifts, (2,): shapes and mean; posterior mean."""
    found = wander.moved2 / np.maximum(wander.expected2, 1e-30)
    scales: Array = (USUAL_WORTH * USUAL + wander.worth * found) / (USUAL_WORTH + wander.worth)
    return scales
