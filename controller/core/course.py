"""The course of a new batch as one sensor sees it: how much has come and how much is still to come.

A front mixes in hoses and manifold as in two stirred tanks in series, so its course follows from its size and its
length. For each of some lengths two numbers are found together, by a Kalman filter of two states: a level that drifts
as it always did, and the size of what the batch adds to it. The lengths are weighed by how well they told each reading
that came next; several sensors that watch one batch share their lengths, and each has a size of its own. Found apart,
level and size would each take a part of the other for its own: a filter of the level alone lags a front all the way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from controller.line.description import Array

LENGTHS_S = np.geomspace(25.0, 2000.0, 24)  # 96 % of the new batch has come through after this
TURNS = 5.0  # of the tanks in that time
OVER_LENGTHS = 3.0  # after so many of the longest length nothing is left to come


class Course(NamedTuple):
    """What one sensor knows of the newest batch, by length, (lengths,); log and log^2.

    level2, both, size2: covariance of level and size. told: log-likelihood of each length.
    """

    level: Array
    size: Array
    level2: Array
    both: Array
    size2: Array
    told: Array


def begun(level: float, variance: float, size2: float, size: float = 0.0) -> Course:
    """A batch of unknown length begins, of the size expected, give or take. Of variance 0: there is no batch."""
    one, zero = np.ones(LENGTHS_S.size), np.zeros(LENGTHS_S.size)
    return Course(level * one, size * one, variance * one, zero, size2 * one, zero)


def arrived(since_s: float) -> Array:
    """How much of the new batch is there, so long after the onset, for each length."""
    turns = max(since_s, 0.0) * (TURNS / LENGTHS_S)
    share: Array = 1.0 - (1.0 + turns) * np.exp(-turns)
    return share


def arriving(since_s: float) -> Array:
    """How much of it comes in a second then."""
    turns = max(since_s, 0.0) * (TURNS / LENGTHS_S)
    rate: Array = (TURNS / LENGTHS_S) * turns * np.exp(-turns)
    return rate


def seen(course: Course, reading: float, here: Array, drifted2: float, noise2: float) -> Course:
    """The course after a reading of a metre at which so much of the batch was `here`, (lengths,).

    drifted2: variance by which the level has drifted since the last one; noise2: of the reading; log^2.
    """
    level2 = course.level2 + drifted2
    of_level, of_size = level2 + here * course.both, course.both + here * course.size2
    expected = of_level + here * of_size + noise2
    missed = (reading - course.level) - here * course.size
    surprise = missed / expected
    told = course.told - 0.5 * (missed * surprise + np.log(expected))
    return Course(
        level=course.level + of_level * surprise,
        size=course.size + of_size * surprise,
        level2=np.maximum(level2 - of_level * of_level / expected, 0.0),
        both=course.both - of_level * of_size / expected,
        size2=np.maximum(course.size2 - of_size * of_size / expected, 0.0),
        told=told - told.max(),
    )


def likely(told: Array) -> Array:
    """How likely each length is, from what it told, (lengths,)."""
    weight = np.exp(told - told.max())
    share: Array = weight / weight.sum()
    return share


def at(course: Course, weight: Array, here: Array) -> float:
    """What the sensor would read where so much of the batch is `here`, log."""
    return float(weight @ (course.level + here * course.size))


def doubt2(course: Course, weight: Array, here: Array) -> float:
    """Variance of that, log^2."""
    value = course.level + here * course.size
    own = course.level2 + here * (2.0 * course.both + here * course.size2)
    mean = float(weight @ value)
    return float(weight @ (own + value * value)) - mean * mean


def brought(course: Course, weight: Array, here: Array) -> tuple[float, float]:
    """What of the batch has come where so much of it is `here`, and its variance; log, log^2."""
    value = here * course.size
    mean = float(weight @ value)
    return mean, float(weight @ (here * here * course.size2 + value * value)) - mean * mean


def speed2(course: Course, weight: Array, coming: Array) -> float:
    """Mean square of how fast the batch moves the reading, log^2/s^2; `coming` is `arriving` then."""
    return float(weight @ ((course.size * course.size + course.size2) * (coming * coming)))
