"""Pressure and heat open the lip; flow and opening are solved together and the solution is the only one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_sim import die as slot_die
from plant_sim import lip_mechanics
from plant_sim.lip_mechanics import CantileverLip, LipUnstable
from plant_sim.slurry import Slurry

LANES = 80
POSITION = np.abs((np.arange(LANES) + 0.5) / LANES - 0.5) * 2.0
SLURRY = Slurry(12.0, 0.6, 1730.0, 0.58)
FLOW = 1.8e-4
FLAT = np.zeros(LANES)
STIFF = CantileverLip(0.040, 0.012)


def filled(n=0.6, lip_share=0.4):
    die = slot_die.build(1.0, 0.6e-3, lip_share, n, 0.017, POSITION)
    return slot_die.slot(die, Slurry(12.0, n, 1730.0, 0.58))


def opened(set_gap_um, compliance, flow=FLOW, n=0.6):
    return lip_mechanics.opened_by_pressure(filled(n), set_gap_um, FLAT, flow, compliance)


@pytest.mark.parametrize(("thickness_mm", "pressure", "opening_um"), [(25.0, 0.3e6, 0.335), (12.0, 0.5e6, 5.056)])
def test_cantilever(thickness_mm, pressure, opening_um):
    assert CantileverLip(0.040, thickness_mm * 1e-3).opening_um(pressure) == pytest.approx(opening_um, rel=2e-3)


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.floats(0.0, 30.0), st.floats(0.0, 1.0), st.floats(0.4, 0.85))
def test_opening_and_flow_agree(seed, opening_at_200_kpa_um, end_share, n):
    """The gap is what the pressure makes of it, and the pressure is that of the flow through this very gap."""
    set_gap = 600.0 + 15.0 * np.random.default_rng(seed).standard_normal(LANES)
    compliance = opening_at_200_kpa_um / 2e5 * lip_mechanics.clamshell(POSITION, end_share)
    found = opened(set_gap, compliance, n=n)
    pressure = slot_die.split(filled(n), found.lip_gap_um, FLAT).pressure_pa(FLOW)
    np.testing.assert_allclose(found.lip_gap_um, set_gap + compliance * pressure, rtol=1e-10)
    assert found.split.pressure_pa(FLOW) == pressure
    assert found.split.share.mean() == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=40)
@given(st.floats(1.0, 60.0), st.integers(0, 2**31))
def test_the_iteration_converges_as_fast_as_it_says_from_anywhere(opening_at_200_kpa_um, seed):
    """Banach: two starts come closer by at least the stated contraction in every step, so there is one solution."""
    compliance = opening_at_200_kpa_um / 2e5 * lip_mechanics.clamshell(POSITION, 0.3)
    set_gap = np.full(LANES, 600.0)
    found, slot = opened(set_gap, compliance), filled()
    assert found.contraction < 1.0
    gap = set_gap + 100.0 * np.random.default_rng(seed).random(LANES)
    error = np.abs(gap - found.lip_gap_um).max()
    for _ in range(6):
        gap = set_gap + compliance * slot_die.split(slot, gap, FLAT).pressure_pa(FLOW)
        left = np.abs(gap - found.lip_gap_um).max()
        assert left <= found.contraction * error + 1e-9
        error = left
    needed = math.log(lip_mechanics.CONVERGED_UM / 100.0) / math.log(found.contraction)
    assert found.iterations <= needed + 2


def test_one_lane_agrees_with_bisection():
    compliance = np.full(LANES, 20.0 / 2e5)
    found = opened(np.full(LANES, 600.0), compliance)
    low, high, slot = 600.0, 700.0, filled()
    for _ in range(60):
        middle = 0.5 * (low + high)
        pressure = slot_die.split(slot, np.full(LANES, middle), FLAT).pressure_pa(FLOW)
        low, high = (middle, high) if 600.0 + compliance[0] * pressure > middle else (low, middle)
    assert found.lip_gap_um[0] == pytest.approx(0.5 * (low + high), abs=1e-9)


def test_more_flow_opens_the_middle_more_and_so_changes_the_profile():
    """The reason why a speed change alters the coating across the web although a rigid die's split knows no flow."""
    compliance = STIFF.compliance_um_per_pa * lip_mechanics.clamshell(POSITION, 0.2)
    slow, fast = (opened(np.full(LANES, 600.0), compliance, flow) for flow in (0.5 * FLOW, FLOW))
    assert fast.split.share[LANES // 2] > slow.split.share[LANES // 2] > 1.0
    assert fast.split.share[0] < slow.split.share[0] < 1.0


def test_a_rigid_lip_stays_where_it_is_set():
    found = opened(np.full(LANES, 600.0), np.zeros(LANES))
    assert (found.lip_gap_um == 600.0).all()
    assert found.iterations == 1


def test_a_lip_of_rubber_says_so():
    """All of the slot gives way: each pressure opens it so far that the next is too small to hold it."""
    with pytest.raises(LipUnstable, match="um/Pa"):
        lip_mechanics.opened_by_pressure(filled(0.8, 1.0), np.full(LANES, 600.0), FLAT, FLOW, np.full(LANES, 1.0))


def test_thermal_bow_is_a_parabola_without_mean():
    lanes_mm = np.linspace(-500.0, 500.0, 1001)
    bow = lip_mechanics.thermal_bow_um(lanes_mm, 2.0, 0.1)
    assert bow.mean() == pytest.approx(0.0, abs=1e-9)
    assert np.ptp(bow) == pytest.approx(2.0 * 11e-6 * 1.0 / (8.0 * 0.1) * 1e6)
    assert bow.argmax() == 500
    np.testing.assert_allclose(bow, bow[::-1])
    np.testing.assert_allclose(lip_mechanics.thermal_bow_um(lanes_mm, -2.0, 0.1), -bow)
