"""Virtual areal density: what is believed of the web between die and gauge, metre by metre, with 95 % intervals.

A pure function of the estimate's state. Metres that the gauge next to the die has seen are believed as they were then,
with today's knowledge of its offset; metres before it are the disturbance as it was last seen, and what lips and pump
have done since. Intervals grow with the web that passed since anything was seen, and are scaled by how right the belief
of earlier metres turned out to be behind the dryer (`estimate.Proof`). Where the only gauge stands there, the web that
nobody saw yet drifts as fast as the belief was seen to (`wander`), and may bring a new batch of unknown size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.core import estimate, front
from controller.core.estimate import EstimateState, Estimator, Proof, to_error
from controller.line.description import Array

NORMAL_95 = 1.96
EFFECT_DOUBT = 0.15  # of what the actuators did since the gauge saw the web: gains are believed to this share
TRUSTED_M = 100.0  # of web behind both gauges that weigh as much as the statistics in the description
LEAST_SCALE, LARGEST_SCALE = 0.1, 30.0  # of a variance, whatever the proof says


@dataclass(frozen=True, slots=True)
class VirtualWeb:
    """Belief of stretches of web. Arrays (stretches, zones), g/m2: best estimate, and half of the 95 % interval."""

    at_die_m: Array  # (stretches,): web position when it left the die
    areal_density_gsm: Array
    half_gsm: Array


def areal_density(estimator: Estimator, state: EstimateState, at_die_m: Array) -> VirtualWeb | None:
    """What left the die at these web positions, (stretches,), m; None before anything was seen.

    Positions that no actuator was heard for yet are taken as the newest.
    """
    if not state.film.readings:
        return None
    places = np.atleast_1d(np.asarray(at_die_m, dtype=np.float64))
    rows = [_belief(estimator, state, float(place)) for place in places]
    errors = np.array([to_error(estimator.response, mean) for mean, _ in rows])
    squares = np.column_stack((estimator.response.basis**2, np.ones(errors.shape[1])))
    own2 = 1e-4 * estimator.known.white_cd_pct**2
    variance = np.array([squares @ spread for _, spread in rows]) + own2
    density = estimator.target_gsm * np.exp(errors)
    return VirtualWeb(places, density, NORMAL_95 * density * np.sqrt(variance))


def _belief(estimator: Estimator, state: EstimateState, at_die_m: float) -> tuple[Array, Array]:
    """Mean and variance of each coordinate of one metre."""
    zones, offset = estimator.target_gsm.size, state.offset.mean
    variance = _drifted(estimator, state, at_die_m)
    drifts = estimate.faster(estimator, state)
    cd, md = estimate.settled(state, drifts)
    variance[:-1] += cd
    variance[-1] += md + estimate.pulse2(estimator, state) + 1e-4 * estimator.known.dry_bias_pct**2
    if at_die_m <= state.film_m and state.believed.holds(at_die_m):
        then = state.believed.at(at_die_m)
        assert then is not None
        return then[:zones] + offset, variance
    effect = state.model.at(at_die_m)
    seen = state.model.at(state.film_m)
    assert effect is not None and seen is not None  # something was read, so something was heard
    unseen_s = max(at_die_m - state.film_m, 0.0) / estimator.web_speed_mps
    variance += (EFFECT_DOUBT * (effect - seen)) ** 2
    variance[:-1] += drifts[0] * estimator.film.rate[:-1] * unseen_s
    variance[-1] += drifts[1] * estimator.film.rate[-1] * unseen_s
    mean = state.film.mean + effect + offset
    if estimator.wet is None:
        coming, coming2 = front.ahead(state.front, state.film_m, at_die_m, estimator.web_speed_mps)
        mean[-1] += coming
        variance[-1] += coming2
    return mean, variance


def _drifted(estimator: Estimator, state: EstimateState, at_die_m: float) -> Array:
    """Variance that dry minus wet gains over the web since it was last compared, (zones,).

    Where there is no dry gauge the wet one's error stays unknown: as large as usual.
    """
    if estimator.offset is None:
        usual = 0.0 if estimator.wet is None else 1e-4 * estimator.known.wet_bias_pct**2
        return np.full(estimator.target_gsm.size, usual)
    if not state.offset.readings:
        return estimator.offset.start.copy()
    unseen_s = max(at_die_m - state.offset_m, 0.0) / estimator.web_speed_mps
    drifted: Array = _scale(state.proof, estimator.target_gsm.size) * estimator.offset.rate * unseen_s
    return drifted


def _scale(proof: Proof, zones: int) -> Array:
    """How much faster than believed dry minus wet has been drifting, (zones,): 1 before there is proof."""
    trust = proof.metres / (proof.metres + TRUSTED_M)
    scales = []
    for missed2, noise, settled, drift in zip(proof.missed2, proof.noise, proof.settled, proof.drift, strict=True):
        found = (missed2 - noise - settled) / max(drift, 1e-12)
        scales.append(1.0 + trust * (min(max(found, LEAST_SCALE), LARGEST_SCALE) - 1.0))
    scale = np.full(zones, scales[0])
    scale[-1] = scales[1]
    return scale
