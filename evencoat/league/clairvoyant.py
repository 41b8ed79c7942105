"""The clairvoyant: knows the line as it is, and still cannot see what no gauge has seen yet.

It knows response, gains, alignment, backlash, rheology, the spectra of all drifts, the profile as it was set and the
batches; it sees each metre as it passes the gauge, without noise or bias, and its parts apart. It does not know what
drifts will do: it expects them to decay as their spectra say. A batch change it knows from its first metre at the dry
gauge on, with all that follows; clogging, tank and temperature as they were when the near gauge's metre left the die.
Streaks, heavy edges, bubbles, run-out, pulsation and bolts that fail it does not answer. It answers with the one move
that is best within the same envelope as everybody's.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace

import numpy as np

from controller.core import envelope
from controller.core.envelope import Applied, Envelope
from controller.line.command import ActuatorCommand, UncertifiedCommand
from controller.line.description import Array
from controller.line.profile import LineInputs, LineState
from evencoat.league.bounds import REACH_FLOOR
from evencoat.league.field import TURN_S, Match
from plant_sim import die as slot_die
from plant_sim import slurry
from plant_sim.disturbances import Drifts, DriftsTold
from plant_sim.faults import Timetable
from plant_sim.incidents import GRAVITY_MPS2, THINNING_PER_K
from plant_sim.slurry import Front, Slurry
from plant_sim.truth import Truth


@dataclass(frozen=True, slots=True)
class Moment:
    """What was true when a metre left the die."""

    t_s: float
    web_m: float
    drifts: Drifts


@dataclass(frozen=True, slots=True, eq=False)
class Befallen:
    """What has befallen slurry, film and die. Arrays have shape (lanes,)."""

    thinner: float = 1.0  # times the consistency
    clogged: float = 1.0  # times the pressure at the pump
    fallen_m: float = 0.0  # level of the tank
    local_log: Array | float = 0.0  # ln of the local factor of flow: warm sides
    bowed_um: Array | float = 0.0  # opening of the lip


NOTHING = Befallen()


def released(match: Match) -> Match:
    """The match without limits: actuators that go anywhere at once, without play or steps."""
    zones = match.line.zones
    lips = replace(
        match.line.lips,
        gap_min_um=1.0,
        gap_max_um=10_000.0,
        rate_um_per_s=1e4,
        resolution_um=0.0,
        backlash_um=0.0,
        neighbour_max_um=1e4,
        bend_max_um=1e4,
        command_step_um=0.001,
    )
    drives = replace(
        match.truth.actuators,
        gap_min_um=1.0,
        gap_max_um=10_000.0,
        rate_um_per_s=np.full(zones, 1e4),
        resolution_um=0.0,
        backlash_um=np.zeros(zones),
    )
    feed = replace(match.line.pump, trim_max_pct=50.0, trim_rate_pct_per_s=100.0, speed_max_rpm=1e6)
    drive = replace(match.truth.pump, lag_s=1e-3, speed_max_rpm=1e6)
    control = replace(match.line.control, dead_band_um=0.0)
    line = replace(match.line, lips=lips, pump=feed, control=control)
    return replace(match, line=line, truth=replace(match.truth, actuators=drives, pump=drive))


def truth_opening(truth: Truth, pressure_kpa: float) -> Array:
    """How far pressure opens the lip beyond its setting, (lanes,), um."""
    opening: Array = truth.compliance_um_per_pa * (1e3 * pressure_kpa - truth.pressure_set_pa)
    return opening


class Clairvoyant:
    """A player who is told the truth, late."""

    def __init__(self, match: Match) -> None:
        truth = self._truth = match.truth
        self._match, self._line = match, match.line
        self._envelope = Envelope.of(match.line)
        self._told = DriftsTold(truth.drifts, match.seed, truth.lanes_mm / truth.zone_pitch_mm)
        self._timetable = Timetable(match.scenario.plays, truth.zones, {"wet": 0, "dry": 0}, truth.lanes_mm)
        self._fronts = match.scenario.fronts()
        gauges = [gauge.distance_m for gauge in (truth.wet, truth.dry) if gauge is not None]
        self._near_m, self._far_m = min(gauges), max(gauges) if truth.dry is not None else math.inf
        self._past: list[Moment] = []
        self._ends_m: list[float] = []
        self._lip_um = np.full(truth.zones, truth.gap_nominal_um)
        self._applied: Applied | None = None
        self._inverse: dict[float, Array] = {}

    def turn(self, inputs: LineInputs) -> ActuatorCommand | None:
        """Predict what the next turn brings, and answer it."""
        self._remember(inputs)
        if inputs.line_state is not LineState.RUNNING or not inputs.encoder_valid:
            return None
        applied = self._applied or Applied(inputs.gap_um, self._line.pump_ratio_nominal_rpm_per_mps, 0.0)
        near, far = self._seen(self._near_m), self._seen(self._far_m)
        befallen = self._befallen(near.t_s if near else -math.inf)
        blend = self._known_slurry(near.t_s if near else -math.inf, far.t_s if far else -math.inf, inputs)
        blend = replace(blend, consistency_pa_sn=blend.consistency_pa_sn * befallen.thinner)
        ahead_s = inputs.t_line_ns / 1e9 + TURN_S
        pressed_um = truth_opening(self._truth, inputs.pump_pressure_kpa / befallen.clogged)
        lips = self._lips(blend, near, ahead_s, applied, pressed_um, befallen)
        trim = self._trim(blend, near, far, ahead_s, inputs, befallen)
        wish = UncertifiedCommand(lips, applied.pump_ratio_rpm_per_mps, trim)
        command, _, _ = envelope.certify(self._envelope, wish, applied, TURN_S, inputs.sync_cycle + 3)
        self._applied = Applied(command.gap_um, command.pump_ratio_rpm_per_mps, command.pump_trim_pct)
        return command

    def _remember(self, inputs: LineInputs) -> None:
        """Follow drifts and lips as they truly went."""
        t_s = inputs.t_line_ns / 1e9
        self._past.append(Moment(t_s, inputs.web_m, self._told.at(t_s)))
        self._ends_m.append(inputs.web_m)
        half = 0.5 * self._truth.actuators.backlash_um
        self._lip_um = np.minimum(np.maximum(self._lip_um, inputs.gap_um - half), inputs.gap_um + half)

    def _seen(self, distance_m: float) -> Moment | None:
        """The newest moment whose metre has passed a gauge."""
        if not math.isfinite(distance_m):
            return None
        index = bisect.bisect_right(self._ends_m, self._ends_m[-1] - distance_m + 1e-9) - 1
        return self._past[index] if index >= 0 else None

    def _befallen(self, until_s: float) -> Befallen:
        """What has befallen slurry, film and die by the moment that the near gauge has seen."""
        played = self._timetable.at(until_s).incidents if until_s >= 0.0 else None
        if played is None:
            return NOTHING
        thinning, even = THINNING_PER_K / self._truth.batches[0].flow_index, np.zeros(self._truth.lanes)
        return Befallen(
            thinner=math.exp(-THINNING_PER_K * sum(rise.at(until_s) for rise in played.temperatures)),
            clogged=1.0 + sum(rise.at(until_s) for rise in played.clogs),
            fallen_m=sum(rise.at(until_s) for rise in played.levels),
            local_log=sum((thinning * rise.at(until_s) * shape for rise, shape in played.warmths), even),
            bowed_um=sum((rise.at(until_s) * shape for rise, shape in played.bows), even),
        )

    def _known_slurry(self, near_s: float, far_s: float, inputs: LineInputs) -> Slurry:
        """The slurry at the die as far as it can be known: flow from the near gauge on, solids from the far one on."""
        now_s = inputs.t_line_ns / 1e9 + 0.5 * TURN_S
        batches = self._truth.batches
        flowing = slurry.blend(batches, self._begun(near_s), now_s)
        weighed = slurry.blend(batches, self._begun(far_s), now_s)
        return replace(flowing, density_kgm3=weighed.density_kgm3, solids_fraction=weighed.solids_fraction)

    def _begun(self, until_s: float) -> tuple[Front, ...]:
        return tuple(front for front in self._fronts if front.onset_s < until_s)

    def _lips(
        self,
        blend: Slurry,
        near: Moment | None,
        ahead_s: float,
        applied: Applied,
        pressed_um: Array,
        befallen: Befallen,
    ) -> Array:
        """Motor targets that flatten what is expected."""
        truth, played = self._truth, self._timetable.at(ahead_s).amplitudes
        set_um = truth.gap_nominal_um + played.static_profile * truth.unevenness_um + pressed_um + befallen.bowed_um
        local = np.zeros(truth.lanes) + befallen.local_log
        if near is not None:
            age_s = ahead_s - near.t_s
            local += played.slow_cd * math.exp(-age_s / truth.drifts.slow_cd_tau_s) * near.drifts.slow_cd
            local += played.fast_cd * math.exp(-age_s / truth.drifts.fast_cd_tau_s) * near.drifts.fast_cd
        rest = np.full(truth.zones, truth.gap_nominal_um)
        lips = self._lip_um
        for _ in range(2):  # the power law is not quite linear
            opening = truth.lip_response @ (lips - rest)
            share = slot_die.split(slot_die.slot(truth.die, blend), np.maximum(opening + set_um, 20.0), local).share
            lips = lips - self._pseudo_inverse(blend.flow_index) @ (np.log(share) - np.log(share).mean())
        lips = lips - lips.mean() + rest.mean()
        return self._motors(lips, applied)

    def _motors(self, lips_um: Array, applied: Applied) -> Array:
        """Where motors must stand so that lips stand there, through the play; a move below a motor's step is left."""
        half, step = 0.5 * self._truth.actuators.backlash_um, self._truth.actuators.resolution_um
        away = lips_um - self._lip_um
        motor = np.where(away > 0.0, lips_um + half, lips_um - half)
        return np.where(np.abs(away) < 0.5 * step, applied.gap_um, motor)

    def _pseudo_inverse(self, flow_index: float) -> Array:
        """True effect of lips on the log profile, inverted where lips reach, (zones, lanes)."""
        key = round(flow_index, 2)
        if key not in self._inverse:
            truth, n = self._truth, key
            effect = truth.lip_gain_per_um(n) * truth.lip_response
            effect = effect - effect.mean(axis=0)
            left, sizes, right = np.linalg.svd(effect, full_matrices=False)
            kept = sizes >= REACH_FLOOR * sizes[0]
            self._inverse[key] = (right[kept].T / sizes[kept]) @ left[:, kept].T
        return self._inverse[key]

    def _trim(
        self,
        blend: Slurry,
        near: Moment | None,
        far: Moment | None,
        ahead_s: float,
        inputs: LineInputs,
        befallen: Befallen,
    ) -> float:
        """Trim at which the expected mean is the target."""
        truth, played = self._truth, self._timetable.at(ahead_s).amplitudes
        lost, rich = 0.0, 1.0 + played.set_up_offset * truth.solids_offset
        if near is not None:
            kept = math.exp(-(ahead_s - near.t_s) / truth.drifts.slip_tau_s)
            lost = played.slip * kept * near.drifts.slip + self._timetable.at(near.t_s).slip_step
        if far is not None:
            rich += played.solids * math.exp(-(ahead_s - far.t_s) / truth.drifts.solids_tau_s) * far.drifts.solids
        solids = blend.solids_kgm3 * rich
        flow = 1e-3 * truth.target_gsm * truth.width_m * inputs.web_speed_mps / solids
        even = np.full(truth.lanes, truth.gap_nominal_um)
        back = slot_die.split(slot_die.slot(truth.die, blend), even, np.zeros(truth.lanes))
        sucked_pa = befallen.fallen_m * blend.density_kgm3 * GRAVITY_MPS2
        against_pa = back.pressure_pa(flow) * befallen.clogged + sucked_pa
        displaced = flow + against_pa * truth.slip_m3ps_per_pa(blend)
        delivery = truth.pump.displacement_m3_per_rev / 60.0 * truth.pump.efficiency
        rpm = displaced / (delivery * (1.0 - lost + played.set_up_offset * truth.pump_offset))
        nominal = self._line.pump_ratio_nominal_rpm_per_mps * inputs.web_speed_mps
        return 100.0 * (rpm / max(nominal, 1e-9) - 1.0)
