"""The plant: step(plant, state, command, dt) -> (state, readings), pure and deterministic in its seed.

The arithmetic is plant_sim.step's, compiled; this is its face for one line, where older states stay usable. Many lines
in one call: plant_sim.batch. Knows nothing of frames. Imported by plant_sim, tests and benchmarks.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from controller.line.description import Array, GaugeKind
from controller.line.profile import LineState
from plant_sim import layout, packing, web
from plant_sim.compiled import doubles
from plant_sim.faults import Effects, Timetable, forget_oldest
from plant_sim.gauges import GaugeReading
from plant_sim.incidents import Bubble, covered
from plant_sim.layout import Conditions, Constants, Outcome, State, Web
from plant_sim.packing import Sizes
from plant_sim.scenario import Scenario
from plant_sim.step import advance
from plant_sim.truth import Truth

SLURRY_TEMPERATURE_C = 25.0
USUAL_STEP_S = 0.1
ROW_MIN_S = 0.02  # at nominal speed: a web at a fifth of it still has a row for every tenth of a second


@dataclass(frozen=True, slots=True, eq=False)
class Plant:
    """A true line, what happens to it, and its random streams. Never changes while it runs."""

    truth: Truth
    scenario: Scenario
    seed: int
    timetable: Timetable
    constants: Constants
    sizes: Sizes
    rows: int  # of web that a state keeps
    gap_rest_um: Array  # where lips stand when nobody has touched them, shape (zones,)
    places: tuple[int, int, int]  # of areal density and fed-back lips in an outcome, of motors in a state
    gauges: tuple[tuple[GaugeKind, int, int], ...]  # wet and dry: kind, place of the boxes in an outcome, their number
    fronts_s: tuple[float, ...]  # when batches change
    changes: bool  # speed or way of running: line_state is worth asking for
    _played: dict[int, Conditions]

    @staticmethod
    def of(truth: Truth, scenario: Scenario, seed: int, row_min_m: float | None = None) -> Plant:
        """A plant of this truth. Web shorter than row_min_m (a fiftieth of a second's) is kept as one row."""
        bubbles = _bubbles(truth, scenario)
        row_m = row_min_m or ROW_MIN_S * truth.web_speed_mps
        constants, sizes = packing.constants_of(truth, scenario, bubbles, seed, row_m)
        boxes = {"wet": 0 if truth.wet is None else truth.wet.boxes, "dry": 0 if truth.dry is None else truth.dry.boxes}
        return Plant(
            truth=truth,
            scenario=scenario,
            seed=seed,
            timetable=Timetable(scenario.plays, truth.zones, boxes, truth.lanes_mm),
            constants=constants,
            sizes=sizes,
            rows=web.capacity(_keep_m(truth), row_m),
            gap_rest_um=np.full(truth.zones, truth.gap_nominal_um),
            places=tuple(int(constants.lines[0][name]) for name in ("o_areal", "o_fed_back", "s_motor")),
            gauges=tuple(
                (GaugeKind.WET_ARRAY if one is None else one.kind, int(at), 0 if one is None else one.boxes)
                for one, at in zip((truth.wet, truth.dry), constants.gauges[0]["o_values"], strict=True)
            ),
            fronts_s=tuple(front.onset_s for front in scenario.fronts()),
            changes=scenario.has_speed_changes,
            _played={},
        )

    def web_speed_mps(self, t_s: float) -> float:
        """Speed of the web, as the scenario has it."""
        return _web_speed_mps(self.truth, self.scenario, t_s)

    def conditions(self, interval: int, t_s: float) -> Conditions:
        """What is played at t_s, which lies in this interval of the timetable."""
        known = self._played.get(interval)
        if known is None:
            forget_oldest(self._played)
            known = self._played[interval] = packing.conditions_of(self.timetable.at(t_s))
        return known


class PlantState(NamedTuple):
    """Everything that a step reads and writes; older states stay usable."""

    t_s: float
    packed: State
    web: web.Rows
    scratch: Array

    def vector(self, plant: Plant, name: str) -> Array:
        """A vector of the state by its name in plant_sim.layout (s_...), for those who look inside."""
        size = plant.truth.zones if name in ("s_motor", "s_lip") else plant.truth.lanes
        at = int(plant.constants.lines[0][name])
        inside: Array = self.packed.numbers[0, at : at + size]
        return inside


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """What nodes ask of the machine: where lip motors shall come to rest (actuators.reachable), and pump speed."""

    gap_rest_um: Array
    pump_speed_rpm: float


class Readings(NamedTuple):
    """What happened in one step. `areal_density_gsm` is the truth that is judged: dry, as coated at the die, lanes."""

    t_s: float
    web_m: float
    coated_m: float  # web that passed in this step and was meant to be coated
    web_speed_mps: float  # at the end of the step
    areal_density_gsm: Array  # of the web meant to be coated, shape (lanes,); zeros where the foil stayed bare
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


def _keep_m(truth: Truth) -> float:
    """Web that some gauge has yet to see."""
    present = [gauge for gauge in (truth.wet, truth.dry) if gauge is not None]
    farthest = max((gauge.distance_m for gauge in present), default=0.0)
    return farthest + 2.0 * max((gauge.period_s for gauge in present), default=0.0) * truth.web_speed_max_mps + 1.0


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
    packed = packing.start_of(plant.constants, plant.sizes, pump_speed_rpm)
    return PlantState(0.0, packed, web.Rows(plant.rows, plant.truth.lanes), packing.scratch_for(plant.constants))


def step(plant: Plant, state: PlantState, command: Command, dt_s: float) -> tuple[PlantState, Readings]:
    """Advance by dt_s (> 0). Effects are those at the step's start; flows and speeds are means over the step.

    Raises ValueError for a command of another number of zones.
    """
    interval = plant.timetable.interval(state.t_s)
    effects, conditions = plant.timetable.at(state.t_s), plant.conditions(interval, state.t_s)
    packed = layout.copy_of(state.packed)
    rows = _room(packed, state.web)
    outcome = packing.room_for_outcome(plant.sizes)
    if command.gap_rest_um.shape != plant.gap_rest_um.shape:
        raise ValueError(f"gap_rest_um: shape {command.gap_rest_um.shape}, expected {plant.gap_rest_um.shape}")
    rest_um, rpm = doubles(command.gap_rest_um).reshape(1, -1), np.array([command.pump_speed_rpm], dtype=np.float64)
    coated = Web(rows.marks[None], rows.profiles[None])
    advance(plant.constants, conditions, packed, coated, outcome, rest_um, rpm, dt_s, state.scratch)
    rows.used = packed.lines["end"].item()
    return _read(plant, effects, packed, rows, outcome, state)


def compile_ahead(plant: Plant) -> None:
    """Make sure that the step is compiled, so that no clock has to wait for it. Quick when it is kept on disk."""
    step(plant, start(plant, 0.0), Command(plant.gap_rest_um, 0.0), USUAL_STEP_S)


def _room(packed: State, rows: web.Rows) -> web.Rows:
    """Storage that this state may append to: its own, or a copy when a later state has written there or it is full."""
    end: int = packed.lines["end"].item()
    if rows.used == end and end < rows.marks.shape[0]:
        return rows
    first = max(min(int(packed.gauges["cursor"].min()), end) - 1, 0)
    copy = web.Rows(*rows.profiles.shape)
    copy.marks[: end - first], copy.profiles[: end - first] = rows.marks[first:end], rows.profiles[first:end]
    packed.lines["end"] -= first
    packed.gauges["cursor"] -= first
    return copy


def _read(
    plant: Plant, effects: Effects, packed: State, rows: web.Rows, outcome: Outcome, before: PlantState
) -> tuple[PlantState, Readings]:
    """The state and the readings, in the words of the line."""
    t_s, web_m, length_m, coated_m, speed, mean, rpm, flow, pressure_pa, warmer_k = outcome.lines.tolist()[0]
    told = outcome.numbers[0]
    lanes, zones = plant.truth.lanes, plant.truth.zones
    o_areal, o_fed_back, s_motor = plant.places
    following = PlantState(t_s, packed, rows, before.scratch)
    return following, Readings(
        t_s=t_s,
        web_m=web_m,
        coated_m=coated_m,
        web_speed_mps=speed,
        areal_density_gsm=told[o_areal : o_areal + lanes],
        mean_gsm=mean,
        lip_motor_um=packed.numbers[0, s_motor : s_motor + zones],
        lip_fed_back_um=told[o_fed_back : o_fed_back + zones],
        pump_speed_rpm=rpm,
        pump_flow_m3ps=flow,
        pump_pressure_kpa=pressure_pa * 1e-3,
        slurry_temperature_c=SLURRY_TEMPERATURE_C + warmer_k,
        encoder_valid=effects.encoder_valid,
        line_state=_line_state(plant, effects, t_s, length_m, coated_m),
        batch=1 + bisect_right(plant.fronts_s, t_s),
        scans=tuple(
            _scan(gauge, *said, told)
            for gauge, said in zip(plant.gauges, outcome.gauges.tolist()[0], strict=True)
            if said[0]
        ),
    )


def _line_state(plant: Plant, effects: Effects, t_s: float, length_m: float, coated_m: float) -> LineState:
    """As the PLC has it; a gap between patches is one when a whole step lies in it."""
    if effects.patch_m > 0.0 and length_m > 0.0 and coated_m == 0.0:
        return LineState.PATCH_GAP
    return plant.scenario.line_state(t_s) if plant.changes else LineState.RUNNING


def _scan(
    gauge: tuple[GaugeKind, int, int],
    _said: int,
    scans: int,
    direction: int,
    t_s: float,
    web_m: float,
    left_mm: float,
    right_mm: float,
    told: Array,
) -> GaugeReading:
    kind, at, boxes = gauge
    return GaugeReading(kind, scans, t_s, web_m, told[at : at + boxes], (left_mm, right_mm), direction)
