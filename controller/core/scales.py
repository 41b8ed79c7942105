"""How noisy this line's wet gauge is and how fast its shapes drift, as factors on what the statistics believe.

A reading's noise is new with each scan while the profile hardly moves: minus the mean product of neighbouring changes,
over all shapes, is its variance (as in `flow` for the mean). The drift is told by how far the belief moves from one
stretch of web to the next: by what drifted, and by what it was unsure of before less what it is after. Both begin with
what is believed of lines at large, forget, and stay within bounds, so that a quiet line winds nothing up. A scan with
holes teaches nothing. Sources: covariance matching (Mehra 1972), by moments instead of the filter's own innovations,
which would close a loop through the gain that they set.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from controller.core.kalman import Bank
from controller.core.statistics import Noise
from controller.core.wander import MEMORY_S, USUAL_WORTH
from controller.line.description import Array

STRETCH_S = 30.0
LOOK_S = 0.45  # of web between two readings that are compared: oftener tells no more
SETTLED_READINGS = 240  # before: what moves is the first finding
AT_FIRST, KEPT = 60.0, 0.999  # readings that the first belief weighs as much as; share kept at each reading
READING_WITHIN = (0.3, 4.0)
RATE_WITHIN = (0.2, 5.0)


class Scales(NamedTuple):
    """noise: what is believed now. last, change: newest reading of the shapes and its change. products, weight: sums
    over readings; moved, worth: over stretches; mean, left2, at_m: belief where the stretch began."""

    noise: Noise
    last: Array
    last_m: float
    change: Array
    products: float
    weight: float
    moved: float
    worth: float
    mean: Array
    left2: float
    at_m: float
    readings: int


def none(noise: Noise) -> Scales:
    """What is believed of lines at large."""
    zero = np.zeros(noise.rate.size - 1)
    return Scales(noise, zero, math.nan, zero, AT_FIRST, AT_FIRST, 0.0, 0.0, zero, 0.0, math.nan, 0)


def read(scales: Scales, usual: Noise, reading: Array, film: Bank, at_m: float, speed_mps: float) -> Scales:
    """After a whole scan that read this in each coordinate at the metre at_m, and the filters' answer to it."""
    if 0.0 <= at_m - scales.last_m < LOOK_S * speed_mps:
        return scales
    last = reading[:-1]
    change = last - scales.last
    products, weight = scales.products, scales.weight
    if scales.readings > SETTLED_READINGS // 2:
        products = KEPT * products - float(change @ scales.change) / float(np.add.reduce(usual.reading[:-1]))
        weight = KEPT * weight + 1.0
    scales = scales._replace(
        last=last, last_m=at_m, change=change, products=products, weight=weight, readings=scales.readings + 1
    )
    if scales.readings < SETTLED_READINGS:
        return scales
    passed_s = (at_m - scales.at_m) / speed_mps
    if 0.0 <= passed_s < STRETCH_S:
        return scales
    if STRETCH_S <= passed_s < 2.0 * STRETCH_S:
        scales = _passed(scales, usual, film, passed_s)
    left2 = float(np.add.reduce(film.variance[:-1]))
    return scales._replace(mean=film.mean[:-1], left2=left2, at_m=at_m, noise=_believed(scales, usual))


def _passed(scales: Scales, usual: Noise, film: Bank, passed_s: float) -> Scales:
    """The stretch is over. Of the shapes as many count as move about equally."""
    step = film.mean[:-1] - scales.mean
    left2, rate = float(np.add.reduce(film.variance[:-1])), usual.rate[:-1]
    drifted2 = float(step @ step) - scales.left2 + left2
    total = float(np.add.reduce(rate))
    alike, kept = total * total / float(rate @ rate), math.exp(-passed_s / MEMORY_S)
    return scales._replace(
        moved=kept * scales.moved + alike * max(drifted2 / (total * passed_s), 0.0), worth=kept * scales.worth + alike
    )


def factors(scales: Scales) -> tuple[float, float]:
    """Of the drift's rate and of the reading's variance."""
    rate = (USUAL_WORTH + scales.moved) / (USUAL_WORTH + scales.worth)
    reading = scales.products / scales.weight
    return min(max(rate, RATE_WITHIN[0]), RATE_WITHIN[1]), min(max(reading, READING_WITHIN[0]), READING_WITHIN[1])


def _believed(scales: Scales, usual: Noise) -> Noise:
    """The usual noise with the shapes' part scaled; the mean has statistics of its own."""
    faster, noisier = factors(scales)
    rate, reading = faster * usual.rate, noisier * usual.reading
    rate[-1], reading[-1] = usual.rate[-1], usual.reading[-1]
    return Noise(usual.start, rate, reading)
