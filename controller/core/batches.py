"""What former batches brought to the areal density, and what that tells of the next one.

Batches are mixed to a recipe: one that came out heavy is more likely to be followed by a step down than up. How far to
count on it, and how unsure to stay, the network's head `batch` has learnt; without one the next step is nothing, give
or take what is usual.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from controller.core import network
from controller.core.network import BATCH_BOUND, KNOWN_STEPS, Network

STEP_MOST = 0.03  # log: of what is expected; batches further off are not foretold
SD_LEAST, SD_MOST = 0.004, 0.02
TOO_UNSURE2 = 0.02**2  # log^2: a step known no better than this is not counted
CHANCE2 = 0.008**2  # log^2: how far a guess worth having may be off by chance
LOST = -2.0  # evidence at which the network has no authority left
EARNED_MOST = 1.0  # evidence kept in its favour: what was right for long is doubted soon


class Past(NamedTuple):
    """Steps between batches so far: how many, their sum, the last of them, with variances; log and log^2.

    guessed: what the network said of the newest batch, 0 where it said nothing; evidence: of its worth so far.
    """

    steps: int = 0
    away: float = 0.0
    away2: float = 0.0
    last: float = 0.0
    last2: float = 0.0
    guessed: float = 0.0
    evidence: float = 0.0

    @property
    def authority(self) -> float:
        """Between none and full, which a network has that nothing spoke against."""
        return min(max(1.0 - self.evidence / LOST, 0.0), 1.0)


def ended(past: Past, step: float, variance: float) -> Past:
    """The newest batch has brought `step`, log, give or take."""
    if not (math.isfinite(step) and 0.0 <= variance < TOO_UNSURE2):
        return past
    nearer = step * step - (step - past.guessed) ** 2
    evidence = min(max(past.evidence + nearer / (2.0 * (CHANCE2 + variance)), LOST), EARNED_MOST)
    return Past(past.steps + 1, past.away + step, past.away2 + variance, step, variance, 0.0, evidence)


def announced(guest: Network | None, past: Past, usual2: float) -> tuple[Past, float, float]:
    """A new batch: its guess is remembered; the step to expect and its variance, as far as authority goes."""
    guess, variance = expected(guest, past, usual2)
    share = past.authority
    return past._replace(guessed=guess), share * guess, share * variance + (1.0 - share) * usual2


def told(past: Past) -> tuple[list[float], list[float]]:
    """Taps and context of the network's head `batch`; percent."""
    taps = [100.0 * past.away, 100.0 * past.last]
    return taps, [math.log2(1.0 + past.steps), 100.0 * math.sqrt(past.away2), 100.0 * math.sqrt(past.last2), 1.0]


def expected(guest: Network | None, past: Past, usual2: float) -> tuple[float, float]:
    """What the network says of the next step and its variance, log and log^2; bounded, whatever that is."""
    if guest is None or not past.steps:
        return 0.0, usual2
    taps, context = told(past)
    step = 0.01 * float(network.predictors(guest.batch, np.array(context), np.array(taps))[0])
    sd = math.exp(float(guest.batch_sd[min(past.steps, KNOWN_STEPS - 1)]))
    if not math.isfinite(step + sd):
        return 0.0, usual2
    most = min(STEP_MOST, BATCH_BOUND * (abs(past.away) + abs(past.last)))
    return min(max(step, -most), most), min(max(sd, SD_LEAST), SD_MOST) ** 2
