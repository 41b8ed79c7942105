"""A new batch on its way: how far its front will go, from its beginning at the dry gauge.

The line says when a batch begins to come; what it does to the solids only the dry gauge sees, a dead time later. A
front mixes in hoses and manifold as in two stirred tanks in series, so its course follows from its size and its length,
and both show in its first metres: for each of some lengths a scalar Bayesian regression of the size, and the lengths
weighed by how well they told what came next. What is still to come is then answered before it is seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from controller.line.description import Array

LENGTHS_S = np.geomspace(30.0, 1800.0, 9)  # 96 % of the new batch has come through after this
USUAL_LOG = 0.015  # size of a batch's step in areal density
BLOCK_S = 8.0  # of web that is compared with the web before it
OVER_LENGTHS = 3.0  # after so many of the longest length nothing is left to come


@dataclass(frozen=True, slots=True)
class Front:
    """What is known of the newest batch. onset_m: web at the die when it began, NaN before any did.

    level, block_m: dry minus wet at the end of the last block. information, weighed: of the size, by length;
    told: log-likelihood of each length.
    """

    batch: int | None
    onset_m: float
    level: float
    block_m: float
    information: Array
    weighed: Array
    told: Array


def none() -> Front:
    """No batch has begun since we look."""
    return _begun(None, np.nan)


def _begun(batch: int | None, onset_m: float) -> Front:
    lengths = LENGTHS_S.size
    usual = np.full(lengths, USUAL_LOG**-2)
    return Front(batch, onset_m, np.nan, np.nan, usual, np.zeros(lengths), np.zeros(lengths))


def announced(front: Front, batch: int, web_m: float) -> Front:
    """The line names its batch. The first name heard is nothing new."""
    if batch == front.batch:
        return front
    return replace(front, batch=batch) if front.batch is None else _begun(batch, web_m)


def share(lengths_s: Array, since_s: float) -> Array:
    """How much of the new batch is there, so long after the onset, for fronts of these lengths."""
    turns = 5.0 * max(since_s, 0.0) / lengths_s
    arrived: Array = 1.0 - (1.0 + turns) * np.exp(-turns)
    return arrived


def seen(front: Front, at_die_m: float, level: float, variance: float, rate: float, speed_mps: float) -> Front:
    """Dry minus wet stood at `level` when the metre at_die_m passed; `rate` is how fast it wanders by itself."""
    if not at_die_m > front.onset_m or np.isnan(front.level):
        return replace(front, level=level, block_m=at_die_m)
    passed_s = (at_die_m - front.block_m) / speed_mps
    if passed_s < BLOCK_S:
        return front
    arrived = share(LENGTHS_S, (at_die_m - front.onset_m) / speed_mps)
    arrived = arrived - share(LENGTHS_S, (front.block_m - front.onset_m) / speed_mps)
    noise = rate * passed_s + 2.0 * variance
    missed = level - front.level - front.weighed / front.information * arrived
    expected = arrived * arrived / front.information + noise
    return replace(
        front,
        level=level,
        block_m=at_die_m,
        information=front.information + arrived * arrived / noise,
        weighed=front.weighed + arrived * (level - front.level) / noise,
        told=front.told - 0.5 * (missed * missed / expected + np.log(expected)),
    )


def to_come(front: Front, seen_m: float, now_m: float, speed_mps: float) -> float:
    """What the front still adds between the metre last seen behind the dryer and the one now at the die, log."""
    if not seen_m > front.onset_m or _over(front, now_m, speed_mps):
        return 0.0
    likely, more = _between(front, seen_m, now_m, speed_mps)
    return float((likely * (front.weighed / front.information) * more).sum() / likely.sum())


def ahead(front: Front, seen_m: float, then_m: float, speed_mps: float) -> tuple[float, float]:
    """What the front adds from the metre last seen to the metre then_m: best guess, log, and its variance, log^2.

    Before any of it is seen the guess is nothing, and the variance that of a usual batch's step of any length.
    """
    if not then_m > max(front.onset_m, seen_m) or _over(front, then_m, speed_mps):
        return 0.0, 0.0
    likely, more = _between(front, seen_m, then_m, speed_mps)
    likely /= likely.sum()
    adds = front.weighed / front.information * more
    guess = float(likely @ adds)
    return guess, float(likely @ (adds * adds + more * more / front.information)) - guess * guess


def _over(front: Front, now_m: float, speed_mps: float) -> bool:
    return now_m - front.onset_m > OVER_LENGTHS * float(LENGTHS_S[-1]) * speed_mps


def _between(front: Front, seen_m: float, then_m: float, speed_mps: float) -> tuple[Array, Array]:
    """How likely each length is, and what share of the batch comes in between if it is that long, (lengths,)."""
    likely = np.exp(front.told - front.told.max())
    more = share(LENGTHS_S, (then_m - front.onset_m) / speed_mps) - share(
        LENGTHS_S, (seen_m - front.onset_m) / speed_mps
    )
    return likely, more
