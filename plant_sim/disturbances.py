"""What moves the coating without being asked: drifts across and along the web. Imported inside plant_sim only.

Drifts are Ornstein-Uhlenbeck processes, drawn at their own period whatever the step (AR(1), exact) and followed in a
straight line between two draws. Cross-web ones act as local factors of flow before the pump's flow is shared out, so
they never move the mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from controller.line.description import Array
from plant_sim.compiled import add, compiled
from plant_sim.noise import normal, normals, smooth_normals, smooth_row, smooth_taps, stream

WHITE_PERIOD_S = 0.1  # fastest cross-web unevenness: a new draw every tenth of a second
DRIFT_PERIOD_S = 1.0  # of draws; the fastest drift has a time constant of a minute


@dataclass(frozen=True, slots=True)
class DriftSizes:
    """Standard deviations (relative, 0.01 is 1 %) and time constants, as drawn for one line."""

    slow_cd: float
    slow_cd_tau_s: float
    slow_cd_zones: float  # correlation length across the web
    fast_cd: float
    fast_cd_tau_s: float
    fast_cd_zones: float
    white_cd: float
    slip: float
    slip_tau_s: float
    solids: float
    solids_tau_s: float
    foil_tau_s: float = 120.0  # of foil thickness along the web; its size is played


@dataclass(frozen=True, slots=True)
class Amplitudes:
    """How much of each drawn disturbance a scenario plays; 1 is as drawn, 0 is off."""

    static_profile: float = 0.0
    set_up_offset: float = 0.0
    slow_cd: float = 0.0
    fast_cd: float = 0.0
    white_cd: float = 0.0
    slip: float = 0.0
    solids: float = 0.0
    pulsation: float = 0.0


def keep_of(tau_s: float, period_s: float) -> float:
    """Share of an AR(1) state that is left after a period: e^(-T/tau)."""
    return math.exp(-period_s / tau_s)


@compiled
def follow(key: np.uint64, row: int, size: float, keep: float, before: float) -> float:
    """A stationary AR(1)'s next value; row 0 starts it in its stationary state, since drifts go on unseen for long."""
    if row == 0:
        return size * normal(key, 0)
    return keep * before + size * math.sqrt(1.0 - keep * keep) * normal(key, row)


@compiled
def follow_smooth(
    key: np.uint64,
    row: int,
    size: float,
    keep: float,
    state: Array,
    first: Array,
    weights: Array,
    knots: Array,
    drawn: Array,
) -> None:
    """The same in place for a state correlated along its places; knots and drawn are scratch."""
    smooth_normals(key, row, first, weights, knots, drawn)
    held, fresh = (0.0, size) if row == 0 else (keep, size * math.sqrt(1.0 - keep * keep))
    for i in range(state.size):
        state[i] = held * state[i] + fresh * drawn[i]


@compiled
def add_white(key: np.uint64, size: float, from_s: float, to_s: float, drawn: Array, local_log: Array) -> None:
    """Add the mean of the white draws that fall into a step; several to a long one, one held over short ones."""
    first = int(from_s / WHITE_PERIOD_S + 1e-6)
    last = max(int(to_s / WHITE_PERIOD_S - 1e-6), first)
    part = size / (last - first + 1)
    for row in range(first, last + 1):
        normals(key, row, drawn)
        add(drawn, part, local_log)


@dataclass(frozen=True, slots=True, eq=False)
class Drifts:
    """Where a line's drifts stand at a moment, relative; cross-web ones have shape (lanes,)."""

    slow_cd: Array
    fast_cd: Array
    slip: float
    solids: float


class DriftsTold:
    """The drifts of a line and seed as the plant has them, for those who judge and may know: bounds, clairvoyants.

    `at` is asked for moments in order of time.
    """

    def __init__(self, sizes: DriftSizes, seed: int, lane_zones: Array) -> None:
        """lane_zones: lane centres in units of zone pitch, shape (lanes,)."""
        self._sizes, self._seed = sizes, seed
        self._taps = smooth_taps(lane_zones, sizes.slow_cd_zones)
        nothing = Drifts(np.zeros(lane_zones.size), np.zeros(lane_zones.size), 0.0, 0.0)
        self._before, self._after, self._drawn = nothing, nothing, 0

    def at(self, t_s: float) -> Drifts:
        while (self._drawn - 1) * DRIFT_PERIOD_S <= t_s:
            self._before, self._after = self._after, self._next(self._after, self._drawn)
            self._drawn += 1
        share = t_s / DRIFT_PERIOD_S - (self._drawn - 2)
        before, after = self._before, self._after
        return Drifts(
            before.slow_cd + share * (after.slow_cd - before.slow_cd),
            before.fast_cd + share * (after.fast_cd - before.fast_cd),
            before.slip + share * (after.slip - before.slip),
            before.solids + share * (after.solids - before.solids),
        )

    def _next(self, now: Drifts, row: int) -> Drifts:
        sizes = self._sizes
        return Drifts(
            self._across("slow-cd-drift", row, sizes.slow_cd, sizes.slow_cd_tau_s, now.slow_cd),
            self._across("fast-cd-drift", row, sizes.fast_cd, sizes.fast_cd_tau_s, now.fast_cd),
            self._along("pump-slip-drift", row, sizes.slip, sizes.slip_tau_s, now.slip),
            self._along("solids-drift", row, sizes.solids, sizes.solids_tau_s, now.solids),
        )

    def _along(self, name: str, row: int, size: float, tau_s: float, before: float) -> float:
        return float(follow(stream(self._seed, name), row, size, keep_of(tau_s, DRIFT_PERIOD_S), before))

    def _across(self, name: str, row: int, size: float, tau_s: float, before: Array) -> Array:
        knots, first, weights = self._taps
        state, keep = before.copy(), keep_of(tau_s, DRIFT_PERIOD_S)
        heard, drawn = np.empty(knots), np.empty(state.size)
        follow_smooth(stream(self._seed, name), row, size, keep, state, first, weights.reshape(-1), heard, drawn)
        return state


def smooth_shape(rng: np.random.Generator, lane_zones: Array, correlation_zones: float) -> Array:
    """A static profile error: a bow, a tilt and an uneven part, mean 0 and standard deviation 1, shape (lanes,).

    The uneven part carries about half of the variance and is correlated over `correlation_zones`.
    """
    across = np.linspace(-1.0, 1.0, lane_zones.size)
    bow, tilt = rng.normal(0.0, 1.0, 2)
    coarse = bow * (across**2 - 1.0 / 3.0) / 0.298 + tilt * across / 0.577
    uneven = smooth_row(rng, lane_zones, correlation_zones)
    shape = coarse / max(float(coarse.std()), 1e-9) + (uneven - uneven.mean()) / float(uneven.std())
    shape = shape - shape.mean()
    normalised: Array = shape / float(shape.std())
    return normalised
