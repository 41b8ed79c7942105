"""A bank of scalar Kalman filters, one a coordinate, each for a disturbance that wanders: integrating, so offset-free.

All coordinates are done at once; time is the web that passed, in seconds at nominal speed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from controller.core.statistics import Noise
from controller.line.description import Array

MEMORY_S = 600.0  # innovation statistics forget over this much web
LOOK_EVERY = 4  # readings between two looks at the innovations
SETTLED_AFTER = 256  # readings; from then on gains are worked out anew with each look only


class Bank(NamedTuple):
    """Estimates and their variances, (coordinates,), and how the readings have surprised them.

    surprise2 is the mean square of the innovations over what the filters expected: 1 when the statistics are right.
    surprise_lag is the mean product of neighbouring ones: above 0 the filter is too slow, below 0 too fast.
    gain and doubt are those of the last reading: where readings come regularly the same gain serves for long.
    """

    mean: Array
    variance: Array
    gain: Array
    innovation: Array
    surprise2: Array
    surprise_lag: Array
    readings: int
    rhythm_s: float
    doubt: float

    @property
    def newest(self) -> Array:
        """The newest reading as it came, before it was filtered."""
        newest: Array = self.mean + (1.0 - self.gain) * self.innovation
        return newest


def start(noise: Noise) -> Bank:
    """Nothing read yet."""
    zero = np.zeros(noise.start.size)
    return Bank(zero, noise.start.copy(), zero, zero, np.ones(zero.size), zero, 0, 0.0, 1.0)


def corrected(bank: Bank, noise: Noise, reading: Array, passed_s: float, doubt: float = 1.0) -> Bank:
    """The bank after a reading, `passed_s` of web after the last one. `doubt` multiplies the reading's variance."""
    variance, gain, rhythm_s = bank.variance, bank.gain, bank.rhythm_s
    look = bank.readings % LOOK_EVERY == 0
    regular = abs(passed_s - rhythm_s) <= 0.3 * rhythm_s and doubt == bank.doubt
    if look or bank.readings < SETTLED_AFTER or not regular:
        prior = variance + noise.rate * passed_s
        gain = prior / (prior + noise.reading * doubt)
        variance = gain * noise.reading * doubt
        rhythm_s = rhythm_s + (passed_s - rhythm_s) / min(bank.readings + 1, SETTLED_AFTER)
    innovation = reading - bank.mean
    surprise2, surprise_lag = bank.surprise2, bank.surprise_lag
    if look:
        expected = (noise.reading * doubt) / (1.0 - gain)
        share = min(1.0, LOOK_EVERY * max(passed_s / MEMORY_S, 1.0 / (bank.readings + 1)))  # first a plain mean
        scaled = innovation / expected
        surprise2 = surprise2 + share * (scaled * innovation - surprise2)
        surprise_lag = surprise_lag + share * (scaled * bank.innovation - surprise_lag)
    return Bank(
        bank.mean + gain * innovation,
        variance,
        gain,
        innovation,
        surprise2,
        surprise_lag,
        bank.readings + 1,
        rhythm_s,
        doubt,
    )


def smoothing_s(noise: Noise, period_s: float) -> Array:
    """Time constant that the filters settle at when a reading comes every `period_s`, (coordinates,), s."""
    wander = noise.rate * period_s
    prior = 0.5 * (wander + np.sqrt(wander * wander + 4.0 * wander * noise.reading))
    settled: Array = -period_s / np.log(noise.reading / (prior + noise.reading))
    return settled


def ahead(bank: Bank, noise: Noise, passed_s: float) -> Array:
    """Variance of the estimate when so much more web has passed, (coordinates,)."""
    later: Array = bank.variance + noise.rate * passed_s
    return later
