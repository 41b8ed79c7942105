"""The plant: step(plant, state, command, dt) -> (state, readings), pure and deterministic in its seed.

Reads top to bottom as a coater does: lips and pump move, slurry and drifts change, the die divides the flow, the web
carries it away, gauges see it later. Knows nothing of frames. Imported by plant_sim, tests and benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from controller.line.description import Array
from controller.line.profile import LineState
from plant_sim import actuators, gauges, pump
from plant_sim import die as slot_die
from plant_sim import web as coated_web
from plant_sim.actuators import ActuatorState
from plant_sim.die import Split
from plant_sim.disturbances import Disturbances, DisturbanceState
from plant_sim.faults import Effects, Timetable
from plant_sim.gauges import Gauge, GaugeReading, GaugeState
from plant_sim.incidents import Bubble, Incidents, covered, left_of_film
from plant_sim.noise import NoiseStream
from plant_sim.pump import PumpState
from plant_sim.scenario import Scenario
from plant_sim.slurry import Front, blend
from plant_sim.truth import Truth
from plant_sim.web import Web

SLURRY_TEMPERATURE_C = 25.0
BARE_SHARE = 0.02  # less than this share of the target does not wet the foil
OPEN_LIP_MIN_UM = 20.0  # lips touch before they close


@dataclass(frozen=True, slots=True, eq=False)
class Plant:
    """A true line, what happens to it, and its random streams. Never changes while it runs."""

    truth: Truth
    scenario: Scenario
    seed: int
    timetable: Timetable
    fronts: tuple[Front, ...]
    bubbles: tuple[Bubble, ...]
    disturbances: Disturbances
    wet: Gauge | None
    dry: Gauge | None
    gap_rest_um: Array  # where lips stand when nobody has touched them, shape (zones,)
    feedback_noise: NoiseStream  # of lip positions, drawn only while it is played

    @staticmethod
    def of(truth: Truth, scenario: Scenario, seed: int) -> Plant:
        wet = None if truth.wet is None else Gauge.of(truth.wet, seed, truth.lanes)
        dry = None if truth.dry is None else Gauge.of(truth.dry, seed, truth.lanes)
        boxes = {"wet": 0 if wet is None else wet.truth.boxes, "dry": 0 if dry is None else dry.truth.boxes}
        return Plant(
            truth=truth,
            scenario=scenario,
            seed=seed,
            timetable=Timetable(scenario.plays, truth.zones, boxes, truth.lanes_mm),
            fronts=scenario.fronts(),
            bubbles=_bubbles(truth, scenario),
            disturbances=Disturbances.of(truth.drifts, seed, truth.lanes_mm / truth.zone_pitch_mm),
            wet=wet,
            dry=dry,
            gap_rest_um=np.full(truth.zones, truth.gap_nominal_um),
            feedback_noise=NoiseStream(seed, "lip-feedback-noise", truth.zones),
        )

    def web_speed_mps(self, t_s: float) -> float:
        """Speed of the web, as the scenario has it."""
        return _web_speed_mps(self.truth, self.scenario, t_s)


@dataclass(frozen=True, slots=True, eq=False)
class PlantState:
    """Everything that a step reads and writes; older states stay usable."""

    t_s: float
    steps: int
    web: Web
    lips: ActuatorState
    pump: PumpState
    disturbances: DisturbanceState
    wet: GaugeState | None
    dry: GaugeState | None


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """What nodes ask of the machine: where lip motors shall come to rest (actuators.reachable), and pump speed."""

    gap_rest_um: Array
    pump_speed_rpm: float


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """What happened in one step. `areal_density_gsm` is the truth that is judged: dry, as coated at the die, lanes."""

    t_s: float
    web_m: float
    coated_m: float  # web that passed in this step
    web_speed_mps: float  # at the end of the step
    areal_density_gsm: Array  # shape (lanes,), zeros where the foil stayed bare
    mean_gsm: float
    lip_motor_um: Array  # shape (zones,)
    lip_fed_back_um: Array  # what the positions' sensors say of it: the same, but for noise where that is played
    pump_speed_rpm: float
    pump_flow_m3ps: float
    pump_pressure_kpa: float
    slurry_temperature_c: float
    encoder_valid: bool
    line_state: LineState
    batch: int
    scans: tuple[GaugeReading, ...]


def _web_speed_mps(truth: Truth, scenario: Scenario, t_s: float) -> float:
    if not scenario.has_speed_changes:
        return truth.web_speed_mps
    return min(truth.web_speed_mps * scenario.speed_share(t_s), truth.web_speed_max_mps)


def _bubbles(truth: Truth, scenario: Scenario) -> tuple[Bubble, ...]:
    """Holes are shorter than a step may be, so they have their own times and do not wait for a step's start."""
    return tuple(
        Bubble.of(
            play.onset_s,
            play.duration_s,
            play.size * 1e-3,
            _web_speed_mps(truth, scenario, play.onset_s),
            covered(truth.lanes_mm, play.at, play.width_mm),
        )
        for play in scenario.plays
        if play.name == "bubble"
    )


def start(plant: Plant, pump_speed_rpm: float) -> PlantState:
    """Lips at rest at the nominal gap, pump turning, web running and bare."""
    truth = plant.truth
    farthest = max((gauge.distance_m for gauge in (truth.wet, truth.dry) if gauge is not None), default=0.0)
    longest = max((gauge.period_s for gauge in (truth.wet, truth.dry) if gauge is not None), default=0.0)
    keep_m = farthest + 2.0 * longest * truth.web_speed_max_mps + 1.0
    return PlantState(
        t_s=0.0,
        steps=0,
        web=coated_web.empty(truth.lanes, keep_m),
        lips=actuators.at_rest(truth.actuators, plant.gap_rest_um),
        pump=PumpState(pump_speed_rpm),
        disturbances=plant.disturbances.start(),
        wet=None if plant.wet is None else gauges.start(plant.wet, 0.0, 0.0),
        dry=None if plant.dry is None else gauges.start(plant.dry, 0.0, 0.0),
    )


def step(plant: Plant, state: PlantState, command: Command, dt_s: float) -> tuple[PlantState, Readings]:
    """Advance by dt_s (> 0). Effects are those at the step's start; flows and speeds are means over the step."""
    truth, effects = plant.truth, plant.timetable.at(state.t_s)
    t_s, steps = state.t_s + dt_s, state.steps + 1
    lips = actuators.move(truth.actuators, state.lips, command.gap_rest_um, dt_s, effects.bolts)
    drifts = plant.disturbances.after(state.disturbances, steps, dt_s)
    slurry = blend(truth.batches, plant.fronts, state.t_s)

    speed = plant.web_speed_mps(t_s)
    length_m = 0.5 * (plant.web_speed_mps(state.t_s) + speed) * dt_s
    local_log = plant.disturbances.local_log(drifts, effects.amplitudes, t_s)
    incidents = effects.incidents
    if incidents is not None:
        web_m = state.web.web_m
        local_log = incidents.local_log(local_log, t_s, slurry.flow_index, web_m, web_m + length_m)
    split = slot_die.split(slot_die.slot(truth.die, slurry), _lip_gap_um(plant, lips, effects), local_log)
    driven = pump.advance(truth.pump, state.pump, command.pump_speed_rpm, dt_s, effects.amplitudes.pulsation)
    displaced = driven.displaced_m3ps * _delivery(truth, drifts, effects)
    back = split
    if incidents is not None:
        back, displaced = _hindered(truth, incidents, split, displaced, slurry.density_kgm3, t_s)
    flow = pump.delivered_m3ps(truth.pump, displaced, back)

    solids_kgm3 = slurry.solids_kgm3 * _richness(truth, drifts, effects)
    volume_m3, share = flow * dt_s, split.share
    if plant.bubbles:
        volume_m3, share = _with_holes(plant, volume_m3, share, state.t_s, t_s)
    web, areal, mean = _coated(truth, state.web, length_m, solids_kgm3, volume_m3, share)

    wet, wet_scan = _scanned(plant.wet, state.wet, web, t_s, effects.wet)
    dry, dry_scan = _scanned(plant.dry, state.dry, web, t_s, effects.dry)
    following = PlantState(t_s, steps, web, lips, driven.state, drifts, wet, dry)
    return following, Readings(
        t_s=t_s,
        web_m=web.web_m,
        coated_m=length_m,
        web_speed_mps=speed,
        areal_density_gsm=areal,
        mean_gsm=mean,
        lip_motor_um=lips.motor_um,
        lip_fed_back_um=_fed_back_um(plant, lips, effects, steps),
        pump_speed_rpm=driven.state.speed_rpm,
        pump_flow_m3ps=flow,
        pump_pressure_kpa=back.pressure_pa(flow) * 1e-3,
        slurry_temperature_c=SLURRY_TEMPERATURE_C,
        encoder_valid=effects.encoder_valid,
        line_state=plant.scenario.line_state(t_s),
        batch=1 + sum(front.onset_s <= t_s for front in plant.fronts),
        scans=tuple(reading for reading in (wet_scan, dry_scan) if reading is not None),
    )


def _lip_gap_um(plant: Plant, lips: ActuatorState, effects: Effects) -> Array:
    """True opening of the lip at each lane: what the bolts make of it, and how unevenly it was set."""
    truth = plant.truth
    opening = truth.lip_response @ (lips.lip_um - plant.gap_rest_um)
    set_um = truth.gap_nominal_um + effects.amplitudes.static_profile * truth.unevenness_um
    return np.maximum(opening + set_um, OPEN_LIP_MIN_UM)


def _fed_back_um(plant: Plant, lips: ActuatorState, effects: Effects, step: int) -> Array:
    """Positions of the lip motors as their sensors have them."""
    if effects.bolts is None or effects.bolts.feedback_um is None:
        return lips.motor_um
    noisy = lips.motor_um + effects.bolts.feedback_um * plant.feedback_noise.row(step)
    return np.maximum(noisy, 0.0)  # no sensor tells of a gap below none


def _delivery(truth: Truth, drifts: DisturbanceState, effects: Effects) -> float:
    """What the pump delivers against its calibration, before slip under pressure."""
    amplitudes = effects.amplitudes
    lost = amplitudes.slip * drifts.slip + effects.slip_step
    return 1.0 - lost + amplitudes.set_up_offset * truth.pump_offset


def _hindered(
    truth: Truth, incidents: Incidents, split: Split, displaced_m3ps: float, density_kgm3: float, t_s: float
) -> tuple[Split, float]:
    """What the pump pushes against with a filter between it and the die, and what it displaces from a low tank.

    Slip is linear in the pressure across the pump, so what the inlet lacks is lost at once.
    """
    back = replace(split, pressure_coefficient=split.pressure_coefficient * incidents.pressure_factor(t_s))
    lost_m3ps = incidents.suction_pa(t_s, density_kgm3) / truth.pump.slip_resistance_pa_s_per_m3
    return back, displaced_m3ps - lost_m3ps


def _with_holes(plant: Plant, volume_m3: float, share: Array, from_s: float, to_s: float) -> tuple[float, Array]:
    """Slurry that is left and how it is shared out (mean 1), where air was pumped in place of some of it."""
    left = left_of_film(plant.bubbles, from_s, to_s)
    if left is None:
        return volume_m3, share
    holed = share * left
    mean = float(holed.sum()) / holed.size
    return volume_m3 * mean, holed / mean


def _richness(truth: Truth, drifts: DisturbanceState, effects: Effects) -> float:
    """Solids of the slurry against its batch, as seen in areal density."""
    amplitudes = effects.amplitudes
    return 1.0 + amplitudes.solids * drifts.solids + amplitudes.set_up_offset * truth.solids_offset


def _coated(
    truth: Truth, web: Web, length_m: float, solids_kgm3: float, volume_m3: float, share: Array
) -> tuple[Web, Array, float]:
    """Spread a step's slurry over the web that passed. What comes out over a standing web drips and is lost."""
    if length_m <= 1e-9:
        return web, np.zeros(truth.lanes), 0.0
    mean = 1e3 * solids_kgm3 * volume_m3 / (truth.width_m * length_m)
    if mean < BARE_SHARE * truth.target_gsm:
        mean = 0.0
    areal = mean * share
    return coated_web.coat(web, length_m, areal, solids_kgm3 * 1e-3), areal, mean


def _scanned(
    gauge: Gauge | None, state: GaugeState | None, web: Web, t_s: float, faults: gauges.GaugeFaults
) -> tuple[GaugeState | None, GaugeReading | None]:
    if gauge is None or state is None:
        return None, None
    return gauges.scan(gauge, state, web, t_s, faults)
