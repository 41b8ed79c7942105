"""Pressure and wet gauge part: is it the slurry's rheology, or the gauge's own bias? The dry gauge tells, later.

Rheology changes nothing in the coat; a bias does, as soon as anybody believes it. Both look the same at the wet gauge.
A transport delay later the dry gauge has seen the same metres: where dry minus wet moved as pressure and wet gauge had
parted, the gauge was to blame, and what they have parted by since then is taken out of the web at once instead of a
delay later. Moves are compared over a minute, since a ramp adds up and noise does not; the share is what is surely
there; and at first all is taken for rheology. What a batch does to the rheology is left out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from controller.core.delay_line import DelayLine

STRETCH_S = 15.0  # of web, from look to look
WINDOW = 4  # stretches over which moves are compared
KEPT = 0.99  # of the evidence from look to look
AT_FIRST2 = 5e-6  # log^2 of moves that weigh as much as taking them for rheology
SURELY = 0.5  # deviations that are taken off what the moves have in common
MOST = 8e-3  # log: no move of the reading counts for more; steps are something else


class Blame(NamedTuple):
    """What is remembered. apart: what the two have parted by, log; along: the same by metre, (1,).

    read, stood, reads: sums of dry minus wet and of apart since the last look: noise of the wet gauge is in both, and
    single readings would find it in common. past: their means at the last looks; at_m: where the newest ended.
    product, square, noise: sums of what moves had in common, of the square of apart's, and of that times the variance
    that readings move by anyhow.
    """

    apart: float
    along: DelayLine
    read: float = 0.0
    stood: float = 0.0
    reads: int = 0
    past: tuple[tuple[float, float], ...] = ()
    at_m: float = math.nan
    product: float = 0.0
    square: float = AT_FIRST2
    noise: float = 0.0
    share: float = 0.0

    @property
    def bias(self) -> float:
        """What dry minus wet is expected to have moved by at the newest metre that the wet gauge saw, log."""
        return self.share * self.apart


def none(reach_m: float, step_m: float) -> Blame:
    """Nothing heard yet, on a line whose dry gauge stands so far from the die."""
    return Blame(0.0, DelayLine.spanning(1.1 * reach_m + 2.0, 1, step_m))


def parted(blame: Blame, moved: float, at_m: float) -> Blame:
    """The two have parted by a little more at the metre at_m, log."""
    apart = blame.apart + moved
    return blame._replace(apart=apart, along=blame.along.push(at_m, np.array([apart])))


def then(blame: Blame, at_m: float) -> float:
    """What they had parted by at the metre at_m, log; NaN where it is not remembered."""
    row = blame.along.at(at_m) if blame.along.holds(at_m) else None
    return math.nan if row is None else float(row[0])


def confirmed(blame: Blame, reading: float, at_m: float, speed_mps: float, rate: float, reading2: float) -> Blame:
    """After the dry gauge's reading of the metre at_m, less the wet one's, log.

    rate, reading2: how fast that drifts for other reasons, log^2/s, and the variance of one reading, log^2.
    """
    apart = then(blame, at_m)
    if math.isnan(apart):
        return blame
    passed_s = (at_m - blame.at_m) / speed_mps
    if not 0.0 <= passed_s < 2.0 * STRETCH_S:
        return blame._replace(read=0.0, stood=0.0, reads=0, past=(), at_m=at_m)
    blame = blame._replace(read=blame.read + reading, stood=blame.stood + apart, reads=blame.reads + 1)
    return blame if passed_s < STRETCH_S else _looked(blame, at_m, rate, reading2)


def _looked(blame: Blame, at_m: float, rate: float, reading2: float) -> Blame:
    """The end of a stretch: compare it with the one a window ago."""
    reading, apart = blame.read / blame.reads, blame.stood / blame.reads
    product, square, noise = KEPT * blame.product, KEPT * blame.square + (1.0 - KEPT) * AT_FIRST2, KEPT * blame.noise
    if len(blame.past) == WINDOW:
        read, stood = blame.past[0]
        moved, seen = apart - stood, min(max(reading - read, -MOST), MOST)
        product, square = product + moved * seen, square + moved * moved
        noise += moved * moved * (rate * WINDOW * STRETCH_S + 2.0 * reading2 / blame.reads)
    surely = product - SURELY * math.sqrt(WINDOW * noise)  # windows overlap
    share = min(max(surely / square, 0.0), 1.0)
    past = (*blame.past, (reading, apart))[-WINDOW:]
    return blame._replace(
        read=0.0, stood=0.0, reads=0, past=past, at_m=at_m, product=product, square=square, noise=noise, share=share
    )
