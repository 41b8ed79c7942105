"""The ceiling of all feedback: our core, told the true response, the true statistics and what each new batch brings.

It has the real gauges only, with their noise and drifting bias. Of a batch it is told, from its announcement on, what
a laboratory and the line's own mixing times would tell: solids, and how they come through. The clairvoyant sees gauges
without error, but knows a batch only once its first metre has reached the dry gauge; `informed` may stand below it.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace

import numpy as np

from controller.core import step as core
from controller.core.envelope import Applied
from controller.core.estimate import EstimateState
from controller.core.estimate import build as build_estimator
from controller.core.law import Law, LawState
from controller.core.law import build as build_law
from controller.core.response import local_gain_per_um, modes_of
from controller.core.statistics import BOX_SHARE, COMMON_SHARE, Statistics
from controller.core.step import Config
from controller.line.command import ActuatorCommand, Mode, UncertifiedCommand
from controller.line.description import LineDescription
from controller.line.profile import LineInputs
from evencoat.league import field
from evencoat.league.field import TURN_S, Match
from plant_sim import slurry


@dataclass(slots=True)
class Foreseeing:
    """A law that adds to the estimate what is known to come: ln of the mean, set before each turn."""

    law: Law
    coming: float = 0.0

    def decide(
        self, state: LawState, estimate: EstimateState, last: Applied, web_s: float
    ) -> tuple[LawState, UncertifiedCommand]:
        """What the law would do if the gauges had seen it already."""
        reading = estimate.reading
        reading = reading._replace(disturbance_md=reading.disturbance_md + self.coming)
        return self.law.decide(state, estimate._replace(reading=reading), last, web_s)

    def track(self, estimate: EstimateState, last: Applied) -> LawState:
        """As the law."""
        return self.law.track(estimate, last)

    def limited(self, state: LawState, wish: UncertifiedCommand, certified: Applied) -> LawState:
        """As the law."""
        return self.law.limited(state, wish, certified)


class Informed:
    """A player who is told all that can be known of a line beforehand. Batches are taken out of what the core sees."""

    def __init__(self, match: Match, line: LineDescription) -> None:
        config = informed(match, line)
        self._batches, self._fronts = match.truth.batches, match.scenario.fronts()
        self._law = Foreseeing(config.law)
        self._config = replace(config, law=self._law)
        self._state = core.init(self._config, Mode.AUTO)
        self._dry_m = line.dry_gauge.distance_m if line.dry_gauge else 0.0
        self._t_s: list[float] = [0.0]
        self._web_m: list[float] = [0.0]

    def turn(self, inputs: LineInputs) -> ActuatorCommand | None:
        """One cycle."""
        self._t_s.append(1e-9 * inputs.t_line_ns)
        self._web_m.append(inputs.web_m)
        self._law.coming = self.brought(self._t_s[-1] + 0.5 * TURN_S)
        self._state, command, _ = core.step(self._config, self._state, self._without_batches(inputs), TURN_S)
        return command

    def brought(self, t_s: float) -> float:
        """ln of what batches since the start have made of the dry mass in a volume of slurry leaving the die."""
        now = slurry.blend(self._batches, self._fronts, t_s).solids_kgm3
        return math.log(now / self._batches[0].solids_kgm3)

    def _without_batches(self, inputs: LineInputs) -> LineInputs:
        dry = inputs.dry
        if dry is not None:
            at = min(bisect.bisect_left(self._web_m, dry.web_m - self._dry_m), len(self._web_m) - 1)
            before = dry.areal_density_gsm * math.exp(-self.brought(self._t_s[at]))
            dry = replace(dry, areal_density_gsm=before)
        return inputs._replace(dry=dry, batch=1)


def informed(match: Match, line: LineDescription) -> Config:
    """The core, told the true response and the true statistics of this line."""
    truth = match.truth
    gain = truth.lip_gain_per_um(truth.batches[0].flow_index)
    shown = field.zone_view(line, truth.lanes) @ truth.lip_response
    centre = np.eye(line.zones) - 1.0 / line.zones
    aligned = replace(line, die=replace(line.die, alignment_uncertainty_mm=0.0))
    response = modes_of(aligned, gain * centre @ shown @ centre)
    estimator = build_estimator(line, response, true_statistics(match))
    config = core.configure(line, TURN_S)
    return replace(config, estimator=estimator, law=build_law(line, estimator))


def true_statistics(match: Match) -> Statistics:
    """Statistics of the line's true disturbances and gauges."""
    truth, line = match.truth, match.line
    drifts, known = truth.drifts, Statistics()
    if truth.wet is not None:
        wet_bias = 100.0 * float(np.hypot(truth.wet.bias_common, truth.wet.bias_box))
        wet_bias /= float(np.hypot(COMMON_SHARE, BOX_SHARE))
        known = replace(known, wet_bias_pct=max(wet_bias, 1e-3), wet_bias_s=truth.wet.bias_tau_s)
        if line.wet_gauge is not None:
            known = replace(known, wet_noise_share=100.0 * truth.wet.noise / line.wet_gauge.noise_pct)
    if truth.dry is not None and line.dry_gauge is not None:
        known = replace(known, dry_noise_share=100.0 * truth.dry.noise / line.dry_gauge.noise_pct)
    return replace(
        known,
        static_pct=100.0 * float(truth.unevenness_um.std()) * local_gain_per_um(line),
        slow_cd_pct=100.0 * drifts.slow_cd,
        slow_cd_s=drifts.slow_cd_tau_s,
        fast_cd_pct=100.0 * drifts.fast_cd,
        fast_cd_s=drifts.fast_cd_tau_s,
        cd_zones=drifts.slow_cd_zones,
        white_cd_pct=100.0 * drifts.white_cd / np.sqrt(truth.lanes / truth.zones),
        slip_pct=100.0 * drifts.slip,
        slip_s=drifts.slip_tau_s,
        solids_pct=100.0 * drifts.solids,
        solids_s=drifts.solids_tau_s,
        pulsation_pct=100.0 * truth.pump.pulsation,
    )
