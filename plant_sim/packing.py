"""Fills plant_sim.layout's records from a truth, its scenario and what is played. Imported by plant_sim.plant."""

from __future__ import annotations

import math

import numpy as np

from controller.line.description import Array
from plant_sim import die as slot_die
from plant_sim import slurry, web
from plant_sim.actuators import fault_rows
from plant_sim.disturbances import DRIFT_PERIOD_S, keep_of
from plant_sim.faults import Effects
from plant_sim.gauges import BIAS_PERIOD_S, BOX_CORRELATION, GaugeFaults, GaugeTruth
from plant_sim.incidents import Bubble, Incidents, Rise, rows_of, tilt_and_bow
from plant_sim.layout import (
    GAUGE,
    GAUGE_NOW,
    GAUGE_OUT,
    GAUGE_STATE,
    LINE,
    NOW,
    OUT,
    STATE,
    Conditions,
    Constants,
    Outcome,
    State,
    Vectors,
)
from plant_sim.noise import TAPS, generator, smooth_row, smooth_taps, stream
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth

FOIL_CORRELATION = 0.3  # of foil thickness across the web, in shares of the width
SCRATCH_ROWS = 8
NEVER = 2**62


class Sizes:
    """How many numbers a line's state and outcome need; what their offsets count."""

    def __init__(self) -> None:
        self.state, self.outcome = Vectors(), Vectors()


def constants_of(
    truth: Truth, scenario: Scenario, bubbles: tuple[Bubble, ...], seed: int, row_min_m: float
) -> tuple[Constants, Sizes]:
    """All that never changes while this line runs."""
    lines, gauges = np.zeros(1, LINE), np.zeros((1, 2), GAUGE)
    vectors, sizes = Vectors(), Sizes()
    one = lines[0]
    _put_machine(one, truth, vectors, sizes)
    _put_slurry(one, truth, scenario, bubbles, vectors)
    _put_drifts(one, truth, seed, vectors)
    one["row_min_m"] = row_min_m
    for g, gauge in enumerate((truth.wet, truth.dry)):
        if gauge is not None:
            _put_gauge(gauges[0, g], gauge, truth, seed, vectors, sizes)
    return Constants(lines, gauges, vectors.row()), sizes


def _put_machine(one: np.void, truth: Truth, vectors: Vectors, sizes: Sizes) -> None:
    """Lips, die and pump."""
    drives, die, pump = truth.actuators, truth.die, truth.pump
    fixed = slot_die.fixed_sections(die)
    tilt, bow = tilt_and_bow(truth.lanes)
    for name, values in (
        ("at_response", truth.lip_response.T),
        ("at_unevenness", truth.unevenness_um),
        ("at_compliance", truth.compliance_um_per_pa),
        ("at_droop", slot_die.droop_table(die)),
        ("at_fixed", fixed),
        ("at_rate", drives.rate_um_per_s),
        ("at_backlash", drives.backlash_um),
        ("at_tilt", tilt),
        ("at_bow", bow),
    ):
        one[name] = vectors.put(values)
    for name in ("s_motor", "s_lip"):
        one[name] = sizes.state.room(truth.zones)
    for name in (
        "s_opening",
        "s_droop",
        "s_base",
        "s_answer",
        "s_slow",
        "s_slow_next",
        "s_fast",
        "s_fast_next",
        "s_profile",
    ):
        one[name] = sizes.state.room(truth.lanes)
    one["s_waiting"] = sizes.state.room(web.COLUMNS)
    one["o_areal"], one["o_fed_back"] = sizes.outcome.room(truth.lanes), sizes.outcome.room(truth.zones)
    one["zones"], one["lanes"], one["fixed"] = truth.zones, truth.lanes, fixed.size
    one["width_m"], one["target_gsm"], one["foil_gsm"] = truth.width_m, truth.target_gsm, truth.foil_gsm
    one["gap_nominal_um"], one["lip_length_m"] = truth.gap_nominal_um, die.lip_length_m
    one["design_index"], one["pressure_set_pa"] = die.design_flow_index, truth.pressure_set_pa
    one["web_speed_mps"], one["web_speed_max_mps"] = truth.web_speed_mps, truth.web_speed_max_mps
    one["displacement_m3_per_rev"], one["efficiency"] = pump.displacement_m3_per_rev, pump.efficiency
    one["slip_m3ps_per_pa"], one["lag_s"] = 1.0 / pump.slip_resistance_pa_s_per_m3, pump.lag_s
    one["speed_max_rpm"], one["pulsation"], one["pulses_per_rev"] = (
        pump.speed_max_rpm,
        pump.pulsation,
        pump.pulses_per_rev,
    )
    one["pump_offset"], one["solids_offset"] = truth.pump_offset, truth.solids_offset


def _put_slurry(one: np.void, truth: Truth, scenario: Scenario, bubbles: tuple[Bubble, ...], vectors: Vectors) -> None:
    """Batches and their fronts, changes of speed, holes."""
    for name, values in (
        ("batches", slurry.rows_of(truth.batches)),
        ("fronts", slurry.rows_of(scenario.fronts())),
        ("speed", scenario.speed_rows()),
        ("bubbles", rows_of(bubbles)),
    ):
        one["at_" + name], one[name] = vectors.put(values), values.size
    first = truth.batches[0]
    one["shear_rate_set"], one["viscosity_set"] = truth.shear_rate_set_per_s, truth.viscosity_pa_s(first)


def _put_drifts(one: np.void, truth: Truth, seed: int, vectors: Vectors) -> None:
    """Sizes and streams of what drifts. Both cross-web drifts hear knots of one correlation length."""
    sizes = truth.drifts
    knots, first, weights = smooth_taps(truth.lanes_mm / truth.zone_pitch_mm, sizes.slow_cd_zones)
    one["knots"], one["at_first"], one["at_weights"] = knots, vectors.put(first), vectors.put(weights)
    for name, size, tau_s in (
        ("slow", sizes.slow_cd, sizes.slow_cd_tau_s),
        ("fast", sizes.fast_cd, sizes.fast_cd_tau_s),
    ):
        one[f"{name}_cd"], one[f"{name}_keep"] = size, keep_of(tau_s, DRIFT_PERIOD_S)
        one[f"{name}_key"] = stream(seed, f"{name}-cd-drift")
    one["slip"], one["slip_keep"] = sizes.slip, keep_of(sizes.slip_tau_s, DRIFT_PERIOD_S)
    one["solids"], one["solids_keep"] = sizes.solids, keep_of(sizes.solids_tau_s, DRIFT_PERIOD_S)
    one["foil_keep"], one["white_cd"] = keep_of(sizes.foil_tau_s, DRIFT_PERIOD_S), sizes.white_cd
    for name, of in (
        ("slip_key", "pump-slip-drift"),
        ("solids_key", "solids-drift"),
        ("foil_key", "foil-variation"),
        ("white_key", "white-cd"),
        ("feedback_key", "lip-feedback-noise"),
    ):
        one[name] = stream(seed, of)


def _put_gauge(one: np.void, gauge: GaugeTruth, truth: Truth, seed: int, vectors: Vectors, sizes: Sizes) -> None:
    name, boxes = gauge.kind.value, gauge.boxes
    across = np.arange(boxes, dtype=np.float64)
    knots, first, weights = smooth_taps(across, BOX_CORRELATION)
    edges = np.linspace(0.0, float(truth.lanes), boxes + 1)
    one["kind"], one["boxes"], one["lanes"], one["knots"], one["taps"] = gauge.code, boxes, truth.lanes, knots, TAPS
    one["at_edges"], one["at_first"], one["at_weights"] = vectors.put(edges), vectors.put(first), vectors.put(weights)
    for side in ("foil", "back"):
        drawn = smooth_row(generator(seed, f"{side}-across"), (across + 0.5) / boxes, FOIL_CORRELATION)
        one[f"at_{side}"] = vectors.put(drawn)
    one["s_memory"], one["s_last"] = sizes.state.room(3 * boxes), sizes.state.room(boxes)
    one["o_values"] = sizes.outcome.room(boxes)
    for field in ("distance_m", "period_s", "noise", "depth", "bias_common", "bias_box", "full_scale"):
        one[field] = getattr(gauge, field)
    one["target"] = truth.target_gsm
    one["bias_keep"] = keep_of(gauge.bias_tau_s, max(BIAS_PERIOD_S, gauge.period_s))
    one["lanes_per_mm"] = truth.lanes / (1e3 * truth.width_m)
    if gauge.head_speed_mps > 0.0:
        one["head_lanes_per_s"] = truth.lanes / truth.width_m * gauge.head_speed_mps
        one["spot_lanes"] = 0.5 * gauge.spot_mm * one["lanes_per_mm"]
        one["travel_s"] = truth.width_m / gauge.head_speed_mps
    for field, of in (
        ("noise_key", "noise"),
        ("edge_key", "edges"),
        ("common_key", "bias-common"),
        ("box_key", "bias-box"),
        ("outlier_key", "outliers"),
    ):
        one[field] = stream(seed, f"{name}.{of}")


def start_of(constants: Constants, sizes: Sizes, pump_speed_rpm: float) -> State:
    """Lips at rest at the nominal gap, pump turning, web running and bare."""
    lines, gauges = np.zeros(1, STATE), np.zeros((1, 2), GAUGE_STATE)
    numbers = sizes.state.row()
    one, line = lines[0], constants.lines[0]
    one["end"], one["pump_rpm"], one["slot_index"] = 1, pump_speed_rpm, math.nan
    one["slot_static"] = one["slot_pressure_pa"] = math.nan
    for at in (line["s_motor"], line["s_lip"]):
        numbers[0, at : at + line["zones"]] = line["gap_nominal_um"]
    gauges["due_s"] = constants.gauges["period_s"]
    gauges["next_direction"] = 1
    gauges["cursor"][constants.gauges["kind"] == 0] = NEVER  # who is not there holds no web back
    for gauge in constants.gauges[0]:
        numbers[0, gauge["s_last"] : gauge["s_last"] + gauge["boxes"]] = math.nan
    return State(lines, gauges, numbers)


def room_for_outcome(sizes: Sizes) -> Outcome:
    """Where a step puts what happened."""
    return Outcome(
        np.ndarray(1, OUT, bytearray(OUT.itemsize)),
        np.ndarray((1, 2), GAUGE_OUT, bytearray(2 * GAUGE_OUT.itemsize)),
        np.zeros((1, sizes.outcome.size)),
    )


def scratch_for(constants: Constants) -> Array:
    """Room that a step works in, for the widest line of a batch."""
    widest = max(int(constants.lines[name].max()) for name in ("lanes", "zones", "knots"))
    boxes = max(int(constants.gauges[name].max()) for name in ("boxes", "knots"))
    return np.zeros((SCRATCH_ROWS, max(widest, boxes, 16) + 2))


def conditions_of(effects: Effects) -> Conditions:
    """What is played in an interval, as the compiled step reads it."""
    now, gauges, vectors = np.zeros(1, NOW), np.zeros((1, 2), GAUGE_NOW), Vectors()
    one, amplitudes = now[0], effects.amplitudes
    for name in ("static_profile", "set_up_offset", "slow_cd", "fast_cd", "white_cd", "slip", "solids", "pulsation"):
        one[name] = getattr(amplitudes, name)
    for name in ("slip_step", "foil_variation", "foil_step", "b_side", "patch_m", "gap_m", "lifted"):
        one[name] = getattr(effects, name)
    if effects.bolts is not None:
        rows = np.concatenate(fault_rows(effects.bolts))
        one["bolts"], one["at_bolts"] = rows.size, vectors.put(rows)
        if effects.bolts.feedback_um is not None:
            one["feedback"] = effects.bolts.feedback_um.size
            one["at_feedback"] = vectors.put(effects.bolts.feedback_um)
    if effects.incidents is not None:
        _put_incidents(one, effects.incidents, vectors)
    for g, faults in enumerate((effects.wet, effects.dry)):
        _put_gauge_faults(gauges[0, g], faults, vectors)
    return Conditions(now, gauges, vectors.row())


def _put_incidents(one: np.void, incidents: Incidents, vectors: Vectors) -> None:
    if incidents.streak_log is not None:
        one["streaks"], one["at_streaks"] = incidents.streak_log.size, vectors.put(incidents.streak_log)
    run_outs = np.array(incidents.run_outs, dtype=np.float64)
    one["run_outs"], one["at_run_outs"] = run_outs.size, vectors.put(run_outs)
    for name in ("clogs", "levels", "temperatures"):
        rises = _rises(getattr(incidents, name))
        one[name], one["at_" + name] = rises.size, vectors.put(rises)
    for name in ("warmths", "bows"):
        shapes = [np.concatenate(([rise.onset_s, rise.ramp_s], shape)) for rise, shape in getattr(incidents, name)]
        rows = np.concatenate(shapes or [np.empty(0)])
        one[name], one["at_" + name] = rows.size, vectors.put(rows)


def _put_gauge_faults(one: np.void, faults: GaugeFaults, vectors: Vectors) -> None:
    for name in ("silent", "frozen", "outlier_chance", "outlier_size", "bias"):
        one[name] = getattr(faults, name)
    one["dropout_from"], one["dropout_to"] = faults.dropout
    drifts = np.array(faults.drifts, dtype=np.float64)
    one["drifts"], one["at_drifts"] = drifts.size, vectors.put(drifts)
    shifts = _rises(faults.shifts)
    one["shifts"], one["at_shifts"] = shifts.size, vectors.put(shifts)


def _rises(rises: tuple[Rise, ...]) -> Array:
    return np.array([(rise.onset_s, rise.ramp_s, rise.size) for rise in rises], dtype=np.float64)
