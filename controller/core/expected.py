"""What is expected of the web, for the Trace: the newest batch's step, and what the network was shown and has missed.

It is told so that people see why the pump moves before a gauge has seen anything, and so that a network can be trained
further on what a line did.
"""

from __future__ import annotations

import math

import numpy as np

from controller.core import batches, learnt
from controller.core.estimate import EstimateState, Estimator
from controller.core.foresight import Foresight
from controller.core.trace import NOTHING, Expectation


def told(estimator: Estimator, seen: EstimateState, ahead: Foresight | None, web_m: float) -> Expectation:
    """Of one cycle, the web at web_m; NaN and empty where nothing is learnt or announced."""
    newest, shown = learnt.Newest(), NOTHING
    if estimator.mean is not None and seen.learnt is not None:
        newest = learnt.newest(estimator.mean, seen.learnt, web_m)
        if math.isfinite(newest.foretold):
            shown = np.concatenate(batches.told(seen.learnt.past))
    known = ahead is not None and ahead.laid.holds(ahead.dry_m)
    return Expectation(
        batch_foretold_pct=100.0 * newest.foretold,
        batch_foretold_sd_pct=100.0 * math.sqrt(newest.foretold2),
        batch_step_pct=100.0 * newest.step,
        batch_step_sd_pct=100.0 * math.sqrt(newest.step2),
        batch_answered_pct=100.0 * newest.here,
        batch_shown=shown,
        guest_missed_pct=100.0 * float(ahead.signals[0]) if ahead is not None and known else math.nan,
        guest_missed_m=ahead.dry_m if ahead is not None and known else math.nan,
        guest_shown=np.concatenate((ahead.taps, ahead.context)) if ahead is not None else NOTHING,
    )
