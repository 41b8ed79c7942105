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
    played = _shares_played(match)
    times_s = _judged_s(match)
    drifting = np.zeros(times_s.size)
    told = DriftsTold(drifts, match.seed, truth.lanes_mm / truth.zone_pitch_mm)
    path = [told.at(turn * TURN_S) for turn in range(round(float(times_s[-1]) / TURN_S) + 1)]
    if "pump-slip-drift" in played:
        slip = played["pump-slip-drift"] * np.array([drift.slip for drift in path])
        drifting -= _unforeseen(slip, drifts.slip_tau_s, times_s, fast_s)
    if "solids-drift" in played:
        solids = played["solids-drift"] * np.array([drift.solids for drift in path])
        drifting += _unforeseen(solids, drifts.solids_tau_s, times_s, slow_s)
    batch = _batch_unseen(match, times_s, slow_s)
    md2 = float(np.mean((drifting + batch) ** 2))
    if "pump-pulsation" in played:
        pulsing = pulsation_variance(truth.pump, match.line.pump_ratio_nominal_rpm_per_mps * truth.web_speed_mps)
        md2 += played["pump-pulsation"] ** 2 * pulsing
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
    played = _shares_played(match)
    sizes = _played_sizes(truth.drifts, played)
    out = mean_outside * (sizes.slow_cd**2 + sizes.fast_cd**2) + sizes.white_cd**2
    if "static-profile" in played:
        out += float(np.mean((played["static-profile"] * static[kept]) ** 2))
    inside = sizes.slow_cd**2 * unremovable_share(sizes.slow_cd_tau_s, delay_s)
    inside += sizes.fast_cd**2 * unremovable_share(sizes.fast_cd_tau_s, delay_s)
    return out, mean_within * inside


def _shares_played(match: Match) -> dict[str, float]:
    """Of each disturbance that the scenario plays, how much of what was drawn for the line."""
    played: dict[str, float] = {}
    for play in match.scenario.plays:
        played[play.name] = played.get(play.name, 0.0) + play.size
    return played


def _played_sizes(drifts: DriftSizes, played: dict[str, float]) -> DriftSizes:
    """Sizes of the drifts as the scenario plays them; zero for those that it does not."""
    return replace(
        drifts,
        slow_cd=drifts.slow_cd * played.get("slow-cd-drift", 0.0),
        fast_cd=drifts.fast_cd * played.get("fast-cd-drift", 0.0),
        white_cd=drifts.white_cd * played.get("white-cd", 0.0),
    )


def _judged_s(match: Match) -> Array:
    end_s = 60.0 * match.minutes
    start_s = JUDGED_FROM_S if end_s >= 1.2 * JUDGED_FROM_S else 0.5 * end_s
    return np.arange(start_s, end_s - 0.5 * TURN_S, TURN_S)


def _unforeseen(whole: Array, tau_s: float, times_s: Array, delay_s: float) -> Array:
    """What a drift does within the dead time: its path, turn by turn, less what was expected when it was last seen."""
    rows = np.rint(times_s / TURN_S).astype(int)
    found: Array = whole[rows]
    if not math.isfinite(delay_s):
        return found
    seen = np.maximum(rows - round(delay_s / TURN_S), 0)
    unforeseen: Array = found - math.exp(-delay_s / tau_s) * whole[seen]
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
