"""What bounds everyone: in time, in space, and what a run's own record says of how far from it the loop stands.

In time: whatever happens within the dead time cannot be removed. A disturbance v = sum psi_i a(t-i) leaves at least
sigma_a^2 sum_{i<d} psi_i^2 (Astrom 1970; Harris 1989); of an AR(1) process that is the share 1 - exp(-2 T/tau).
In space: lips reach the column space of their response; the rest of the profile stays (Duncan and Bryant 1997).
Model-free: regress the output on itself a dead time ago and earlier; what that does not explain is the minimum variance
(Desborough and Harris 1992), in web length, so that the dead time is a constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from controller.core.response import local_gain_per_um
from controller.line.description import Array
from evencoat.league.field import TURN_S, Match
from evencoat.league.metrics import EDGE_TRIM_SHARE, JUDGED_FROM_S
from plant_sim import slurry
from plant_sim.disturbances import DriftSizes, DriftsTold
from plant_sim.noise import smooth_mix
from plant_sim.pump import SECOND_HARMONIC, Pump

REACH_FLOOR = 0.05  # shapes that answer below this share of the strongest are out of reach: they would saw-tooth


def minimum_variance(psi: Sequence[float] | Array, delay: int, sigma: float = 1.0) -> float:
    """sigma_a^2 sum_{i<d} psi_i^2 for an impulse response psi (psi_0 = 1) and a dead time of `delay` samples."""
    head = np.asarray(psi, dtype=np.float64)[:delay]
    return float(sigma**2 * (head @ head))


def unremovable_share(tau_s: float, delay_s: float) -> float:
    """Share of a first-order process's variance that no feedback removes: 1 - exp(-2 T/tau)."""
    return -math.expm1(-2.0 * delay_s / tau_s)


def reachable(response: Array, floor: float = REACH_FLOOR) -> Array:
    """Orthonormal basis (lanes, modes) of what the lips can do, without shapes weaker than `floor` of the strongest."""
    basis, gains, _ = np.linalg.svd(response, full_matrices=False)
    kept: Array = basis[:, gains >= floor * gains[0]]
    return kept


@dataclass(frozen=True, slots=True)
class Bound:
    """Least sigma of a line, percent of target. The first three parts add up to it in squares."""

    sigma_pct: float
    out_of_reach_pct: float  # CD: finer than the lips, or faster than any loop
    cd_pct: float  # CD: within the dead time of the gauge
    md_pct: float  # MD: slip within the wet gauge's dead time, solids within the dry one's, pulsation, new batches
    batch_pct: float  # of that: new batches before the dry gauge sees them


def bound(match: Match) -> Bound:
    """Minimum variance of a match over the judged time, from its true disturbances and delays.

    Components are taken as known apart, and gauges as free of noise: nobody has that, so nobody beats it. The mean,
    of which a run has few independent samples, is bounded on the path it really took; shapes, of which there are many,
    in expectation.
    """
    truth = match.truth
    drifts = truth.drifts
    delays = [_delay_s(g.distance_m, match) for g in (truth.wet, truth.dry) if g is not None]
    fast_s, slow_s = min(delays), max(delays) if truth.dry is not None else math.inf
    out2, cd2 = _cross_web(match, fast_s)
    played = {play.name for play in match.scenario.plays}
    times_s = _judged_s(match)
    drifting = np.zeros(times_s.size)
    told = DriftsTold(drifts, match.seed, truth.lanes_mm / truth.zone_pitch_mm)
    path = [told.at(turn * TURN_S) for turn in range(round(float(times_s[-1]) / TURN_S) + 1)]
    if "pump-slip-drift" in played:
        slip = np.array([drift.slip for drift in path])
        drifting -= _unforeseen(slip, drifts.slip_tau_s, times_s, fast_s)
    if "solids-drift" in played:
        solids = np.array([drift.solids for drift in path])
        drifting += _unforeseen(solids, drifts.solids_tau_s, times_s, slow_s)
    batch = _batch_unseen(match, times_s, slow_s)
    md2 = float(np.mean((drifting + batch) ** 2))
    if "pump-pulsation" in played:
        md2 += pulsation_variance(truth.pump, match.line.pump_ratio_nominal_rpm_per_mps * truth.web_speed_mps)
    squares = (out2 + cd2 + md2, out2, cd2, md2, float(np.mean(batch**2)))
    return Bound(*(100.0 * math.sqrt(square) for square in squares))


def _delay_s(distance_m: float, match: Match) -> float:
    """From the turn a gauge sees to the first turn that an answer can reach."""
    return distance_m / match.truth.web_speed_mps + TURN_S


def pulsation_variance(pump: Pump, speed_rpm: float, turn_s: float = TURN_S) -> float:
    """Variance of the flow's pulsation averaged over a turn; it is faster than the pump's drive can answer."""
    hertz = pump.pulses_per_rev * speed_rpm / 60.0
    first, second = np.sinc(hertz * turn_s), np.sinc(2.0 * hertz * turn_s)
    harmonics = float(first**2 + (SECOND_HARMONIC * second) ** 2)
    return pump.pulsation**2 * harmonics / (1.0 + SECOND_HARMONIC**2)


def lip_effect(match: Match) -> Array:
    """True effect of the bolts on the log profile, about the mean, (lanes, zones), 1/um."""
    truth, line = match.truth, match.line
    n = truth.batches[0].flow_index
    gain = local_gain_per_um(line) * (2.0 + 1.0 / n) / (2.0 + 1.0 / line.slurry.flow_index)
    effect = gain * truth.lip_response
    centred: Array = effect - effect.mean(axis=0)
    return centred


def _cross_web(match: Match, delay_s: float) -> tuple[float, float]:
    """Variance out of the lips' reach, and within it but inside the dead time; means over the judged lanes."""
    truth = match.truth
    lanes = truth.lanes
    basis = reachable(lip_effect(match))
    mix = smooth_mix(truth.lanes_mm / truth.zone_pitch_mm, truth.drifts.slow_cd_zones)
    covariance = mix @ mix.T
    centre = np.eye(lanes) - 1.0 / lanes
    covariance = centre @ covariance @ centre
    within = basis @ (basis.T @ covariance @ basis) @ basis.T
    rest = np.eye(lanes) - basis @ basis.T
    outside = rest @ covariance @ rest
    gain_per_um = local_gain_per_um(match.line)
    static = rest @ centre @ (truth.unevenness_um * gain_per_um)
    trim = round(lanes * EDGE_TRIM_SHARE)
    kept = slice(trim, lanes - trim)
    mean_outside = float(np.diag(outside)[kept].mean())
    mean_within = float(np.diag(within)[kept].mean())
    played = {play.name for play in match.scenario.plays}
    sizes = _played_sizes(truth.drifts, played)
    out = mean_outside * (sizes.slow_cd**2 + sizes.fast_cd**2) + sizes.white_cd**2
    if "static-profile" in played:
        out += float(np.mean(static[kept] ** 2))
    inside = sizes.slow_cd**2 * unremovable_share(sizes.slow_cd_tau_s, delay_s)
    inside += sizes.fast_cd**2 * unremovable_share(sizes.fast_cd_tau_s, delay_s)
    return out, mean_within * inside


def _played_sizes(drifts: DriftSizes, played: set[str]) -> DriftSizes:
    """Sizes of the drifts that the scenario plays; zero for the others."""
    return replace(
        drifts,
        slow_cd=drifts.slow_cd if "slow-cd-drift" in played else 0.0,
        fast_cd=drifts.fast_cd if "fast-cd-drift" in played else 0.0,
        white_cd=drifts.white_cd if "white-cd" in played else 0.0,
    )


def _judged_s(match: Match) -> Array:
    end_s = 60.0 * match.minutes
    start_s = JUDGED_FROM_S if end_s >= 1.2 * JUDGED_FROM_S else 0.5 * end_s
    return np.arange(start_s, end_s - 0.5 * TURN_S, TURN_S)


def _unforeseen(whole: Array, tau_s: float, times_s: Array, delay_s: float) -> Array:
    """What a drift does within the dead time: its path, turn by turn, less what was expected when it was last seen."""
    rows = np.rint(times_s / TURN_S).astype(int)
    if not math.isfinite(delay_s):
        return whole[rows]
    seen = np.maximum(rows - round(delay_s / TURN_S), 0)
    unforeseen: Array = whole[rows] - math.exp(-delay_s / tau_s) * whole[seen]
    return unforeseen


def _batch_unseen(match: Match, times_s: Array, blind_s: float) -> Array:
    """What batch changes do before the dry gauge sees them.

    What has been seen is taken to be known with all that follows from it: the front of a batch is foreseen from its
    first metre at the gauge on.
    """
    fronts, error = match.scenario.fronts(), np.zeros(times_s.size)
    for front in fronts:
        unseen = (times_s >= front.onset_s) & (times_s < front.onset_s + blind_s)
        known = [other for other in fronts if other.onset_s + blind_s <= front.onset_s]
        for row in np.flatnonzero(unseen):
            now = slurry.blend(match.truth.batches, fronts, float(times_s[row])).solids_kgm3
            foreseen = slurry.blend(match.truth.batches, tuple(known), float(times_s[row])).solids_kgm3
            error[row] = now / foreseen - 1.0
    return error


# ------------------------------------------------------------------------------------------- from a run's own record


def harris_index(output: Array, delay: int, order: int = 10) -> float:
    """Minimum variance over mean square, from routine data: 1 is as good as the dead time allows, 0 is far from it.

    output: (samples,) about target, evenly spaced in web length; `delay` in samples, the first at which an answer acts.
    Returns NaN where the record is too short to say.
    """
    y = np.asarray(output, dtype=np.float64)
    rows = y.size - delay - order + 1
    if rows < 3 * order:
        return math.nan
    past = np.lib.stride_tricks.sliding_window_view(y, order)[:rows][:, ::-1]
    now = y[delay + order - 1 :]
    design = np.column_stack((past, np.ones(rows)))
    coefficients, *_ = np.linalg.lstsq(design, now, rcond=None)
    residual = now - design @ coefficients
    variance = float(residual @ residual) / (rows - order - 1)
    mean_square = float(now @ now) / rows
    return min(1.0, variance / mean_square) if mean_square > 0.0 else 1.0


@dataclass(frozen=True, slots=True)
class Harris:
    """The same index while the line runs: recursive least squares with forgetting, sampled by metres of web.

    Pure: `seen` returns the next state. history holds the newest outputs, newest first.
    """

    step_m: float
    delay: int
    order: int
    forget: float
    next_m: float
    history: Array
    weights: Array
    inverse: Array
    residual2: float
    square: float
    samples: int

    @staticmethod
    def start(delay_m: float, order: int = 5, memory_delays: float = 40.0) -> Harris:
        """An index for a loop whose dead time is `delay_m` of web. It forgets over `memory_delays` dead times."""
        per_delay = 5  # samples a dead time: finer tells no more of what lies beyond it
        step_m = delay_m / per_delay
        return Harris(
            step_m=step_m,
            delay=per_delay + 1,
            order=order,
            forget=1.0 - 1.0 / (per_delay * memory_delays),
            next_m=-math.inf,
            history=np.zeros(per_delay + 1 + order),
            weights=np.zeros(order),
            inverse=1e3 * np.eye(order),
            residual2=0.0,
            square=0.0,
            samples=0,
        )

    def seen(self, web_m: float, output: float) -> Harris:
        """Take in the output (percent about target) at a web position."""
        if web_m < self.next_m or not math.isfinite(output):
            return self
        history = np.concatenate(([output], self.history[:-1]))
        next_m = web_m + self.step_m
        samples = self.samples + 1
        if samples <= self.delay + self.order:
            return replace(self, history=history, next_m=next_m, samples=samples)
        past = history[self.delay : self.delay + self.order]
        error = output - float(past @ self.weights)
        direction = self.inverse @ past
        gain = direction / (self.forget + float(past @ direction))
        inverse = (self.inverse - np.outer(gain, direction)) / self.forget
        return replace(
            self,
            history=history,
            next_m=next_m,
            samples=samples,
            weights=self.weights + gain * error,
            inverse=0.5 * (inverse + inverse.T),
            residual2=self.forget * self.residual2 + (1.0 - self.forget) * error * error,
            square=self.forget * self.square + (1.0 - self.forget) * output * output,
        )

    @property
    def index(self) -> float:
        """Minimum variance over mean square; NaN before there is enough to go by."""
        if self.samples < self.delay + 10 * self.order or self.square <= 0.0:
            return math.nan
        return min(1.0, self.residual2 / self.square)

    @property
    def words(self) -> str:
        """What the index says, to the person at the line."""
        return in_words(self.index, math.sqrt(max(self.square, 0.0)))


def in_words(index: float, now_pct: float) -> str:
    """What a Harris index says of a loop that stands at `now_pct` sigma."""
    if math.isnan(index):
        return "too little web so far to say how good the loop is"
    least_pct = now_pct * math.sqrt(index)
    if index > 0.8:
        return f"as even as the dead time allows: {now_pct:.2f} % where {least_pct:.2f} % is the least"
    if index > 0.5:
        return f"near what the dead time allows: {now_pct:.2f} % where {least_pct:.2f} % is the least"
    return f"room to improve: {now_pct:.2f} % where {least_pct:.2f} % would be possible with this dead time"


def index_of_run(deviation_pct: Array, web_m: npt.NDArray[np.float64], delay_m: float) -> float:
    """Harris index of a recorded mean or mode, resampled by web length. deviation_pct, web_m: (rows,)."""
    step_m = delay_m / 5.0
    grid = np.arange(web_m[0], web_m[-1], step_m)
    return harris_index(np.interp(grid, web_m, deviation_pct), delay=6, order=5)
