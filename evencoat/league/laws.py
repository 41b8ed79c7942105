"""Laws that others use, behind the interface of controller.core.law: the industry's recipe, Smith/Dahlin, and MPC.

They see what the controller's estimate offers before its filters, and bring filters of their own. Unlike the laws of
the core they may remember by themselves: one object plays one match.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import osqp
from scipy import sparse

from controller.core.envelope import Applied
from controller.core.estimate import EstimateState, Estimator
from controller.core.law import LawState, Modes
from controller.core.response import lip_matrix, local_gain_per_um
from controller.line.command import UncertifiedCommand
from controller.line.description import Array, LineDescription

RECIPE_GAIN = 0.3  # an interval; the industry's starting point
RECIPE_FILTER = 0.3  # exponential filter from interval to interval
RECIPE_INTERVAL_S = 30.0  # never oftener
RECIPE_DEAD_BAND_LOG = 0.001
RECIPE_SPIKE_SIGMAS = 3.0
MPC_EVERY_S = 2.0
OSQP_ACCURACY = 1e-5


def raw_disturbance(estimate: EstimateState) -> tuple[Array, Array]:
    """Newest readings before any filter: the film's disturbance and dry minus wet, (zones,) each."""
    return estimate.film.newest, estimate.offset.newest


class Plain:
    """Wet and dry joined as is usual: dry minus wet through one exponential filter."""

    def __init__(self, line: LineDescription, estimator: Estimator) -> None:
        self._share = 1.0
        if line.dry_gauge is not None:
            self._share = 1.0 - float(np.exp(-line.dry_gauge.period_s / line.control.bias_filter_s))
        self._zones = estimator.target_gsm.size
        self._offset = np.zeros(self._zones)
        self._readings = 0

    def disturbance(self, estimate: EstimateState) -> Array:
        """As if at the die, (zones,): shapes and mean. The mean of dry minus wet has all boxes and is filtered less."""
        film, offset = raw_disturbance(estimate)
        if estimate.offset.readings > self._readings:
            self._readings = estimate.offset.readings
            shares = np.full(self._zones, max(self._share, 1.0 / self._readings))
            shares[-1] = min(1.0, self._zones * float(shares[-1]))
            self._offset = self._offset + shares * (offset - self._offset)
        joined: Array = film + self._offset
        return joined


@dataclass(slots=True)
class Dahlin:
    """Smith predictor with a Dahlin controller a mode: the disturbance through one first-order filter, answered."""

    modes: Modes
    plain: Plain
    filter_cd_s: Array
    filter_md_s: float

    def decide(
        self, state: LawState, estimate: EstimateState, last: Applied, web_s: float
    ) -> tuple[LawState, UncertifiedCommand]:
        """Move the filtered disturbance toward the newest one and answer it with its opposite."""
        seen, modes = self.plain.disturbance(estimate), self.modes.response.modes
        share_cd, share_md = -np.expm1(-web_s / self.filter_cd_s), -float(np.expm1(-web_s / self.filter_md_s))
        state = LawState(
            memory_cd=state.memory_cd + share_cd * (seen[:modes] - state.memory_cd),
            memory_md=state.memory_md + share_md * (float(seen[-1]) - state.memory_md),
            rest_um=state.rest_um,
        )
        return state, self.modes.command(-state.memory_cd, -state.memory_md, state.rest_um, last)

    def track(self, estimate: EstimateState, last: Applied) -> LawState:
        """Believe just the disturbance that `last` answers."""
        lips_log, pump_log, rest_um = self.modes.effect(last)
        return LawState(memory_cd=-lips_log, memory_md=-pump_log, rest_um=rest_um)

    def limited(self, state: LawState, wish: UncertifiedCommand, certified: Applied) -> LawState:
        """Nothing winds up."""
        return state


class Recipe:
    """What mills are sold: every interval, spikes out, exponential filter, dead band, a share of the error, by zone."""

    def __init__(self, line: LineDescription, estimator: Estimator, gain: float, interval: float) -> None:
        dead_s = estimator.primary.distance_m / line.web_speed_mps
        self._interval_s = max(RECIPE_INTERVAL_S, 1.5 * dead_s) * interval
        self._gain = RECIPE_GAIN * gain
        self._per_um = local_gain_per_um(line) * (np.diag(lip_matrix(line.die)) - 1.0 / line.zones)
        self._ratio = line.pump_ratio_nominal_rpm_per_mps
        self._since_s = 0.0
        self._sum: Array = np.zeros(line.zones)
        self._count = 0
        self._filtered: Array | None = None
        self._wish: UncertifiedCommand | None = None

    def decide(
        self, state: LawState, estimate: EstimateState, last: Applied, web_s: float
    ) -> tuple[LawState, UncertifiedCommand]:
        """Average the interval's profiles; at its end, act once."""
        if self._wish is None:
            self._wish = UncertifiedCommand(last.gap_um, last.pump_ratio_rpm_per_mps, last.pump_trim_pct)
        self._since_s += web_s
        self._sum = self._sum + estimate.reading.error
        self._count += 1
        if self._since_s >= self._interval_s:
            self._act(last)
        return state, self._wish

    def _act(self, last: Applied) -> None:
        profile = _without_spikes(self._sum / self._count)
        self._since_s, self._sum, self._count = 0.0, np.zeros(profile.size), 0
        before = profile if self._filtered is None else self._filtered
        self._filtered = before + (profile - before) * (1.0 if self._filtered is None else 1.0 - RECIPE_FILTER)
        level = float(self._filtered.mean())
        uneven = self._filtered - level
        uneven = np.where(np.abs(uneven) > RECIPE_DEAD_BAND_LOG, uneven, 0.0)
        move = -self._gain * uneven / self._per_um
        trim = last.pump_trim_pct - 100.0 * self._gain * (level if abs(level) > 0.5 * RECIPE_DEAD_BAND_LOG else 0.0)
        self._wish = UncertifiedCommand(last.gap_um + move - move.mean(), last.pump_ratio_rpm_per_mps, trim)

    def track(self, estimate: EstimateState, last: Applied) -> LawState:
        """Start afresh from what stands."""
        self._wish = None
        return LawState(np.zeros(0), 0.0, last.gap_um)

    def limited(self, state: LawState, wish: UncertifiedCommand, certified: Applied) -> LawState:
        """Goes on from where things stand anyhow."""
        return state


def _without_spikes(profile: Array) -> Array:
    """Boxes three sigma off their neighbours' line are replaced by it."""
    line = profile.copy()
    line[1:-1] = 0.5 * (profile[:-2] + profile[2:])
    off = profile - line
    return np.where(np.abs(off) > RECIPE_SPIKE_SIGMAS * max(float(off.std()), 1e-9), line, profile)


Flatten = Callable[[Array, Array], Array]  # profile (zones,) and last lip positions -> new ones, um


def move_weight(estimator: Estimator, line: LineDescription) -> float:
    """What a micrometre of move costs beside the profile, so that weak shapes are left alone."""
    return (line.control.mode_gain_floor * float(estimator.response.gains[0])) ** 2


class Mpc:
    """Cross-direction model predictive control: the move that flattens the filtered disturbance within all limits.

    The pump is a filter of its own, as in Dahlin. Who solves is given: OSQP or do-mpc.
    """

    def __init__(
        self, line: LineDescription, modes: Modes, plain: Plain, filter_s: float, filter_md_s: float, flatten: Flatten
    ) -> None:
        self._plain, self._modes, self._response = plain, modes, modes.response
        self._filter_s, self._filter_md_s = filter_s, filter_md_s
        self._flatten = flatten
        self._disturbance: Array | None = None
        self._since_s = MPC_EVERY_S
        self._wish_um: Array | None = None

    def decide(
        self, state: LawState, estimate: EstimateState, last: Applied, web_s: float
    ) -> tuple[LawState, UncertifiedCommand]:
        """Filter, and now and then solve."""
        seen = self._plain.disturbance(estimate)
        if self._disturbance is None:
            self._disturbance = seen[:-1].copy()
        self._disturbance = self._disturbance - np.expm1(-web_s / self._filter_s) * (seen[:-1] - self._disturbance)
        share_md = -float(np.expm1(-web_s / self._filter_md_s))
        state = state._replace(memory_md=state.memory_md + share_md * (float(seen[-1]) - state.memory_md))
        self._since_s += web_s
        if self._wish_um is None or self._since_s >= MPC_EVERY_S:
            self._since_s = 0.0
            self._wish_um = self._flatten(self._response.basis @ self._disturbance, last.gap_um)
        none = np.zeros(self._response.modes)
        command = self._modes.command(none, -state.memory_md, state.rest_um, last)
        dead = np.abs(self._wish_um - last.gap_um) < self._modes.dead_band_um
        return state, replace(command, gap_um=np.where(dead, last.gap_um, self._wish_um))

    def track(self, estimate: EstimateState, last: Applied) -> LawState:
        """Believe just the pump's disturbance that `last` answers; the lips start from where they stand."""
        _, pump_log, rest_um = self._modes.effect(last)
        self._wish_um = None
        return LawState(np.zeros(self._response.modes), -pump_log, rest_um)

    def limited(self, state: LawState, wish: UncertifiedCommand, certified: Applied) -> LawState:
        """The next solution starts from what was certified."""
        return state


class Osqp:
    """min |G u + d|^2 + weight |u - u_last|^2 over positions in range, within a rate step, neighbour and bend limits,
    of unchanged mean; warm from one solution to the next.
    """

    def __init__(self, line: LineDescription, estimator: Estimator) -> None:
        zones = line.zones
        self._lips, self._matrix = line.lips, estimator.response.matrix
        self._weight = move_weight(estimator, line)
        hessian = self._matrix.T @ self._matrix + self._weight * np.eye(zones)
        self._scale = 1.0 / float(hessian.max())
        slope = sparse.diags([-1.0, 1.0], [0, 1], shape=(zones - 1, zones))
        bend = sparse.diags([1.0, -2.0, 1.0], [0, 1, 2], shape=(zones - 2, zones))
        low, high = self._bounds(np.full(zones, line.die.gap_nominal_um))
        self._solver = osqp.OSQP()
        self._solver.setup(
            P=sparse.csc_matrix(np.triu(self._scale * hessian)),
            q=np.zeros(zones),
            A=sparse.vstack([sparse.eye(zones), slope, bend, np.ones((1, zones))], format="csc"),
            l=low,
            u=high,
            verbose=False,
            eps_abs=OSQP_ACCURACY,
            eps_rel=OSQP_ACCURACY,
            max_iter=400,
        )

    def __call__(self, profile: Array, last_um: Array) -> Array:
        low, high = self._bounds(last_um)
        linear = self._matrix.T @ profile - self._weight * last_um
        self._solver.update(q=self._scale * linear, l=low, u=high)
        answer = self._solver.solve().x
        return np.asarray(answer) if answer is not None and np.isfinite(answer).all() else last_um

    def _bounds(self, last_um: Array) -> tuple[Array, Array]:
        lips, zones = self._lips, last_um.size
        reach = lips.rate_um_per_s * MPC_EVERY_S
        slope, bend = np.full(zones - 1, lips.neighbour_max_um), np.full(zones - 2, lips.bend_max_um)
        total = [float(last_um.sum())]
        low = np.concatenate((np.maximum(last_um - reach, lips.gap_min_um), -slope, -bend, total))
        high = np.concatenate((np.minimum(last_um + reach, lips.gap_max_um), slope, bend, total))
        return low, high
