"""The plant's step, fused and compiled: for each line of a batch, in the order a coater works.

Lips turn, slurry and drifts change, the die divides the pump's flow, the web carries it away, gauges see it later.
One line is a batch of one, so it gives the same bytes alone and in company. State is changed in place; plant_sim.plant
keeps older states, plant_sim.batch does not. Records and offsets are plant_sim.layout's. Imported by those two.
"""
# mypy: ignore-errors

from __future__ import annotations

import math

from plant_sim import actuators, disturbances, gauges, incidents, noise, pump, scenario, slurry
from plant_sim import die as slot_die
from plant_sim import web as coated_web
from plant_sim.compiled import Straight, add, add_weighed, compiled, dot, put, weigh
from plant_sim.gauges import SCANNER, part

BARE_SHARE = 0.02  # less than this share of the target does not wet the foil
STANDING_M = 1e-9
FIRST_ORDER = 2e-5  # a lane's flow may move by so much with the lip's opening before the split is worked out anew
SPLITS_MAX = 8


@Straight
@compiled
def advance(constants, conditions, state, web, outcome, rest_um, rpm, dt_s, scratch):
    """Advance every line of a batch by dt_s (> 0). rest_um: (lines, zones or more), rpm: (lines,), both `doubles`."""
    for b in range(constants.lines.size):
        _advance_one(
            constants.lines[b],
            constants.gauges[b],
            constants.numbers[b],
            conditions.now[b],
            conditions.gauges[b],
            conditions.numbers[b],
            state.lines[b],
            state.gauges[b],
            state.numbers[b],
            web.marks[b],
            web.profiles[b],
            outcome.lines[b],
            outcome.gauges[b],
            outcome.numbers[b],
            rest_um[b],
            rpm[b],
            dt_s,
            scratch,
        )


@compiled
def _advance_one(
    line, gauge, numbers, now, gauge_now, played, state, seen, held, marks, profiles, out, said, told, rest_um, rpm,
    dt_s, scratch
):  # fmt: skip
    lanes = line.lanes
    from_s, to_s = state.t_s, state.t_s + dt_s
    state.steps += 1
    _turn_lips(line, numbers, now, played, state, held, told, rest_um[: line.zones], dt_s, scratch[0][: line.zones])
    _drift(line, numbers, state, held, to_s, scratch)
    batches, fronts = part(numbers, line.at_batches, line.batches), part(numbers, line.at_fronts, line.fronts)
    k, n, density, solids = slurry.blended(batches, fronts, from_s)
    warmer_k = _risen(played, now.at_temperatures, now.temperatures, from_s)
    k *= math.exp(-incidents.THINNING_PER_K * warmer_k)
    before_mps, after_mps = _speed(line, numbers, from_s), _speed(line, numbers, to_s)
    length_m = 0.5 * (before_mps + after_mps) * dt_s
    local, share = scratch[5][:lanes], scratch[6][:lanes]
    _local_log(line, numbers, now, played, state, held, n, length_m, from_s, to_s, local, scratch[7][:lanes])

    displaced = _displaced(line, now, state, rpm, dt_s)
    displaced -= _risen(played, now.at_levels, now.levels, to_s) * density * incidents.GRAVITY_MPS2 * _slip(line, k, n)
    thicker = 1.0 + _risen(played, now.at_clogs, now.clogs, to_s)
    flow = _divide(line, numbers, now, played, state, held, k, n, displaced, thicker, to_s, local, share, scratch)
    bubbles = part(numbers, line.at_bubbles, line.bubbles)
    left = incidents.pierce(bubbles, lanes, from_s, to_s, share)
    richness = 1.0 + now.solids * _between(state, state.solids, state.solids_next)
    solids_kgm3 = density * solids * (richness + now.set_up_offset * line.solids_offset)
    mass = 1e3 * solids_kgm3 * flow * left * dt_s
    _coat(line, now, state, held, marks, profiles, seen, out, told, length_m, mass, solids_kgm3 * 1e-3, share)

    state.t_s = to_s
    out.t_s, out.web_m, out.length_m, out.web_speed_mps = to_s, state.web_m, length_m, after_mps
    out.flow_m3ps, out.pressure_pa = flow, state.pressure_pa * thicker
    out.pump_rpm, out.temperature_k = state.pump_rpm, warmer_k
    for g in range(2):
        if gauge[g].kind != 0:
            _gauge(
                gauge[g], seen[g], gauge_now[g], numbers, played, held, marks, profiles, state, said[g], told, dt_s,
                scratch, line.width_m
            )  # fmt: skip


@compiled
def _speed(line, numbers, t_s):
    share = scenario.speed_share(part(numbers, line.at_speed, line.speed), t_s)
    return min(line.web_speed_mps * share, line.web_speed_max_mps) if line.speed > 0 else line.web_speed_mps


@compiled
def _risen(played, at, size, t_s):
    """Sum of things that rise: onset, ramp and size, one after another."""
    sum_of = 0.0
    for i in range(at, at + size, 3):
        sum_of += played[i + 2] * incidents.risen(played[i], played[i + 1], t_s)
    return sum_of


@compiled
def _turn_lips(line, numbers, now, played, state, held, told, rest_um, dt_s, drawn):
    """Motors, lips, what is fed back of them, and the opening that the lip's beam makes of the bolts that moved."""
    zones, lanes = line.zones, line.lanes
    motor, lip, opening = (
        part(held, line.s_motor, zones),
        part(held, line.s_lip, zones),
        part(held, line.s_opening, lanes),
    )
    rate, backlash = part(numbers, line.at_rate, zones), part(numbers, line.at_backlash, zones)
    fed_back = part(told, line.o_fed_back, zones)
    put(lip, fed_back)  # for the moment: where lips stood
    if now.bolts == 0:
        actuators.turn_bolts(motor, lip, rest_um, rate, backlash, dt_s)
    else:
        at = now.at_bolts
        actuators.turn_faulty_bolts(
            motor, lip, rest_um, rate, backlash, dt_s, part(played, at, zones), part(played, at + zones, zones),
            part(played, at + 2 * zones, zones), part(played, at + 3 * zones, zones),
            part(played, at + 4 * zones, zones)
        )  # fmt: skip
    for z in range(zones):
        moved = lip[z] - fed_back[z]
        if moved != 0.0:
            state.slot_pressure_pa = math.nan
            response = part(numbers, line.at_response + z * lanes, lanes)
            for i in range(lanes):
                opening[i] += moved * response[i]
    put(motor, fed_back)
    if now.feedback > 0:
        noisy = part(played, now.at_feedback, zones)
        noise.normals(line.feedback_key, state.steps, drawn)
        for z in range(zones):
            fed_back[z] = max(motor[z] + noisy[z] * drawn[z], 0.0)  # no sensor tells of a gap below none


@compiled
def _drift(line, numbers, state, held, t_s, scratch):
    """Draw drifts for every period that has begun by now; between two draws they go in a straight line."""
    period_s, lanes = disturbances.DRIFT_PERIOD_S, line.lanes
    first, weights = part(numbers, line.at_first, lanes), part(numbers, line.at_weights, lanes * noise.TAPS)
    knots, drawn = scratch[0][: line.knots], scratch[1][:lanes]
    while (state.drawn - 1) * period_s <= t_s:
        row = state.drawn
        state.slip, state.solids, state.foil = state.slip_next, state.solids_next, state.foil_next
        slow, fast = part(held, line.s_slow_next, lanes), part(held, line.s_fast_next, lanes)
        put(slow, part(held, line.s_slow, lanes))
        put(fast, part(held, line.s_fast, lanes))
        state.slip_next = disturbances.follow(line.slip_key, row, line.slip, line.slip_keep, state.slip)
        state.solids_next = disturbances.follow(line.solids_key, row, line.solids, line.solids_keep, state.solids)
        state.foil_next = disturbances.follow(line.foil_key, row, 1.0, line.foil_keep, state.foil)
        disturbances.follow_smooth(
            line.slow_key, row, line.slow_cd, line.slow_keep, slow, first, weights, knots, drawn
        )  # fmt: skip
        disturbances.follow_smooth(
            line.fast_key, row, line.fast_cd, line.fast_keep, fast, first, weights, knots, drawn
        )  # fmt: skip
        state.drawn += 1
    state.drifting_s = t_s


@compiled
def _between(state, before, after):
    """A drift's value now, between its last draw and its next."""
    at = state.drifting_s / disturbances.DRIFT_PERIOD_S - (state.drawn - 2)
    return before + at * (after - before)


@compiled
def _local_log(line, numbers, now, played, state, held, n, length_m, from_s, to_s, local, drawn):
    """ln of the local factors of flow, shape (lanes,): drifts, white unevenness, streaks, run-out, warm slurry."""
    lanes = line.lanes
    slow, slow_next = part(held, line.s_slow, lanes), part(held, line.s_slow_next, lanes)
    fast, fast_next = part(held, line.s_fast, lanes), part(held, line.s_fast_next, lanes)
    at = _between(state, 0.0, 1.0)
    slow_before, slow_after = now.slow_cd * (1.0 - at), now.slow_cd * at
    fast_before, fast_after = now.fast_cd * (1.0 - at), now.fast_cd * at
    weigh(slow, slow_before, slow_next, slow_after, local)
    add_weighed(fast, fast_before, fast_next, fast_after, local)
    if now.white_cd > 0.0 and line.white_cd > 0.0:
        disturbances.add_white(line.white_key, now.white_cd * line.white_cd, from_s, to_s, drawn, local)
    if now.streaks > 0:
        add(part(played, now.at_streaks, lanes), 1.0, local)
    tilt, bow = part(numbers, line.at_tilt, lanes), part(numbers, line.at_bow, lanes)
    for r in range(now.at_run_outs, now.at_run_outs + now.run_outs, 2):
        incidents.add_run_out(tilt, bow, played[r], played[r + 1], state.web_m, state.web_m + length_m, local)
    for r in range(now.at_warmths, now.at_warmths + now.warmths, 2 + lanes):
        factor = incidents.THINNING_PER_K / n * incidents.risen(played[r], played[r + 1], to_s)
        add(part(played, r + 2, lanes), factor, local)


@compiled
def _slip(line, k, n):
    """Slip per pressure: what leaks is as thin as what is pumped, so its resistance goes with the viscosity."""
    return line.slip_m3ps_per_pa * line.viscosity_set / (k * line.shear_rate_set ** (n - 1.0))


@compiled
def _displaced(line, now, state, rpm, dt_s):
    """What the pump displaces on average in the step, before slip under pressure, m3/s."""
    state.pump_rpm, state.phase, displaced = pump.driven(
        state.pump_rpm, state.phase, rpm, dt_s, line.lag_s, line.speed_max_rpm, line.pulses_per_rev,
        line.pulsation * now.pulsation, line.displacement_m3_per_rev * line.efficiency
    )  # fmt: skip
    lost = now.slip * _between(state, state.slip, state.slip_next) + now.slip_step
    delivery = 1.0 - lost + now.set_up_offset * line.pump_offset
    return displaced * delivery


@compiled
def _divide(line, numbers, now, played, state, held, k, n, displaced, thicker, t_s, local, share, scratch):
    """Pressure, opening of the lip and split of the flow, solved together; fills `share` (mean 1), returns the flow.

    What the lips' opening and the slot make of each lane is kept with the pressure it was worked out at, and how it
    changes with pressure; Newton gives the pressure where flow, slip and opening agree. It is worked out anew when lips
    or slurry change or pressure has gone too far for a straight line.
    """
    lanes = line.lanes
    base, answer = part(held, line.s_base, lanes), part(held, line.s_answer, lanes)
    slip, ln_stress = _slip(line, k, n) * thicker, math.log(slot_die.stress_factor(k, n))
    about = state.pressure_pa if state.pressure_pa > 0.0 else line.pressure_set_pa
    if n != state.slot_index or now.bows > 0 or now.static_profile != state.slot_static:
        state.slot_pressure_pa = math.nan
        state.slot_static = now.static_profile
        if n != state.slot_index:
            _fill_slot(line, numbers, state, held, n, scratch[0][:lanes])
    for _ in range(SPLITS_MAX):
        if not abs(state.softest * (about - state.slot_pressure_pa)) < FIRST_ORDER:
            gap = scratch[2][:lanes]
            _set_gap(line, numbers, now, played, held, t_s, gap)
            compliance, droop = part(numbers, line.at_compliance, lanes), part(held, line.s_droop, lanes)
            pressed_pa = about - line.pressure_set_pa
            state.softest = slot_die.resist(
                n, line.lip_length_m, state.slot_fixed, droop, gap, compliance, pressed_pa, base, answer
            )
            state.slot_pressure_pa = about
        mean = slot_die.flows(base, local, share)
        softer = dot(share, answer) / lanes
        ln_coefficient = ln_stress - n * math.log(line.width_m * mean)
        settled = pump.settled_pressure_pa(
            displaced, slip, ln_coefficient, n, -n * softer / mean, state.slot_pressure_pa
        )  # fmt: skip
        about = settled if settled > 0.0 else about
        if abs(state.softest * (about - state.slot_pressure_pa)) < FIRST_ORDER:
            break
    moved = about - state.slot_pressure_pa
    mean += softer * moved
    _correct(answer, moved, 1.0 / mean, share)
    state.pressure_pa = settled
    return max(displaced - slip * settled, 0.0)


@compiled
def _correct(answer, moved_pa, part_of_mean, flow):
    """Flows against their mean, after pressure has gone on by moved_pa: to first order."""
    for i in range(flow.size):
        flow[i] *= (1.0 + answer[i] * moved_pa) * part_of_mean


@compiled
def _fill_slot(line, numbers, state, held, n, design):
    """What the split needs of a die filled with a slurry of this flow index: worked out once for it."""
    table = part(numbers, line.at_droop, slot_die.INDEX_ROWS * line.lanes)
    droop = part(held, line.s_droop, line.lanes)
    slot_die.droop_into(table, n, droop)
    slot_die.droop_into(table, line.design_index, design)
    for i in range(line.lanes):
        droop[i] -= design[i]
    state.slot_fixed = slot_die.resistance(part(numbers, line.at_fixed, line.fixed), n)
    state.slot_index = n


@compiled
def _set_gap(line, numbers, now, played, held, t_s, gap):
    """Opening of the lip at each lane before pressure: what bolts make of it, how unevenly it was set, thermal bow."""
    lanes = line.lanes
    opening, uneven = part(held, line.s_opening, lanes), part(numbers, line.at_unevenness, lanes)
    for i in range(lanes):
        gap[i] = line.gap_nominal_um + opening[i] + now.static_profile * uneven[i]
    for r in range(now.at_bows, now.at_bows + now.bows, 2 + lanes):
        grown = incidents.risen(played[r], played[r + 1], t_s)
        for i in range(lanes):
            gap[i] += grown * played[r + 2 + i]


@compiled
def _coat(line, now, state, held, marks, profiles, seen, out, told, length_m, mass_g, gsm_per_um, share):
    """Spread a step's slurry over the web that passed. What comes out over a standing web drips and is lost."""
    lanes = line.lanes
    areal = part(told, line.o_areal, lanes)
    if length_m <= STANDING_M:
        areal[:] = 0.0
        out.mean_gsm = out.coated_m = 0.0
        return
    mean = mass_g / (line.width_m * length_m)
    if mean < BARE_SHARE * line.target_gsm:
        mean = 0.0
    meant_m = _meant_m(now, state.web_m, length_m)
    if meant_m <= STANDING_M:
        mean = meant_m = 0.0
    for i in range(lanes):
        areal[i] = mean * share[i]
    foil = now.foil_variation * _between(state, state.foil, state.foil_next) + now.foil_step
    under = (1.0 / gsm_per_um, line.foil_gsm * foil, line.foil_gsm * now.foil_variation, line.target_gsm * now.b_side)
    waiting, profile = part(held, line.s_waiting, coated_web.COLUMNS), part(held, line.s_profile, lanes)
    coated_web.gather(waiting, profile, (length_m, meant_m if mean > 0.0 else 0.0), under, areal)
    state.web_m += length_m
    out.mean_gsm, out.coated_m = mean, meant_m
    if waiting[0] >= line.row_min_m:
        if state.end == marks.shape[0]:
            _make_room(state, marks, profiles, seen)
        coated_web.append(marks, profiles, state.end, state.web_m, waiting, profile)
        state.end += 1


@compiled
def _meant_m(now, web_m, length_m):
    """How much of a stretch of web the die is to coat: none when lifted, patches of patch_m with gaps between them."""
    if now.lifted != 0:
        return 0.0
    if now.patch_m <= 0.0:
        return length_m
    pitch = now.patch_m + now.gap_m
    start, end = web_m / pitch, (web_m + length_m) / pitch
    whole = (math.floor(end) - math.floor(start)) * now.patch_m
    return (
        whole
        + min((end - math.floor(end)) * pitch, now.patch_m)
        - min((start - math.floor(start)) * pitch, now.patch_m)
    )


@compiled
def _make_room(state, marks, profiles, seen):
    """Forget web that every gauge has seen, in place."""
    first = state.end - 1
    for g in range(seen.size):
        first = min(first, seen[g].cursor - 1)
    first = max(first, 1)  # whatever a gauge waits for, the next row has a place
    state.end = coated_web.forget(marks, profiles, first, state.end)
    for g in range(seen.size):
        seen[g].cursor = max(seen[g].cursor - first, 0)


@compiled
def _gauge(
    gauge, seen, now, numbers, played, held, marks, profiles, state, said, told, dt_s, scratch, width_m
):  # fmt: skip
    """Let a gauge look, and put down what it says."""
    last = part(held, gauge.s_last, gauge.boxes)
    values = part(told, gauge.o_values, gauge.boxes)
    memory = part(held, gauge.s_memory, 3 * gauge.boxes)
    if gauge.kind == SCANNER:
        spoke = gauges.scan_head(
            gauge, seen, now, numbers, played, memory, last, marks, profiles, state.end, state.web_m, state.t_s, dt_s,
            scratch, values
        )  # fmt: skip
    else:
        spoke = gauges.scan_array(
            gauge, seen, now, numbers, played, memory[: gauge.boxes], last, marks, profiles, state.end, state.web_m,
            state.t_s, scratch, values
        )  # fmt: skip
    said.said = 1 if spoke else 0
    if spoke:
        half_mm = 500.0 * width_m
        shift_mm = gauges.shift_of(part(played, now.at_shifts, now.shifts), state.t_s)
        said.scans, said.direction, said.t_s, said.web_m = seen.scans, seen.direction, seen.t_s, seen.middle_m
        said.edge_left_mm = -half_mm - shift_mm + seen.edge_noise_mm
        said.edge_right_mm = half_mm - shift_mm + seen.edge_noise_mm
