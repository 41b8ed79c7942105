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


class Past(NamedTuple):
    """Steps between batches so far: how many, their sum, the last of them, with variances; log and log^2."""

    steps: int = 0
    away: float = 0.0
    away2: float = 0.0
    last: float = 0.0
    last2: float = 0.0


def ended(past: Past, step: float, variance: float) -> Past:
    """The newest batch has brought `step`, log, give or take."""
    if not (math.isfinite(step) and 0.0 <= variance < TOO_UNSURE2):
        return past
    return Past(past.steps + 1, past.away + step, past.away2 + variance, step, variance)


def told(past: Past) -> tuple[list[float], list[float]]:
    """Taps and context of the network's head `batch`; percent."""
    taps = [100.0 * past.away, 100.0 * past.last]
    return taps, [math.log2(1.0 + past.steps), 100.0 * math.sqrt(past.away2), 100.0 * math.sqrt(past.last2), 1.0]


def expected(guest: Network | None, past: Past, usual2: float) -> tuple[float, float]:
    """The step of a batch that is announced and its variance, log and log^2; bounded, whatever the network says."""
    if guest is None or not past.steps:
        return 0.0, usual2
    taps, context = told(past)
    step = 0.01 * float(network.predictors(guest.batch, np.array(context), np.array(taps))[0])
    sd = math.exp(float(guest.batch_sd[min(past.steps, KNOWN_STEPS - 1)]))
    if not math.isfinite(step + sd):
        return 0.0, usual2
    most = min(STEP_MOST, BATCH_BOUND * (abs(past.away) + abs(past.last)))
    return min(max(step, -most), most), min(max(sd, SD_LEAST), SD_MOST) ** 2
