"""Many lines in one call: each gives the bytes that it gives alone, whatever its company."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_sim import families, plant
from plant_sim.batch import Batch
from plant_sim.families import FAMILIES
from plant_sim.faults import CATALOGUE, Play
from plant_sim.plant import Command, Plant
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth
from tests.plant_sim.lines_for_tests import make_line

any_line = st.tuples(st.sampled_from(sorted(FAMILIES)), st.integers(0, 10_000))
LANES = 2


def drawn(family, seed, *plays):
    line, truth = families.draw(family, seed, LANES)
    usual = families.scenario(family, seed, 10.0)
    return line, Plant.of(truth, Scenario("batch", "", usual.plays + plays), seed)


def lips(line, rng, steps):
    moves = rng.standard_normal((steps, line.zones)).cumsum(axis=0) * 0.02 * line.die.gap_nominal_um / 10.0
    return np.clip(line.die.gap_nominal_um + moves, line.lips.gap_min_um, line.lips.gap_max_um)


def alone(one, commands, rpm, dt_s):
    state, heard = plant.start(one, rpm), []
    for gap_um in commands:
        state, row = plant.step(one, state, Command(gap_um, rpm), dt_s)
        heard.append(row.areal_density_gsm.tobytes() + row.lip_motor_um.tobytes())
        heard.append(repr((row.web_m, row.mean_gsm, row.pump_pressure_kpa, row.pump_flow_m3ps)).encode())
        heard += [scan.values.tobytes() + repr((scan.t_s, scan.web_m, scan.edges_mm)).encode() for scan in row.scans]
    return b"".join(heard)


def in_company(plants, commands, rpms, dt_s):
    batch = Batch(plants, np.array(rpms))
    heard = [[] for _ in plants]
    for k in range(len(commands[0])):
        rest_um = np.full((len(plants), batch.zones), np.nan)
        for i, each in enumerate(commands):
            rest_um[i, : each.shape[1]] = each[k]
        batch.step(rest_um, np.array(rpms), dt_s)
        lines, gauges = batch.outcome.lines, batch.outcome.gauges
        for i, said in enumerate(heard):
            one = lines[i]
            said.append(batch.areal_density_gsm(i).tobytes() + batch.lip_motor_um(i).tobytes())
            figures = (one["web_m"], one["mean_gsm"], one["pressure_pa"] * 1e-3, one["flow_m3ps"])
            said.append(repr(tuple(float(figure) for figure in figures)).encode())
            for g in range(2):
                values, scan = batch.scan(i, g), gauges[i, g]
                if values is not None:
                    where = (scan["t_s"], scan["web_m"], (scan["edge_left_mm"], scan["edge_right_mm"]))
                    flat = (float(where[0]), float(where[1]), tuple(float(edge) for edge in where[2]))
                    said.append(values.tobytes() + repr(flat).encode())
    return [b"".join(said) for said in heard]


@settings(max_examples=12)
@given(
    st.lists(any_line, min_size=2, max_size=5, unique=True),
    st.sampled_from([0.1, 0.5]),
    st.sampled_from(sorted(CATALOGUE)),
)
def test_a_batch_of_b_equals_b_single_runs_bit_for_bit(names, dt_s, played):
    play = Play(played, onset_s=6.0, duration_s=9.0, size=0.5 * CATALOGUE[played].size_max / 2.5, ramp_s=2.0)
    pairs = [drawn(family, seed, *((play,) if i == 0 else ())) for i, (family, seed) in enumerate(names)]
    commands = [lips(line, np.random.default_rng(i), 60) for i, (line, _) in enumerate(pairs)]
    rpms = [line.pump_ratio_nominal_rpm_per_mps * line.web_speed_mps for line, _ in pairs]
    together = in_company([one for _, one in pairs], commands, rpms, dt_s)
    for (_, one), gaps, rpm, heard in zip(pairs, commands, rpms, together, strict=True):
        assert alone(one, gaps, rpm, dt_s) == heard


def test_long_runs_forget_web_that_all_gauges_have_seen_and_still_agree():
    line = make_line(8)
    plants = [Plant.of(Truth.draw(line, seed), Scenario.load("first-shift"), seed, row_min_m=0.4) for seed in (1, 2)]
    rows = plants[0].rows
    steps = 3 * rows
    rpm = line.pump_ratio_nominal_rpm_per_mps * line.web_speed_mps
    gaps = np.full((steps, 8), 600.0)
    together = in_company(plants, [gaps, gaps], [rpm, rpm], 0.5)
    assert [alone(one, gaps, rpm, 0.5) for one in plants] == together


def test_a_batch_of_none_is_refused():
    with pytest.raises(ValueError, match="at least one line"):
        Batch([], np.empty(0))


@pytest.mark.parametrize(("gap", "rpm"), [((2, 15), (2,)), ((1, 16), (2,)), ((16,), (2,)), ((2, 16), (1,))])
def test_commands_of_another_shape_are_refused_before_anything_moves(gap, rpm):
    _, truth = families.draw("nominal", 1)
    plants = [Plant.of(truth, Scenario.quiet(), seed) for seed in (1, 2)]
    batch = Batch(plants, np.full(2, 60.0))
    gap = tuple(truth.zones - (16 - n) if n in (15, 16) else n for n in gap)
    with pytest.raises(ValueError, match="gap_rest_um, pump_speed_rpm: shapes"):
        batch.step(np.full(gap, 600.0), np.full(rpm, 60.0), 0.1)
    assert (batch.state.lines["t_s"] == 0.0).all()
    with pytest.raises(ValueError, match="gap_rest_um: shape"):
        plant.step(plants[0], plant.start(plants[0], 60.0), Command(np.full(3, 600.0), 60.0), 0.1)
