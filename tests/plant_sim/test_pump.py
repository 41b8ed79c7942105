"""Pump: calibration, slip, drive lag, pulsation."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_sim import pump
from plant_sim.die import Split
from plant_sim.pump import Pump, PumpState

PLAIN = Pump(100e-6, 0.96, math.inf, 0.3, 165.0, 0.0, 0.6)
SPLIT = Split(np.ones(4), 2.0e7, 0.6)


def test_displacement():
    step = pump.advance(PLAIN, PumpState(100.0), 100.0, 0.1, 1.0)
    assert step.displaced_m3ps == pytest.approx(100e-6 * 100.0 / 60.0 * 0.96, rel=1e-12)
    assert pump.delivered_m3ps(PLAIN, step.displaced_m3ps, SPLIT) == step.displaced_m3ps


@given(st.floats(1e-6, 1e-3), st.floats(1e8, 1e12), st.floats(0.35, 0.85))
def test_slip_solves_its_equation(displaced, resistance, n):
    split = Split(np.ones(4), 2.0e7, n)
    slipping = replace(PLAIN, slip_resistance_pa_s_per_m3=resistance)
    flow = pump.delivered_m3ps(slipping, displaced, split)
    assert 0.0 < flow < displaced
    assert flow == pytest.approx(displaced - split.pressure_pa(flow) / resistance, abs=1e-12 * displaced)


def test_a_pressure_step_costs_pressure_over_slip_resistance():
    """dQ = -d(dP) / R_slip: at the same displacement, flows differ by the difference of pressures over R."""
    slipping = replace(PLAIN, slip_resistance_pa_s_per_m3=5e10)
    higher = replace(SPLIT, pressure_coefficient=SPLIT.pressure_coefficient * 1.3)
    low, high = (pump.delivered_m3ps(slipping, 1.8e-4, split) for split in (SPLIT, higher))
    rise = higher.pressure_pa(high) - SPLIT.pressure_pa(low)
    assert rise > 0.0
    assert high - low == pytest.approx(-rise / 5e10, rel=1e-9)


def test_nothing_displaced_is_nothing_delivered():
    assert pump.delivered_m3ps(PLAIN, -1e-9, SPLIT) == 0.0


def test_drive_lag_reaches_63_percent_in_one_time_constant():
    step = pump.advance(PLAIN, PumpState(0.0), 100.0, 0.3, 0.0)
    assert step.state.speed_rpm == pytest.approx(100.0 * (1.0 - math.exp(-1.0)))


@given(st.floats(0.0, 160.0), st.floats(0.0, 160.0), st.integers(1, 40))
def test_volume_does_not_depend_on_how_the_run_is_cut(first, target, cuts):
    pulsing = replace(PLAIN, pulsation=0.01)
    whole = pump.advance(pulsing, PumpState(first, 0.4), target, 2.0, 0.0)
    state, volume = PumpState(first, 0.4), 0.0
    for _ in range(cuts):
        step = pump.advance(pulsing, state, target, 2.0 / cuts, 0.0)
        state, volume = step.state, volume + step.displaced_m3ps * 2.0 / cuts
    assert volume == pytest.approx(whole.displaced_m3ps * 2.0, rel=1e-9, abs=1e-15)


def test_pulsation_has_the_stated_standard_deviation_and_no_mean():
    pulsing = replace(PLAIN, pulsation=0.004)
    state, flows = PumpState(100.0), []
    for _ in range(20_000):
        step = pump.advance(pulsing, state, 100.0, 0.01, 1.0)
        state = step.state
        flows.append(step.displaced_m3ps)
    relative = np.array(flows) / (100e-6 * 100.0 / 60.0 * 0.96) - 1.0
    assert relative.std() == pytest.approx(0.004, rel=0.02)
    assert abs(relative.mean()) < 2e-5


@pytest.mark.parametrize(("asked", "turns"), [(500.0, 165.0), (-20.0, 0.0)])
def test_drive_keeps_to_its_range(asked, turns):
    assert pump.advance(PLAIN, PumpState(50.0), asked, 30.0, 0.0).state.speed_rpm == pytest.approx(turns)
