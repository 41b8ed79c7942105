"""A controller told wrongly what its line is: does it stay stable, and how soon is it as even as it ever gets?

benchmarks/robustness.py and a test use it. Plant and controller take turns at 2 Hz; what is judged is the true web.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.line.description import Array
from evencoat.league import field
from evencoat.league.players import player, tuned
from evencoat.league.rehearsal import Wrong

WINDOW_S = 120.0  # of the sigmas that are compared
STEADY_SHARE = 1.2  # of the steady sigma: reached
UNSTABLE_SHARE = 1.5  # a web that ends with more than this of what nobody touched is unstable


@dataclass(frozen=True, slots=True)
class Robust:
    """One run. reached_min: until a window's sigma is within STEADY_SHARE of the steady one; infinite if never.

    steady_pct: median over the windows of the second half; open_pct: the same with nobody at the line.
    """

    family: str
    seed: int
    controller: str
    reached_min: float
    steady_pct: float
    open_pct: float

    @property
    def unstable(self) -> bool:
        """Whether control made the web worse than leaving it alone, beyond what drift explains."""
        return not self.steady_pct <= UNSTABLE_SHARE * self.open_pct


def run(controller: str, family: str, seed: int, wrong: Wrong, minutes: float) -> Robust:
    """Play one line, told wrongly."""
    match = field.draw(family, seed, minutes)
    told = field.Match(wrong.told(match.line), match.truth, match.scenario, seed, minutes)
    sigma_pct = windows_pct(told, controller)
    open_pct = windows_pct(told, "open")
    steady = float(np.median(sigma_pct[sigma_pct.size // 2 :]))
    within = np.flatnonzero(sigma_pct <= STEADY_SHARE * steady)
    reached = (within[0] + 1) * WINDOW_S / 60.0 if within.size else np.inf
    left_alone = float(np.median(open_pct[open_pct.size // 2 :]))
    return Robust(family, seed, controller, reached, steady, left_alone)


def windows_pct(match: field.Match, controller: str) -> Array:
    """RMS deviation from target of each window of a run, percent."""
    web = field.play(match, player(controller, match, tuned())).web
    coated = web.ds_m > 0.0
    square = (web.deviation_pct()[coated] ** 2).mean(axis=1)
    index = (web.t_s[coated] // WINDOW_S).astype(int)
    index = np.minimum(index, round(60.0 * match.minutes / WINDOW_S) - 1)
    sums, counts = np.bincount(index, square), np.bincount(index)
    sigma_pct: Array = np.sqrt(sums / np.maximum(counts, 1))
    return sigma_pct
